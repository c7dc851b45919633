import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.relaxation import Unit, digest, max_force, mean_force, structure_digest


@pytest.fixture
def unit(cluster_crystal):
    return Unit("Cd4Te4", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "method")


def test_the_name_is_the_identity(unit):
    assert unit.name == "Cd4Te4/v_Cd_0/Dimer/surrogate"


def test_the_key_depends_on_structure_method_and_level_alone(unit, cluster_crystal):
    moved = cluster_crystal.copy()
    moved.translate_sites([0], [0.001, 0, 0], frac_coords=False)
    assert dataclasses.replace(unit, label="Rattled", host="other").key == unit.key
    others = [
        dataclasses.replace(unit, structure=moved),
        dataclasses.replace(unit, method="another"),
        dataclasses.replace(unit, level="reference"),
    ]
    assert len({unit.key, *(other.key for other in others)}) == 4


def test_the_key_survives_a_poscar(unit, cluster_crystal):
    from pymatgen.io.vasp import Poscar

    again = Poscar.from_str(Poscar(cluster_crystal).get_str(significant_figures=16)).structure
    assert dataclasses.replace(unit, structure=again).key == unit.key


def test_oxidation_states_do_not_enter_the_digest(cluster_crystal):
    decorated = cluster_crystal.copy()
    decorated.add_oxidation_state_by_element({"Cd": 2, "Te": -2})
    assert structure_digest(decorated) == structure_digest(cluster_crystal)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_the_digest_ignores_the_order_of_keys(content):
    assert digest(content) == digest(dict(reversed(list(content.items()))))


def test_the_digest_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="JSON compliant"):
        digest({"x": float("nan")})


def test_forces():
    forces = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert mean_force(forces) == pytest.approx(3.0)
    assert max_force(forces) == pytest.approx(5.0)
