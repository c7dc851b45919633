import json
import pickle

import numpy as np
import pytest
from ase.build import bulk

from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates import check_coverage, known_potentials, load_potential


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small M3GNet with random weights, saved as matgl saves them."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    torch.manual_seed(0)
    model = M3GNet(element_types=("Cd", "Te"), units=8, nblocks=1, cutoff=4.0, threebody_cutoff=3.0)
    directory = tmp_path_factory.mktemp("models") / "tiny"
    Potential(model=model).save(directory)
    return directory


@pytest.mark.parametrize("name", known_potentials())
def test_known_names_load_without_a_network(name):
    potential = load_potential(name)
    assert len(potential.digest) == 64
    assert {"Cd", "Te", "Se", "H", "Pu"} <= potential.elements
    assert "CHGNet" in potential.level_of_theory


def test_chgnet_is_the_librarys_own(zincblende_cdte):
    """Energy and forces equal those of the unchanged ASE calculator of chgnet."""
    from chgnet.model import CHGNetCalculator

    atoms = bulk("CdTe", "zincblende", a=6.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    ours, theirs = atoms.copy(), atoms.copy()
    ours.calc = load_potential("chgnet").calculator
    theirs.calc = CHGNetCalculator(use_device="cpu")
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-5)


def test_the_two_chgnets_have_different_digests():
    assert load_potential("chgnet").digest == load_potential("chgnet").digest
    assert load_potential("chgnet").digest != load_potential("chgnet-r2scan").digest


@pytest.mark.parametrize("prefix", ["", "matgl:"])
def test_a_local_matgl_checkpoint(checkpoint, prefix):
    potential = load_potential(f"{prefix}{checkpoint}")
    assert potential.elements == {"Cd", "Te"}
    atoms = bulk("CdTe", "zincblende", a=6.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    atoms.calc = potential.calculator
    forces = atoms.get_forces()
    shifted = atoms.copy()
    shifted.calc = potential.calculator
    step = 1e-3
    shifted.positions[0, 0] += step
    upper = shifted.get_potential_energy()
    shifted.positions[0, 0] -= 2 * step
    lower = shifted.get_potential_energy()
    assert forces[0, 0] == pytest.approx(-(upper - lower) / (2 * step), abs=2e-3)


def edited(checkpoint, tmp_path, change):
    import shutil

    copy = tmp_path / "edited"
    shutil.copytree(checkpoint, copy)
    description = json.loads((copy / "model.json").read_text())
    change(description)
    (copy / "model.json").write_text(json.dumps(description))
    return str(copy)


def test_an_old_potential_is_refused(checkpoint, tmp_path):
    path = edited(checkpoint, tmp_path, lambda d: d.update({"@model_version": 2}))
    with pytest.raises(PotentialError, match="Potential is of convention 2, the installed matgl .* convention 3"):
        load_potential(path)


def test_an_old_model_inside_is_refused(checkpoint, tmp_path):
    def age(description):
        description["kwargs"]["model"]["@model_version"] = 1

    with pytest.raises(PotentialError, match="M3GNet is of convention 1"):
        load_potential(edited(checkpoint, tmp_path, age))


def test_a_checkpoint_cannot_name_foreign_code(checkpoint, tmp_path):
    path = edited(checkpoint, tmp_path, lambda d: d.update({"@module": "os", "@class": "system"}))
    with pytest.raises(PotentialError, match="os.system, which is not of matgl"):
        load_potential(path)


class Malicious:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/defect-surrogate-was-here",)


@pytest.mark.parametrize("file", ["model.pt", "state.pt"])
def test_a_pickled_checkpoint_is_refused_and_not_run(checkpoint, tmp_path, file):
    import shutil
    from pathlib import Path

    copy = tmp_path / "evil"
    shutil.copytree(checkpoint, copy)
    (copy / file).write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(PotentialError, match="cannot be loaded"):
        load_potential(str(copy))
    assert not Path("/tmp/defect-surrogate-was-here").exists()


@pytest.mark.parametrize("file", ["model.pt", "state.pt", "model.json"])
@pytest.mark.parametrize("damage", ["truncated", "absent"])
def test_a_damaged_checkpoint_is_refused(checkpoint, tmp_path, file, damage):
    import shutil

    copy = tmp_path / "damaged"
    shutil.copytree(checkpoint, copy)
    if damage == "absent":
        (copy / file).unlink()
    else:
        (copy / file).write_bytes((copy / file).read_bytes()[:50])
    with pytest.raises(PotentialError, match="damaged"):
        load_potential(str(copy))


@pytest.mark.parametrize("name", ["m3gnet", "/nowhere/model", "", "matgl:/nowhere/at/all"])
def test_unknown_names_list_what_there_is(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PotentialError) as caught:
        load_potential(name)
    assert "chgnet" in str(caught.value) or "hub" in str(caught.value)


def test_a_hub_name_without_the_network(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PotentialError, match="materialyze/M3GNet-PES-MatPES-PBE-2025.2"):
        load_potential("matgl:M3GNet-PES-MatPES-PBE-2025.2")


def test_coverage(checkpoint):
    potential = load_potential(str(checkpoint))
    check_coverage(potential, ["Cd", "Te"], host="CdTe")
    with pytest.raises(PotentialError, match="CdSeTe: the surrogate .* does not know Se, Zn"):
        check_coverage(potential, ["Zn", "Cd", "Se"], host="CdSeTe")
