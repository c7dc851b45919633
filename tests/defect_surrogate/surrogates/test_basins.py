import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.surrogates.basins import HIGHEST, NEARBY, PARABOLIC, Basins
from defect_surrogate.surrogates.flight import Run
from defect_surrogate.surrogates.unfinished import Unfinished

MINIMUM = np.array([[0.1, 0.2, 0.3], [3.0, 3.1, 2.9], [5.0, 0.4, 3.3]])
ENERGY = -7.5


def run_in(lattice, species=("Cd", "Te", "Te")):
    return Run(0, Structure(lattice, species, MINIMUM, coords_are_cartesian=True), Unfinished())


@pytest.fixture
def run():
    return run_in(Lattice.orthorhombic(6, 7, 8))


@pytest.fixture
def basins(run):
    found = Basins(lambda _: ())
    found.add(run.start, MINIMUM, ENERGY)
    found.add(run.start, MINIMUM + 0.5, ENERGY + 1e-5)
    return found


def parabola(displacements, stiffness=4.0):
    """Energy and forces of three equal springs in each direction."""
    return ENERGY + 0.5 * stiffness * np.sum(displacements**2), -stiffness * displacements


def up(height, stiffness=4.0):
    """Displacements without drift whose energy on the parabola is a height, eV."""
    direction = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0]])
    return direction * np.sqrt(height / stiffness)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.floats(1e-6, 0.99 * HIGHEST),
    drift=st.tuples(*[st.floats(-3, 3)] * 3),
    image=st.tuples(*[st.integers(-2, 2)] * 3),
)
def test_a_point_on_the_parabola_of_any_curvature_is_in_the_basin(seed, height, drift, image):
    random, run = np.random.default_rng(seed), run_in(Lattice.orthorhombic(6, 7, 8))
    basins = Basins(lambda _: ())
    for _ in range(2):
        basins.add(run.start, MINIMUM, ENERGY)
    factor = random.normal(size=(9, 9))
    hessian = factor @ factor.T + 2 * np.eye(9)
    direction = random.normal(size=(3, 3))
    direction = (direction - direction.mean(0)).ravel()
    displacement = direction * np.sqrt(2 * height / (direction @ hessian @ direction))
    forces = -(hessian @ displacement).reshape(3, 3)
    forces -= forces.mean(0)  # a drift costs nothing
    positions = MINIMUM + displacement.reshape(3, 3) + drift
    positions[1] += np.array(image) * [6, 7, 8]
    assert np.linalg.norm(displacement.reshape(3, 3), axis=1).max() < NEARBY
    assert basins.around(run, positions, ENERGY + height, forces) is not None


def test_it_says_how_far(basins, run):
    displacements = up(2e-3)
    said = basins.around(run, MINIMUM + displacements, *parabola(displacements))
    assert said == "2.0 meV above a minimum already reached, atoms within 0.022 Å of it"


def test_far_from_the_minimum_nothing_is_said(basins, run):
    soft = 0.2
    displacements = up(1e-3, soft)
    assert basins.around(run, MINIMUM + displacements, *parabola(displacements, soft)) is not None
    displacements = up(3e-3, soft)
    assert np.abs(displacements).max() > NEARBY
    assert basins.around(run, MINIMUM + displacements, *parabola(displacements, soft)) is None


@pytest.mark.parametrize("off", [-2 * PARABOLIC, 2 * PARABOLIC])
def test_an_energy_off_the_parabola_is_that_of_another_basin(basins, run, off):
    displacements = up(2e-3)
    energy, forces = parabola(displacements)
    assert basins.around(run, MINIMUM + displacements, energy + off, forces) is None


def test_a_lower_or_much_higher_energy_is_that_of_another_basin(basins, run):
    displacements = up(1.1 * HIGHEST)
    assert basins.around(run, MINIMUM + displacements, *parabola(displacements)) is None
    energy, forces = parabola(up(2e-3))
    assert basins.around(run, MINIMUM + up(2e-3), 2 * ENERGY - energy, -forces) is None


@pytest.mark.parametrize(
    ("lattice", "species"),
    [
        (Lattice.orthorhombic(6, 7, 8.01), ("Cd", "Te", "Te")),
        (Lattice.orthorhombic(6, 7, 8), ("Te", "Cd", "Te")),
        (Lattice.orthorhombic(6, 7, 8), ("Cd", "Te", "Se")),
    ],
)
def test_a_basin_of_another_cell_is_none_of_this(basins, lattice, species):
    displacements = up(1e-3)
    here = (MINIMUM + displacements, *parabola(displacements))
    assert basins.around(run_in(Lattice.orthorhombic(6, 7, 8)), *here) is not None
    assert basins.around(run_in(lattice, species), *here) is None


@pytest.mark.parametrize("reason", ["converged", "step limit", "merged"])
def test_only_what_converged_elsewhere_is_a_basin(run, reason):
    ended = Relaxation(
        "surrogate", run.start, ENERGY, 9, reason == "converged", reason, "", Provenance("", "", 1.0, 10, ())
    )
    basins = Basins(lambda index: [ended, ended] if index == 0 else [])
    displacements = up(1e-3)
    said = basins.around(run, MINIMUM + displacements, *parabola(displacements))
    assert (said is not None) == (reason == "converged")


def test_where_one_alone_has_ended_is_no_basin_yet(run):
    basins = Basins(lambda _: ())
    displacements = up(1e-3)
    here = (run, MINIMUM + displacements, *parabola(displacements))
    basins.add(run.start, MINIMUM, ENERGY)
    basins.add(run.start, MINIMUM + up(4e-3), ENERGY)
    basins.add(run.start, MINIMUM, ENERGY + 4e-3)
    assert basins.around(*here) is None
    basins.add(run.start, MINIMUM + 1.0, ENERGY - 5e-4)
    assert basins.around(*here) is not None
