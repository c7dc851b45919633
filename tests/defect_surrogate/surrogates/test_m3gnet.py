"""The network written out by hand against matgl's own, in double precision, and against finite differences."""

import copy

import matgl
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from matgl.apps.pes import Potential
from matgl.ext.ase import PESCalculator
from matgl.models import CHGNet, M3GNet, SO3Net, TensorNet
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import relax
from defect_surrogate.surrogates.batch import Batch, CalculatorForceField
from defect_surrogate.surrogates.m3gnet import is_supported
from defect_surrogate.surrogates.matgl_checkpoints import Checkpoint, force_field, load_checkpoint
from defect_surrogate.surrogates.matgl_force_field import MatglForceField
from tests.conftest import ROOT

ELEMENTS = ("Cd", "Se", "Te")
REFERENCES = np.array([-20.0, -35.0, -70.0])


def network(**changes):
    torch.manual_seed(3)
    chosen = {"units": 16, "dim_node_embedding": 16, "dim_edge_embedding": 16, "is_intensive": False} | changes
    return M3GNet(element_types=ELEMENTS, cutoff=5.0, threebody_cutoff=4.0, **chosen)


def potential(model, **changes):
    made = Potential(model, element_refs=REFERENCES, data_std=1.7, data_mean=0.3, **changes)
    return made.requires_grad_(False).eval()


def vacancy(seed, repeat=(2, 2, 2)):
    atoms = bulk("CdTe", "zincblende", a=6.66, cubic=True).repeat(repeat)
    del atoms[0]
    atoms.rattle(0.15, seed=seed)
    atoms.numbers[3] = 34
    return atoms


def clusters():
    """Three atoms of which one is near no other, and a pair at the end of the cutoff of three bodies."""
    return Atoms("CdTeSe", positions=[[1, 1, 1], [1, 1, 4.9], [1, 5.2, 1.5]], cell=[12, 13, 14], pbc=True)


def small_cell():
    """Every atom has its own images for neighbours."""
    atoms = bulk("CdTe", "zincblende", a=6.3)
    atoms.rattle(0.05, seed=1)
    atoms.set_cell(atoms.cell.array + np.array([[0.1, 0, 0], [0, 0, 0.2], [0, 0, 0]]), scale_atoms=True)
    return atoms


def batch(*structures):
    return Batch(
        names=tuple(range(len(structures))),
        numbers=torch.tensor(np.concatenate([one.numbers for one in structures])),
        positions=torch.tensor(np.concatenate([one.positions for one in structures])),
        owners=torch.repeat_interleave(torch.arange(len(structures)), torch.tensor([len(one) for one in structures])),
        cells=torch.tensor(np.array([one.cell.array for one in structures])),
    )


def by_matgl(made, atoms):
    """Energy and forces of matgl's own calculator in double precision."""
    matgl.set_default_dtype("float", 64)
    try:
        atoms = atoms.copy()
        made.model.feature_dict = {}
        atoms.calc = PESCalculator(copy.deepcopy(made).double(), stress_unit="eV/A3")
        return atoms.get_potential_energy(), atoms.get_forces()
    finally:
        matgl.set_default_dtype("float", 32)


def assert_matgls(made, structures, *, energy, force):
    """Hold a batch against matgl, to tolerances in eV per atom and eV/Å."""
    energies, forces = MatglForceField(made).evaluate(batch(*structures))
    for atoms, found, part in zip(structures, energies, forces.split([len(one) for one in structures]), strict=True):
        expected, expected_forces = by_matgl(made, atoms)
        assert found.item() == pytest.approx(expected, abs=energy * len(atoms))
        np.testing.assert_allclose(part.numpy(), expected_forces, atol=force)


VARIANTS = {
    "smooth": {"use_smooth": True},
    "as matgl makes it": {},
    "two degrees": {"max_l": 2, "max_n": 4},
    "one degree, one block": {"max_l": 1, "nblocks": 1, "use_smooth": True},
    "wide": {"units": 24, "dim_node_embedding": 16, "dim_edge_embedding": 16},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_values_are_matgls(name):
    made = potential(network(**VARIANTS[name]))
    assert is_supported(made)
    assert_matgls(made, [vacancy(1), small_cell(), vacancy(2, (1, 2, 2)), clusters()], energy=1e-6, force=1e-5)


def test_values_of_the_committed_model_are_those_of_matgls_calculator_as_users_have_it():
    made = load_checkpoint(str(ROOT / "models" / "gfn1-defects")).model.requires_grad_(False)
    atoms = vacancy(4)
    energies, forces = MatglForceField(made).evaluate(batch(atoms))
    atoms.calc = PESCalculator(made, stress_unit="eV/A3")
    assert energies.item() == pytest.approx(atoms.get_potential_energy(), abs=1e-5 * len(atoms))
    np.testing.assert_allclose(forces.numpy(), atoms.get_forces(), atol=1e-4)
    expected, expected_forces = by_matgl(made, atoms)
    assert energies.item() == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(forces.numpy(), expected_forces, atol=1e-5)


def test_a_batch_is_its_structures_one_by_one():
    field = MatglForceField(potential(network()))
    structures = [vacancy(1), clusters(), small_cell(), vacancy(2)]
    energies, forces = field.evaluate(batch(*structures))
    alone = [MatglForceField(potential(network())).evaluate(batch(one)) for one in structures]
    np.testing.assert_allclose(energies, [energy.item() for energy, _ in alone], atol=1e-6)
    np.testing.assert_allclose(forces, torch.cat([force for _, force in alone]), atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_forces_are_the_slope_of_the_energy(name):
    field = MatglForceField(potential(network(**VARIANTS[name])))
    atoms = vacancy(5, (1, 1, 2))
    _, forces = field.evaluate(batch(atoms))
    random = np.random.default_rng(0)
    for _ in range(3):
        direction = random.normal(size=(len(atoms), 3))
        ends = []
        for step in (1e-2, -1e-2, 5e-3, -5e-3):
            moved = atoms.copy()
            moved.positions += step * direction
            ends.append(field.evaluate(batch(moved))[0].item())
        wide, narrow = (ends[0] - ends[1]) / 2e-2, (ends[2] - ends[3]) / 1e-2
        assert -(forces.numpy() * direction).sum() == pytest.approx((4 * narrow - wide) / 3, abs=2e-3)


def test_forces_sum_to_nothing():
    _, forces = MatglForceField(potential(network())).evaluate(batch(vacancy(1)))
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-12)


@pytest.mark.parametrize("change", [{"use_phi": True}, {"max_l": 4}, {"activation_type": "tanh"}])
def test_other_networks_are_left_to_matgl(change):
    assert not is_supported(potential(network(**change)))


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(max_l=4),
        lambda: TensorNet(element_types=ELEMENTS, units=16, nblocks=1, cutoff=5.0, is_intensive=False),
        lambda: CHGNet(element_types=ELEMENTS, cutoff=5.0, threebody_cutoff=3.0),
        lambda: SO3Net(element_types=ELEMENTS, cutoff=5.0, is_intensive=False, nmax=3, lmax=2),
    ],
)
def test_networks_left_to_matgl_have_its_values_too(model):
    assert_matgls(potential(model()), [vacancy(1, (1, 2, 2)), small_cell()], energy=1e-5, force=1e-4)


def loaded(model):
    return force_field(Checkpoint(model=model, level_of_theory="test", card=None, made_for=None), name="test")


def test_nothing_is_left_over_from_the_structures_of_an_earlier_call():
    model, settings = potential(network()), SurrogateSettings(max_steps=1)
    strained, smaller = vacancy(1, (1, 1, 1)), vacancy(1, (1, 1, 1))
    strained.set_cell(0.9 * strained.cell.array, scale_atoms=True)
    del smaller[-1]
    kept = loaded(model)
    for atoms in (vacancy(1, (1, 1, 1)), strained, smaller, vacancy(1, (1, 1, 1))):
        start = AseAtomsAdaptor.get_structure(atoms)
        (found,), (fresh,) = (relax([start], each, settings=settings) for each in (kept, loaded(model)))
        assert found.energy == fresh.energy
        np.testing.assert_array_equal(found.frames[0].forces, fresh.frames[0].forces)


@pytest.mark.parametrize("change", [{}, {"calc_repuls": True}])
def test_what_the_network_does_not_know_of_is_left_to_matgls_calculator(change):
    """Only who evaluates is asked: matgl 4.1.2's own calculator raises where there is repulsion."""
    found = loaded(potential(network(), **change)).force_field
    assert isinstance(found, CalculatorForceField if change else MatglForceField)
