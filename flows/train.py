"""A surrogate trained as a Prefect flow: frames, network, training, gate, checkpoint."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.errors import DatasetError
from defect_surrogate.surrogates import Potential, check_coverage, load_potential
from defect_surrogate.surrogates.card import CardSplit, HeldOutErrors, ModelCard
from defect_surrogate.surrogates.matgl_checkpoints import Checkpoint, force_field
from defect_surrogate.surrogates.potentials import weights_digest
from defect_surrogate.training.batches import comparable_groups, epoch_batches
from defect_surrogate.training.card_text import card_text
from defect_surrogate.training.checkpoint import TrainedModel, check_replaceable, publish
from defect_surrogate.training.curves import training_curves
from defect_surrogate.training.data import TrainingData, training_data
from defect_surrogate.training.epochs import Epoch
from defect_surrogate.training.finetune import FineTuned, finetune
from defect_surrogate.training.gate import check, held_out_errors
from defect_surrogate.training.models import reference_energies
from defect_surrogate.training.settings import TrainSettings
from flows.evaluate import learnt_compositions
from flows.lock import locked
from flows.progress import progress, show_own_lines
from flows.resumed import begin_again
from flows.training_driver import state_folder

logger = logging.getLogger(__name__)

LIBRARIES = ("defect-surrogate", "matgl", "torch", "numpy")


@flow(name="train-surrogate", persist_result=False)
def train_surrogate(settings: TrainSettings, out: str, force: bool = False) -> ModelCard:
    """Train a force field on reference frames, and publish it if it is better than what there was.

    Parameters
    ----------
    settings
        Of the training; the defaults are the paper's.
    out
        Folder of the checkpoint; the state of an unfinished training is kept beside it.
    force
        Publish a model that is worse than the one it started from or than the baseline.

    Returns
    -------
    ModelCard
        Of the published model.
    """
    show_own_lines()
    begin_again()
    target = Path(out).absolute()
    check_replaceable(target)
    others = [load_potential(name) for name in (settings.base, settings.baseline) if name is not None]
    base_learnt = frozenset() if settings.base is None else learnt_compositions(settings.base)
    state = state_folder(target)
    with locked(state):
        data = training_data(settings.data, split=settings.split, frames=settings.frames)
        logger.info(
            "%d frames of %d compositions to train on, %d to validate with, %d held out",
            *(len(data.train), len(data.train.compositions), len(data.validation), len(data.test)),
        )
        check_held_out(data, base_learnt, base=settings.base)
        measured_on = held_out_frames(data)
        check_measurable(measured_on, others, force=force)
        members = [train_member(data, settings, number, state) for number in range(1, settings.ensemble + 1)]
        cards = [card_of(member, data, settings, base_learnt) for member in members]
        trained = force_field(
            Checkpoint(members[0].potential, data.level_of_theory, data.level_of_theory, cards[0]), name=target.name
        )
        held_out = measured([trained, *others], measured_on)
        forced = check(held_out[0] if held_out else None, held_out[1:], force=force)
        ensemble = [card.digest for card in cards[1:]]
        cards[0] = cards[0].model_copy(update={"held_out": held_out, "forced": forced, "ensemble": ensemble})
        curves = training_curves([member.training.epochs for member in members])
        models = [
            TrainedModel(member.potential, card, curves if number == 0 else None)
            for number, (member, card) in enumerate(zip(members, cards, strict=True))
        ]
        card = publish(models, target)
    create_markdown_artifact(card_text(card), key="model-card", description=target.name)
    return card


def train_member(data: TrainingData, settings: TrainSettings, number: int, state: Path) -> FineTuned:
    """Train one member of the ensemble, with a bar, a line and a row of an artifact for each epoch."""
    title = f"member {number} of {settings.ensemble}" if settings.ensemble > 1 else "training"
    steps = len(epoch_batches(comparable_groups(data.train.frames), settings=settings.optimisation, epoch=1))
    rows: list[dict[str, str]] = []
    with progress(title, steps * settings.optimisation.epochs) as advance:

        def on_epoch(epoch: Epoch) -> None:
            logger.info("%s: %s", title, epoch_line(epoch, settings.optimisation.epochs))
            rows.append(epoch_row(epoch))
            create_table_artifact(rows, key="training-errors", description=title)

        return finetune(
            data,
            settings,
            member=number,
            folder=state / str(number),
            on_step=lambda _done, _total: advance(),
            on_epoch=on_epoch,
        )


def check_held_out(data: TrainingData, base_learnt: frozenset[str] | None, *, base: str | None) -> None:
    """Refuse a test composition that the base has learnt from: errors on it would say nothing about unseen hosts."""
    if base_learnt is None:
        logger.warning(
            "%s: what this base has learnt from is not known, since it has no card: the hosts held out may be among it; the "
            "card of the new model will say so",
            base,
        )
        return
    if known := sorted(base_learnt & set(data.test.compositions)):
        raise DatasetError(
            f"split: {', '.join(known)} cannot be held out for the test, since the base model {base} has learnt from it; "
            "hold out others, or start from another base"
        )


def held_out_frames(data: TrainingData) -> Dataset:
    """Return what models are measured on: the test, or, where no composition is held out for one, the validation frames."""
    return data.test if data.test.frames else data.validation


def check_measurable(test: Dataset, others: Sequence[Potential], *, force: bool) -> None:
    """Refuse, before the training, what the gate would refuse after it: nothing to measure on, or elements the others lack."""
    if all(frame.is_bulk for frame in test.frames):
        check(None, [], force=force)
    for potential in others:
        for frame in test.frames:
            check_coverage(potential, frame.symbols, host=frame.host)


def measured(potentials: Sequence[Potential], test: Dataset) -> list[HeldOutErrors]:
    """Measure models on the held-out frames; nothing without a defect in them."""
    if all(frame.is_bulk for frame in test.frames):
        return []
    logger.info("measuring %s on the %d frames held out", ", ".join(one.name for one in potentials), len(test))
    with progress("held-out frames", len(potentials) * len(test)) as advance:
        return [held_out_errors(potential, test, on_done=advance) for potential in potentials]


def card_of(
    member: FineTuned, data: TrainingData, settings: TrainSettings, base_learnt: frozenset[str] | None
) -> ModelCard:
    """Write down what a member is, as yet without its errors on held-out frames."""
    network = member.potential.model
    energies = reference_energies(member.potential)
    return ModelCard(
        digest=weights_digest(member.potential),
        architecture=type(network).__name__,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        elements=list(data.train.elements),
        level_of_theory=data.level_of_theory,
        base=member.base_digest,
        data=list(data.digests),
        split=CardSplit(
            training=list(data.train.compositions),
            validation_unseen=list(data.unseen),
            test=list(data.test.compositions),
            training_frames=len(data.train),
            validation_frames=len(data.validation),
            test_frames=sum(not frame.is_bulk for frame in data.test.frames),
        ),
        reference_energies=dict(zip(network.element_types, energies.tolist(), strict=True)),
        reference_energies_from=member.references_from,
        settings=yaml.safe_dump(json.loads(settings.model_dump_json()), sort_keys=False),
        epochs=len(member.training.epochs),
        best_epoch=member.training.best.number,
        held_out=[],
        forced=False,
        ensemble=[],
        versions={name: version(name) for name in LIBRARIES},
        command=" ".join(["defect-surrogate", *sys.argv[1:]]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base_learnt=None if base_learnt is None else sorted(base_learnt),
        ran_on=list(dict.fromkeys(epoch.ran_on for epoch in member.training.epochs)),
    )


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """Say how an epoch went, e.g. ``epoch 3 of 30: validation 12.1 meV/atom, 52 meV/Å, 0.11 GPa; 61 s``."""
    errors = epoch.validation
    return (
        f"epoch {epoch.number} of {epochs}: validation {errors.energy * 1e3:.1f} meV/atom, {errors.force * 1e3:.0f} meV/Å, "
        f"{errors.stress:.2f} GPa, loss {errors.loss:.5f} ({epoch.training.loss:.5f} in training); {epoch.seconds:.0f} s"
    )


def epoch_row(epoch: Epoch) -> dict[str, str]:
    """Return the row of an epoch in the table of the dashboard."""
    return {
        "epoch": str(epoch.number),
        "learning rate": f"{epoch.learning_rate:.2e}",
        **{
            f"{part} {name}": f"{factor * getattr(getattr(epoch, part), field):.4g}"
            for part in ("training", "validation")
            for field, name, factor in (("energy", "meV/atom", 1e3), ("force", "meV/Å", 1e3), ("stress", "GPa", 1.0))
        },
    }
