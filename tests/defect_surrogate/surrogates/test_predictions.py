"""What a force field says of configurations: stress against strain derivatives, forces and energies against its calculator."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates import load_potential, predict

STRAIN = 2e-3


@pytest.fixture(scope="module")
def tiny_m3gnet(tmp_path_factory):
    """A small M3GNet with random weights and energies of some eV, saved as matgl saves them, and loaded again."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    torch.manual_seed(0)
    model = M3GNet(element_types=("Cd", "Te"), units=8, nblocks=1, cutoff=4.0, threebody_cutoff=3.0, is_intensive=False)
    directory = tmp_path_factory.mktemp("models") / "tiny"
    Potential(model=model, data_std=100.0).save(directory)
    return load_potential(str(directory))


@pytest.fixture(scope="module")
def chgnet():
    return load_potential("chgnet")


@pytest.fixture(scope="module")
def crystal():
    """Rattled and compressed CdTe: every component of its stress is far from zero."""
    atoms = bulk("CdTe", "zincblende", a=6.3, cubic=True)
    deformation = np.array([[1.0, 0.03, 0.0], [0.03, 0.98, 0.01], [0.0, 0.01, 1.02]])
    atoms.set_cell(atoms.cell @ deformation, scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def frame(atoms, host="CdTe"):
    return SimpleNamespace(host=host, numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.array)


def strained(atoms, i, j, strain):
    deformation = np.eye(3)
    deformation[i, j] += strain / 2
    deformation[j, i] += strain / 2
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ deformation, scale_atoms=True)
    return copy


@pytest.mark.parametrize("potential", ["tiny_m3gnet", "chgnet"])
def test_stress_is_the_strain_derivative_of_the_energy_per_volume(potential, crystal, request):
    potential = request.getfixturevalue(potential)
    components = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)]
    frames = [frame(crystal), *(frame(strained(crystal, i, j, s)) for i, j in components for s in (STRAIN, -STRAIN))]
    predictions = predict(potential, frames)
    energies = predictions.energies[1:].reshape(-1, 2)
    derivatives = (energies[:, 0] - energies[:, 1]) / (2 * STRAIN) / crystal.get_volume()
    stress = predictions.stresses[0]
    assert np.abs(stress).max() > 1e-4
    np.testing.assert_allclose(
        [stress[i, j] for i, j in components], derivatives, rtol=0.02, atol=0.01 * np.abs(stress).max()
    )
    np.testing.assert_allclose(stress, stress.T)


@pytest.mark.parametrize("potential", ["tiny_m3gnet", "chgnet"])
def test_energies_and_forces_are_those_of_relaxations(potential, crystal, request):
    """A relaxation asks for forces alone; asking for stress too changes neither them nor the next relaxation."""
    potential = request.getfixturevalue(potential)
    atoms = crystal.copy()
    atoms.calc = potential.calculator
    forces = atoms.get_forces()
    assert "stress" not in potential.calculator.results
    predictions = predict(potential, [frame(crystal), frame(crystal * (1, 1, 2))])
    assert predictions.energies == pytest.approx(atoms.get_potential_energy() * np.array([1, 2]), abs=1e-3)
    np.testing.assert_allclose(predictions.forces[0], forces, atol=1e-4)
    np.testing.assert_allclose(predictions.forces[1], np.vstack([forces, forces]), atol=1e-3)
    assert (predictions.potential, predictions.digest) == (potential.name, potential.digest)
    atoms.rattle(0.01)
    atoms.get_forces()
    assert "stress" not in potential.calculator.results


def test_a_force_field_without_stress_gives_nan(chgnet, crystal):
    class WithoutStress(LennardJones):
        implemented_properties = ("energy", "forces")

    potential = dataclasses.replace(chgnet, calculator=WithoutStress(rc=5.0))
    done = []
    predictions = predict(potential, [frame(crystal)] * 2, on_done=lambda: done.append(1))
    assert np.isnan(predictions.stresses).all()
    assert np.isfinite(predictions.energies).all()
    assert len(done) == 2


def test_a_host_with_an_unknown_element_is_refused_before_anything_is_evaluated(tiny_m3gnet, crystal):
    zinc = crystal.copy()
    zinc.symbols[0] = "Zn"
    done = []
    with pytest.raises(PotentialError, match="ZnTe: .* does not know Zn"):
        predict(tiny_m3gnet, [frame(crystal), frame(zinc, host="ZnTe")], on_done=lambda: done.append(1))
    assert done == []
