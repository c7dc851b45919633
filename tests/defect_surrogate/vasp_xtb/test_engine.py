"""The engine against tblite's own ASE calculator."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read
from ase.units import kB
from tblite.ase import TBLite

from defect_surrogate.vasp_xtb.engine import ElectronicStep, Engine, fermi_filling, scc_accuracy
from defect_surrogate.vasp_xtb.errors import VaspXtbStop

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "CdTe_v_Cd_0_HSE06"


def engine_for(
    atoms: Atoms,
    *,
    method: str = "GFN1-xTB",
    charge: float = 0.0,
    unpaired: int = 0,
    max_cycles: int = 250,
    log: list[ElectronicStep] | None = None,
) -> Engine:
    return Engine(
        atoms.numbers,
        method=method,
        charge=charge,
        unpaired=unpaired,
        accuracy=scc_accuracy(1e-4),
        temperature=300.0,
        max_cycles=max_cycles,
        on_cycle=([] if log is None else log).append,
    )


def assert_equals_tblite(atoms: Atoms, engine: Engine, reference: TBLite) -> None:
    evaluation = engine.evaluate(atoms.positions, atoms.cell.array)
    atoms.calc = reference
    assert evaluation.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(evaluation.forces, atoms.get_forces(), atol=1e-6)
    np.testing.assert_allclose(evaluation.stress, atoms.get_stress(voigt=False), atol=1e-8)


@pytest.mark.parametrize("method", ["GFN1-xTB", "GFN2-xTB"])
def test_equals_tblite_along_a_path(water: Atoms, method: str) -> None:
    engine = engine_for(water, method=method)
    for _ in range(3):
        assert_equals_tblite(water.copy(), engine, TBLite(method=method, accuracy=1e-4, verbosity=0))
        water.positions[2] += (0.02, 0.0, -0.05)
        water.set_cell(water.cell * 0.99, scale_atoms=True)


@pytest.mark.parametrize(("charge", "unpaired"), [(1.0, 1), (-1.0, 1), (0.0, 2), (0.5, 0)])
def test_equals_tblite_with_charge_and_spin(water: Atoms, charge: float, unpaired: int) -> None:
    reference = TBLite(method="GFN1-xTB", accuracy=1e-4, verbosity=0, charge=charge, multiplicity=unpaired + 1)
    assert_equals_tblite(water, engine_for(water, charge=charge, unpaired=unpaired), reference)


def test_equals_tblite_in_63_atoms() -> None:
    atoms = read(FIXTURES / "Unperturbed" / "POSCAR", format="vasp")
    assert_equals_tblite(atoms, engine_for(atoms), TBLite(method="GFN1-xTB", accuracy=1e-3, verbosity=0))


@pytest.mark.parametrize(("name", "unpaired"), [("O2", 2), ("O2", 0), ("NO", 1)])
def test_occupations_sum_to_tblites(name: str, unpaired: int) -> None:
    atoms = molecule(name, vacuum=6.0)
    atoms.pbc = True
    engine = engine_for(atoms, unpaired=unpaired)
    evaluation = engine.evaluate(atoms.positions, atoms.cell.array)
    up, down = evaluation.occupations
    assert up.sum() - down.sum() == pytest.approx(unpaired, abs=1e-6)
    np.testing.assert_allclose(up + down, engine._result.get("orbital-occupations"), atol=1e-6)
    assert evaluation.eigenvalues[0] < evaluation.fermi < evaluation.eigenvalues[-1]


def test_fermi_filling_of_two_levels() -> None:
    filling, level = fermi_filling(np.array([-0.1, 0.1]), 1.0, temperature=300.0)
    assert level == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(filling[0], 1 / (1 + np.exp(-0.1 / (kB * 300))), rtol=1e-9)


def test_steps_are_told_as_they_end(water: Atoms) -> None:
    log: list[ElectronicStep] = []
    evaluation = engine_for(water, log=log).evaluate(water.positions, water.cell.array)
    assert evaluation.converged
    assert tuple(log) == evaluation.steps
    assert [step.number for step in log] == list(range(1, len(log) + 1))
    assert log[-1].energy == pytest.approx(evaluation.energy, abs=1e-6)


def test_nelm_reached_gives_forces_of_the_last_density_and_the_run_goes_on(water: Atoms) -> None:
    engine = engine_for(water, max_cycles=4)
    evaluation = engine.evaluate(water.positions, water.cell.array)
    assert not evaluation.converged
    assert len(evaluation.steps) == 4
    converged = engine_for(water).evaluate(water.positions, water.cell.array)
    np.testing.assert_allclose(evaluation.forces, converged.forces, atol=0.5)
    again = engine.evaluate(water.positions, water.cell.array)
    assert again.energy == pytest.approx(converged.energy, abs=1e-2)


def test_warm_start_needs_fewer_cycles(water: Atoms) -> None:
    engine = engine_for(water)
    first = engine.evaluate(water.positions, water.cell.array)
    second = engine.evaluate(water.positions + 0.01 * np.eye(3), water.cell.array)
    assert len(second.steps) < len(first.steps)


def test_numbers_that_are_not_finite_stop(water: Atoms) -> None:
    positions = water.positions.copy()
    positions[0, 0] = np.nan
    with pytest.raises(VaspXtbStop):
        engine_for(water).evaluate(positions, water.cell.array)
