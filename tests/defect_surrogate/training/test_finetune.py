"""Where a network starts, whose reference energies it has, and which training a saved state belongs to."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from defect_surrogate.errors import DatasetError, TrainingError
from defect_surrogate.surrogates.potentials import weights_digest
from defect_surrogate.training import reference_energies as references
from defect_surrogate.training.finetune import finetune, identity
from defect_surrogate.training.models import new_model, reference_energies, save_model

ELEMENTS = ("Br", "Cl", "K", "Na")
LEVEL = "HSE06 (VASP)"


def changed(settings, **changes):
    """The settings with changes, of one epoch unless they say otherwise, without a network where there is a base."""
    optimisation = settings.optimisation.model_dump() | {"epochs": 1} | changes.get("optimisation", {})
    own = settings.model_dump(exclude={"architecture"} if "base" in changes else None)
    return type(settings).model_validate(own | changes | {"optimisation": optimisation})


@pytest.fixture
def tuned(data, settings, tmp_path):
    """Trains with changed settings or data in a folder of its own."""

    def go(changes=None, *, data=data, member=1, folder="state", **others):
        return finetune(data, changed(settings, **(changes or {})), member=member, folder=tmp_path / folder, **others)

    return go


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory):
    """Saves a network as a base, at a level of theory, for elements."""

    def make(level=LEVEL, elements=ELEMENTS, references=(-2.0, -2.0, -2.0, -2.0)):
        directory = tmp_path_factory.mktemp("base") / "model"
        potential = new_model(tiny, elements=elements, reference_energies=np.array(references), seed=7)
        save_model(potential, directory, level_of_theory=level)
        return str(directory), weights_digest(potential)

    return make


def test_a_new_network_has_the_energies_of_the_bulk_by_default(tuned, data):
    made = tuned()
    assert made.references_from == "fitted to the bulk frames of the training compositions"
    assert made.base_digest is None
    assert tuple(made.potential.model.element_types) == data.train.elements
    bulk = [one for one in data.train.frames if one.is_bulk]
    found = dict(zip(ELEMENTS, reference_energies(made.potential), strict=True))
    per_cell = [sum(found[symbol] for symbol in one.symbols) for one in bulk]
    assert np.mean(per_cell) == pytest.approx(np.mean([one.energy for one in bulk]), abs=1e-4)


def test_energies_fitted_to_defects_or_given_for_atoms(tuned, data):
    atoms = dict(zip(ELEMENTS, (-0.4, -0.3, -0.2, -0.1), strict=True))
    given = tuned({"reference_energies": "isolated atoms", "isolated_atoms": atoms}, folder="given")
    np.testing.assert_allclose(reference_energies(given.potential), list(atoms.values()))
    assert given.references_from == "isolated atoms at the reference level"
    fitted = tuned({"reference_energies": "defects"}, folder="fitted")
    assert fitted.references_from == "fitted to the defect frames of training"
    defects = [one for one in data.train.frames if not one.is_bulk]
    expected = references.fitted(defects, elements=ELEMENTS)
    np.testing.assert_allclose(reference_energies(fitted.potential), expected, rtol=1e-6)
    with pytest.raises(DatasetError, match="isolated_atoms: no energy of Br, Cl, K, Na"):
        tuned({"reference_energies": "isolated atoms"}, folder="none")
    with pytest.raises(DatasetError, match="reference_energies: base: there is no base model"):
        tuned({"reference_energies": "base"}, folder="none")


def test_a_base_of_the_same_level_keeps_its_reference_energies(tuned, base):
    path, digest = base()
    made = tuned({"base": path})
    assert (made.references_from, made.base_digest) == ("those of the base model", digest)
    np.testing.assert_allclose(reference_energies(made.potential), -2.0)


def test_atoms_may_be_given_for_the_elements_in_training_alone(tuned, base):
    """The base knows one more, which keeps its energy."""
    path, _ = base(level="PBE (VASP)", elements=("Br", "Cl", "I", "K", "Na"), references=(-2.0, -2.0, -7.0, -2.0, -2.0))
    atoms = dict(zip(ELEMENTS, (-0.4, -0.3, -0.2, -0.1), strict=True))
    made = tuned({"base": path, "reference_energies": "isolated atoms", "isolated_atoms": atoms})
    np.testing.assert_allclose(reference_energies(made.potential), [-0.4, -0.3, -7.0, -0.2, -0.1])


def test_a_base_of_another_level_has_them_refitted_around_what_it_says_of_interactions(tuned, base, data):
    """Without a step worth the name, the mean error of the base on the bulk frames is then nothing."""
    path, digest = base(level="PBE (VASP)")
    made = tuned({"base": path, "optimisation": {"learning_rate": 1e-12}})
    assert (made.references_from, made.base_digest) == (
        "fitted to the bulk frames of the training compositions",
        digest,
    )
    bulk = dataclasses.replace(
        data, validation=data.train.select(lambda one: one.is_bulk and one.host == "NaCl"), train=data.train
    )
    errors = tuned({"base": path, "optimisation": {"learning_rate": 1e-12}}, data=bulk, folder="bulk").training.best
    kept = tuned(
        {"base": path, "optimisation": {"learning_rate": 1e-12}, "reference_energies": "base"}, data=bulk, folder="kept"
    ).training.best
    assert errors.validation.energy < 0.05 * kept.validation.energy


def test_the_weights_of_the_base_are_where_it_starts(tuned, base):
    path, _ = base()
    made = tuned({"base": path, "optimisation": {"learning_rate": 1e-12}})
    expected = torch.load(f"{path}/state.pt", weights_only=True)
    for name, value in made.potential.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=0)


def test_a_frozen_base_changes_in_its_last_layer_alone(tuned, base):
    path, _ = base()
    made = tuned({"base": path, "trainable": "last layer"})
    before = torch.load(f"{path}/state.pt", weights_only=True)
    touched = {name for name, value in made.potential.state_dict().items() if not torch.equal(value, before[name])}
    assert touched
    assert all(name.startswith("model.final_layer.") for name in touched)


@pytest.mark.parametrize("level", [LEVEL, "PBE (VASP)"])
def test_an_element_that_the_base_does_not_know_is_named(tuned, base, level):
    path, _ = base(level=level, elements=("Cl", "Na"), references=(-3.0, -1.5))
    with pytest.raises(DatasetError, match=r"KBr/bulk/Strained_00/0: .*K, Br"):
        tuned({"base": path})


def test_members_differ_in_their_seeds(tuned):
    first, second = tuned(member=1, folder="1"), tuned(member=2, folder="2")
    other_seed = tuned({"optimisation": {"seed": 43}}, member=1, folder="43")
    assert weights_digest(first.potential) != weights_digest(second.potential)
    assert weights_digest(second.potential) == weights_digest(other_seed.potential)


def test_the_same_inputs_go_on_where_they_were_and_others_are_refused(tuned, caplog):
    first = tuned()
    caplog.set_level(logging.INFO)
    assert weights_digest(tuned().potential) == weights_digest(first.potential)
    assert "continuing at epoch 2, step 0" in caplog.text
    with pytest.raises(TrainingError, match="other data or settings"):
        tuned({"optimisation": {"learning_rate": 0.02}})


def test_identity_is_of_all_that_decides_a_training_and_of_nothing_else(data, settings, dataset):
    def digest(changes=None, *, data=data, member=1, start="ab", scales=None):
        return identity(data, changed(settings, **(changes or {})), member=member, start=start, scales=scales or {})

    others = [
        digest({"optimisation": {"batch_size": 3}}),
        digest({"optimisation": {"force_weight": 2.0}}),
        digest({"base": "model"}),
        digest({"base": "model", "trainable": "last layer"}),
        digest({"architecture": settings.architecture.model_dump() | {"threebody_cutoff": 3.0}}),
        digest(data=dataclasses.replace(data, train=data.validation)),
        digest(data=dataclasses.replace(data, validation=data.train)),
        digest(member=2),
        digest(start="cd"),
        digest(scales={"model.layer.weight": 8.0}),
    ]
    assert len({digest(), *others}) == 1 + len(others)
    same = [
        digest({"optimisation": {"epochs": 9, "patience": 2}}),
        digest({"baseline": "chgnet", "ensemble": 3, "data": ["elsewhere"]}),
        digest(data=dataclasses.replace(data, test=dataset)),
    ]
    assert {digest(), *same} == {digest()}
