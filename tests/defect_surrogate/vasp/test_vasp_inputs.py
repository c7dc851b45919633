import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, Potcar

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import check_cell, reference_method, write_inputs
from defect_surrogate.vasp.inputs import grouped_order

STAND_IN = ReferenceSettings()
VASP = ReferenceSettings(vasp_cmd=["srun", "-n", "16", "vasp_gam"])


def test_stand_in_defect_has_the_papers_tags_and_says_what_it_is(water):
    method = reference_method(water, STAND_IN, cell="defect")
    assert method.is_stand_in
    assert method.level_of_theory == "GFN1-xTB (vasp-xtb, stand-in for VASP)"
    assert (method.incar["ENCUT"], method.incar["EDIFFG"], method.incar["NSW"]) == (350.0, -0.01, 300)
    assert "NELECT" not in method.incar
    assert [potcar.element for potcar in method.potcars] == ["H", "O"]


def test_vasp_defect_is_hse06_at_gamma(water, vasp_library):
    method = reference_method(water, VASP, cell="defect")
    assert not method.is_stand_in
    assert method.level_of_theory == "HSE06 (VASP)"
    assert Kpoints.from_str(method.kpoints).kpts == [(1, 1, 1)]


def test_host_mesh_has_900_points_per_site(zincblende_cdte, vasp_library):
    method = reference_method(zincblende_cdte, VASP, cell="host")
    kpoints = Kpoints.from_str(method.kpoints)
    assert kpoints.kpts == [(7, 7, 7)]  # 343 points times 2 atoms is the largest uniform mesh below 900
    assert kpoints.style.name == "Gamma"
    assert (method.incar["ENCUT"], method.incar["ISIF"], method.incar["EDIFFG"]) == (585.0, 3, -1e-5)


def test_host_of_the_stand_in_is_at_gamma(zincblende_cdte):
    assert Kpoints.from_str(reference_method(zincblende_cdte, STAND_IN, cell="host").kpoints).kpts == [(1, 1, 1)]


@pytest.mark.parametrize(("charge", "electrons"), [(-1, 9.0), (2, 6.0)])
def test_charge_sets_nelect_from_the_potcars(water, charge, electrons):
    assert reference_method(water, STAND_IN, cell="defect", charge=charge).incar["NELECT"] == electrons


def test_digest_knows_what_decides_the_result_and_nothing_else(water, zincblende_cdte, vasp_library):
    def vasp(structure=water, *, cell="defect", charge=0, **changes):
        return reference_method(structure, VASP.model_copy(update=changes), cell=cell, charge=charge).digest

    same = [
        vasp(),
        vasp(vasp_cmd=["vasp_std"]),
        vasp(walltime=3600),
        vasp(max_errors=9),
        vasp(defect_incar={"NCORE": 8, "KPAR": 2}),
        vasp(defect_incar={"encut": 350}),
        vasp(Structure.from_sites([water[1], water[0], water[2]])),
    ]
    assert len(set(same)) == 1
    different = [
        vasp(),
        vasp(cell="host"),
        vasp(charge=1),
        vasp(defect_incar={"ENCUT": 400}),
        vasp(zincblende_cdte),
        reference_method(water, STAND_IN, cell="defect").digest,
        reference_method(
            water, STAND_IN.model_copy(update={"defect_incar": {"XTB_METHOD": "GFN2-xTB"}}), cell="defect"
        ).digest,
    ]
    potcar = vasp_library / "POT_GGA_PAW_PBE" / "O" / "POTCAR"
    potcar.write_text(potcar.read_text().replace("6.00000000", "6.00000001", 1))
    different.append(vasp())
    assert len(set(different)) == len(different)


def test_method_travels_to_workers(water):
    method = reference_method(water, STAND_IN, cell="defect")
    assert pickle.loads(pickle.dumps(method)) == method


def test_written_files_are_read_back_as_meant(water, vasp_library, tmp_path):
    method = reference_method(water, VASP, cell="defect")
    write_inputs(water, method, tmp_path / "a" / "b")
    directory = tmp_path / "a" / "b"
    poscar = Poscar.from_file(directory / "POSCAR")
    assert poscar.site_symbols == ["H", "O"]
    assert poscar.natoms == [2, 1]
    assert Potcar.from_file(str(directory / "POTCAR")).symbols == ["H", "O"]
    assert dict(Incar.from_file(directory / "INCAR")) == dict(method.incar)
    assert str(Kpoints.from_file(directory / "KPOINTS")) == method.kpoints


@given(
    symbols=st.lists(st.sampled_from(["Cd", "Te", "Se"]), min_size=2, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_poscar_keeps_positions_to_twelve_digits_in_any_order(symbols, seed, tmp_path_factory):
    random = np.random.default_rng(seed)
    lattice = Lattice(np.diag([10.0, 11.0, 12.0]) + random.uniform(-1, 1, (3, 3)))
    structure = Structure(lattice, symbols, random.uniform(0, 1, (len(symbols), 3)))
    directory = tmp_path_factory.mktemp("poscar")
    write_inputs(structure, reference_method(structure, STAND_IN, cell="defect"), directory)
    read = Poscar.from_file(directory / "POSCAR", check_for_potcar=False).structure
    order = grouped_order(structure)
    assert [site.specie.symbol for site in read] == [symbols[index] for index in order]
    np.testing.assert_allclose(read.frac_coords, structure.frac_coords[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(read.lattice.matrix, lattice.matrix, rtol=0, atol=1e-12)


def test_oxidation_states_do_not_reach_the_files(zincblende_cdte, tmp_path):
    decorated = zincblende_cdte.copy().add_oxidation_state_by_element({"Cd": 2, "Te": -2})
    write_inputs(decorated, reference_method(decorated, STAND_IN, cell="defect"), tmp_path)
    assert Poscar.from_file(tmp_path / "POSCAR", check_for_potcar=False).site_symbols == ["Cd", "Te"]


def test_changed_potcar_library_is_noticed(water, vasp_library, tmp_path):
    method = reference_method(water, VASP, cell="defect")
    potcar = vasp_library / "POT_GGA_PAW_PBE" / "O" / "POTCAR"
    potcar.write_text(potcar.read_text().replace("06Sep2000", "08Apr2002"))
    with pytest.raises(ReferenceInputError, match=r"POTCAR 'O' \(PBE\) has changed"):
        write_inputs(water, method, tmp_path)


def test_structure_with_another_element_is_refused(water, zincblende_cdte, tmp_path):
    with pytest.raises(ReferenceInputError, match="no POTCAR of Cd"):
        write_inputs(zincblende_cdte, reference_method(water, STAND_IN, cell="defect"), tmp_path)


def test_partial_occupancy_is_refused():
    alloy = Structure(Lattice.cubic(10), [{"Se": 0.5, "Te": 0.5}], [[0, 0, 0]])
    with pytest.raises(ReferenceInputError, match="partially occupied"):
        reference_method(alloy, STAND_IN, cell="defect")


def test_a_cell_too_small_for_gamma_is_refused_before_anything_runs(zincblende_cdte, cluster_crystal):
    check_cell(cluster_crystal, ReferenceSettings())
    check_cell(zincblende_cdte, ReferenceSettings(vasp_cmd=["vasp_std"]))
    check_cell(zincblende_cdte, ReferenceSettings(defect_incar={"XTB_MIN_WIDTH": 3.0}))
    with pytest.raises(ReferenceInputError, match=r"Cd1 Te1: the cell is 3\.74 x .* needs 10 Å"):
        check_cell(zincblende_cdte, ReferenceSettings())
