"""Training, validation and test sets that share no composition.

A force field is wanted for hosts that it has not seen, so all frames of a composition go to one set, as in Mosquera-Lois et al.
(doi:10.1038/s41524-024-01303-9, SI 1.B.1). The sets are balanced: every element of validation and test occurs in training too,
for no force field knows an element it never met, and elements are distributed as evenly as can be. The same is asked of
families of similar hosts (the paper's example is Li4SnS4, Li4GeS4 and Li4TiS4): none is wholly held out, members are spread.
The validation set is then augmented with 5 % of the configurations of the training compositions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pymatgen.core import Composition, Element

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError

TEST_SHARE = 0.27
VALIDATION_SHARE = 0.05
SEEN_SHARE = 0.05

_TRIALS = 200  # drawn, of which the most balanced is taken
_Traits = Mapping[str, frozenset[str]]  # composition → its elements and families


@dataclass(frozen=True)
class Split:
    """A dataset in four parts.

    Attributes
    ----------
    train
        To fit.
    validation_unseen
        Compositions that are in no other part.
    validation_seen
        Frames of training compositions that are not in training.
    test
        Compositions that are in no other part.
    """

    train: Dataset
    validation_unseen: Dataset
    validation_seen: Dataset
    test: Dataset

    @property
    def validation(self) -> Dataset:
        """Both parts of the validation set, the unseen compositions first."""
        return replace(self.train, frames=self.validation_unseen.frames + self.validation_seen.frames)


def split_by_composition(
    dataset: Dataset,
    *,
    seed: int,
    test: Sequence[str] | None = None,
    validation: Sequence[str] | None = None,
    families: Sequence[Sequence[str]] = (),
    test_share: float = TEST_SHARE,
    validation_share: float = VALIDATION_SHARE,
    seen_share: float = SEEN_SHARE,
    seen_per_relaxation: int | None = None,
) -> Split:
    """Split a dataset so that validation and test have compositions that training has not.

    Parameters
    ----------
    dataset
        At least two compositions, three where validation compositions are wanted.
    seed
        Of the drawing of compositions; each seed gives one split.
    test, validation
        Formulas of the compositions of a set; drawn when None. An empty ``validation`` has none.
    families
        Formulas of similar hosts. Of each family with several members in the dataset, at least one stays in training.
    test_share, validation_share
        Fraction of all defects that compositions are drawn for; at least one composition each, unless the share is 0. One
        without a defect is never drawn, unless all are.
    seen_share
        Fraction of the frames of training compositions that go to ``validation_seen``, evenly spaced in energy within each
        defect.
    seen_per_relaxation
        Frames of each relaxation of a training defect that go there instead, evenly spaced between its first and its last; of
        one with less than twice as many frames half of them.

    Returns
    -------
    Split
        Every frame is in one part.

    Raises
    ------
    DatasetError
        If there is one composition only, a formula is not in the dataset or in two sets, or validation or test would have an
        element, or a whole family, that training has not.
    """
    if len(dataset.compositions) < 2:
        raise DatasetError(
            f"{', '.join(dataset.compositions) or 'no composition'}: a split needs at least two compositions"
        )
    traits = _traits(dataset, families)
    held: dict[str, frozenset[str]] = {}
    if test is not None:
        held["test"] = _known(test, traits, "test")
    if validation is not None:
        held["validation"] = _known(validation, traits, "validation")
    if both := held.get("test", frozenset()) & held.get("validation", frozenset()):
        raise DatasetError(f"{sorted(both)[0]}: in both validation and test")
    if fault := _lost_trait(traits, held):
        raise DatasetError(fault)
    shares = {
        name: share for name, share in (("test", test_share), ("validation", validation_share)) if name not in held
    }
    held = _draw(traits, held, shares, weights=_defects(dataset), seed=seed)
    train = dataset.select(lambda frame: frame.composition not in held["test"] | held["validation"])
    seen = (
        _spread_in_energy(train.frames, round(seen_share * len(train)))
        if seen_per_relaxation is None
        else _spread_in_time(train.frames, seen_per_relaxation)
    )
    return Split(
        train=train.select(lambda frame: frame not in seen),
        validation_unseen=dataset.select(lambda frame: frame.composition in held["validation"]),
        validation_seen=train.select(lambda frame: frame in seen),
        test=dataset.select(lambda frame: frame.composition in held["test"]),
    )


def _draw(
    traits: _Traits,
    given: Mapping[str, frozenset[str]],
    shares: Mapping[str, float],
    *,
    weights: Mapping[str, int],
    seed: int,
) -> dict[str, frozenset[str]]:
    """Draw the compositions of each set that is not given, many times, and take the most balanced draw."""
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(_TRIALS):
        held = dict(given)
        for name, share in shares.items():
            order = random.permutation(sorted(traits)).tolist()
            held[name] = _fill(order, traits, held, weights=weights, target=share * sum(weights.values()))
        draws.append(held)
    filled = [held for held in draws if all(held[name] or share == 0 for name, share in shares.items())]
    if not filled:
        raise DatasetError(
            f"{', '.join(sorted(traits))}: no composition can be held out for {' and for '.join(shares)}, so that every "
            "element and family is left in training; add hosts, or name the sets"
        )
    size = sum(weights.values())
    return min(
        filled,
        key=lambda held: sum(_imbalance(held[name], traits, weights, share * size) for name, share in shares.items()),
    )


def _fill(
    order: Sequence[str],
    traits: _Traits,
    held: Mapping[str, frozenset[str]],
    *,
    weights: Mapping[str, int],
    target: float,
) -> frozenset[str]:
    """Take compositions in order while they bring the set closer to its target and leave every trait in training."""
    taken: frozenset[str] = frozenset()
    for formula in order if target > 0 else ():
        size = sum(weights[one] for one in taken)
        if not weights[formula] or any(formula in others for others in held.values()):
            continue
        if taken and size + weights[formula] / 2 > target:
            continue
        if not _lost_trait(traits, {**held, "drawn": taken | {formula}}):
            taken |= {formula}
    return taken


def _imbalance(formulas: frozenset[str], traits: _Traits, weights: Mapping[str, int], target: float) -> float:
    """Mean over traits of the difference of their shares in a set and in all, plus the relative error of the set's size."""
    every = frozenset().union(*traits.values())
    uneven = sum(
        abs(_share(trait, formulas, traits, weights) - _share(trait, traits, traits, weights)) for trait in every
    )
    size = sum(weights[formula] for formula in formulas)
    return uneven / len(every) + abs(size - target) / max(size, target, 1e-9)


def _share(trait: str, formulas: Iterable[str], traits: _Traits, weights: Mapping[str, int]) -> float:
    total = sum(weights[formula] for formula in formulas)
    return sum(weights[formula] for formula in formulas if trait in traits[formula]) / total if total else 0.0


def _lost_trait(traits: _Traits, held: Mapping[str, frozenset[str]]) -> str | None:
    """Say which element or family of a set that is held out would not be in training; None if there is none."""
    out = frozenset().union(*held.values())
    trained = frozenset().union(*(of for formula, of in traits.items() if formula not in out))
    for name, formulas in held.items():
        for formula in sorted(formulas):
            for trait in sorted(traits[formula] - trained):
                return f"{trait} of {formula} ({name}) would not occur in training"
    return None


def _traits(dataset: Dataset, families: Sequence[Sequence[str]]) -> dict[str, frozenset[str]]:
    """Return the elements of each composition's frames, and the families that it has in common with others."""
    numbers: dict[str, set[int]] = {}
    for frame in dataset.frames:
        numbers.setdefault(frame.composition, set()).update(np.unique(frame.numbers).tolist())
    named = {formula: {f"element {Element.from_Z(one)}" for one in present} for formula, present in numbers.items()}
    for family in families:
        members = sorted({reduced(text) for text in family} & named.keys())
        for formula in members if len(members) > 1 else ():
            named[formula].add(f"the family {', '.join(members)}")
    return {formula: frozenset(of) for formula, of in named.items()}


def _defects(dataset: Dataset) -> dict[str, int]:
    """Count the defects of each composition; one each where there is only bulk in all."""
    counts = dict.fromkeys(dataset.compositions, 0)
    for frames in dataset.by_defect().values():
        counts[frames[0].composition] += not frames[0].is_bulk
    return counts if any(counts.values()) else dict.fromkeys(counts, 1)


def _known(texts: Sequence[str], traits: _Traits, name: str) -> frozenset[str]:
    formulas = {text: reduced(text) for text in texts}
    for text, formula in formulas.items():
        if formula not in traits:
            raise DatasetError(
                f"{name} composition {text!r} is not in the dataset, which has {', '.join(sorted(traits))}"
            )
    return frozenset(formulas.values())


def reduced(text: str) -> str:
    """Return the reduced formula of a text, or the text if it is no formula, which no dataset then has."""
    try:
        return Composition(text).reduced_formula
    except ValueError:
        return text


def _spread_in_energy(frames: Sequence[LabelledFrame], count: int) -> frozenset[LabelledFrame]:
    """Take frames at even intervals in the order of energy within each defect: evenly in time would favour some ionic steps."""
    order = sorted(frames, key=lambda frame: (frame.host, frame.defect, frame.energy, frame.name))
    return frozenset(order[int((position + 0.5) * len(order) / count)] for position in range(count))


def _spread_in_time(frames: Sequence[LabelledFrame], count: int) -> frozenset[LabelledFrame]:
    """Take frames at even intervals of each relaxation of a defect."""
    relaxations: dict[tuple[str, str, str], list[LabelledFrame]] = {}
    for frame in frames:
        if not frame.is_bulk:
            relaxations.setdefault((frame.host, frame.defect, frame.label), []).append(frame)
    taken: list[LabelledFrame] = []
    for one in relaxations.values():
        wanted = min(count, len(one) // 2)
        taken += [one[int((position + 0.5) * len(one) / wanted)] for position in range(wanted)]
    return frozenset(taken)
