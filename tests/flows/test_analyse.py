"""Somebody's finished HSE06 search, read and reported."""

import json
import os
import shutil

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.errors import FolderError, HostError, InputError
from defect_surrogate.settings import MinimaSettings
from flows.analyse import analyse


def test_hybrid_dft_search_of_the_cadmium_vacancy(hse_search, tmp_path):
    report = analyse(hse_search, bulk=hse_search / "bulk_POSCAR", out=tmp_path, settings=MinimaSettings())
    (vacancy,) = report.hosts[0].vacancies
    assert report.hosts[0].oxidation_states == {"Cd": 2, "Te": -2}
    assert (vacancy.name, len(vacancy.minima)) == ("v_Cd_0", 2)
    assert vacancy.ground_state.motif == "Te–Te dimer, 2.75 Å"
    assert vacancy.energy_lowering == pytest.approx(-0.755, abs=1e-3)
    assert json.loads((tmp_path / "campaign.json").read_text())["hosts"][0]["name"] == "CdTe"
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("origin", [(0.125,) * 3, (0.25,) * 3, (0.1, 0.2, 0.3), (0.5,) * 3])
def test_the_origin_of_the_bulk_does_not_matter(hse_search, tmp_path, origin):
    bulk = Structure.from_file(hse_search / "bulk_POSCAR")
    moved = Structure(bulk.lattice, bulk.species, bulk.frac_coords + origin, to_unit_cell=True)
    Poscar(moved).write_file(tmp_path / "bulk_POSCAR")
    report = analyse(hse_search, bulk=tmp_path / "bulk_POSCAR", out=None, settings=MinimaSettings())
    (vacancy,) = report.hosts[0].vacancies
    assert (vacancy.name, len(vacancy.minima), vacancy.failures) == ("v_Cd_0", 2, ())
    assert vacancy.ground_state.motif == "Te–Te dimer, 2.75 Å"
    assert vacancy.energy_lowering == pytest.approx(-0.755, abs=1e-3)


def test_the_same_defect_at_two_levels_of_theory_keeps_its_own_minima(hse_search, tmp_path):
    tree = tmp_path / "tree"
    for name in ("CdTe_v_Cd_0_HSE06", "CdTe_v_Cd_0_PBE", "v_Cd_-1"):
        for label in ("Unperturbed", "Bond_Distortion_-40.0%"):
            shutil.copytree(hse_search / label, tree / name / label)
        shutil.copy(hse_search / "vac_1_Cd_0.yaml", tree / name)
    report = analyse(tree, bulk=hse_search / "bulk_POSCAR", out=tmp_path / "out", settings=MinimaSettings())
    vacancies = report.hosts[0].vacancies
    assert [(vacancy.name, vacancy.charge) for vacancy in vacancies] == [
        ("CdTe_v_Cd_0_HSE06_0", 0),
        ("CdTe_v_Cd_0_PBE_0", 0),
        ("v_Cd_-1", -1),
    ]
    files = [minimum.structure_file for vacancy in vacancies for minimum in vacancy.minima]
    assert len(set(files)) == len(files) == 6
    assert all((tmp_path / "out" / file).is_file() for file in files)


def test_names_that_still_meet_are_numbered(hse_search, tmp_path):
    for name, energies in (("other", "v_Cd_0"), ("v_Cd", "energies")):
        for label in ("Unperturbed", "Bond_Distortion_-40.0%"):
            shutil.copytree(hse_search / label, tmp_path / name / label)
        shutil.copy(hse_search / "vac_1_Cd_0.yaml", tmp_path / name / f"{energies}.yaml")
    report = analyse(tmp_path, bulk=hse_search / "bulk_POSCAR", out=None, settings=MinimaSettings())
    assert [vacancy.name for vacancy in report.hosts[0].vacancies] == ["v_Cd_0", "v_Cd_2_0"]


def test_iodine_in_an_iodate_is_no_anion(tmp_path):
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.46), ["K", "I", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    bulk = (cell * (2, 2, 2)).get_sorted_structure()
    Poscar(bulk).write_file(tmp_path / "bulk_POSCAR")
    ideal = bulk.copy()
    ideal.remove_sites([next(i for i, site in enumerate(bulk) if site.specie.symbol == "K")])
    iodine = [i for i, site in enumerate(ideal) if site.specie.symbol == "I"]
    close = ideal.copy()
    close.translate_sites(iodine[:1], [0, 0, 0.9], frac_coords=False)
    close.translate_sites(iodine[1:2], [0, 0, -0.9], frac_coords=False)
    for label, structure in (("Unperturbed", ideal), ("Bond_Distortion_-30.0%", close)):
        (tmp_path / "v_K_0" / label).mkdir(parents=True)
        Poscar(structure).write_file(tmp_path / "v_K_0" / label / "CONTCAR")
    (tmp_path / "v_K_0" / "v_K_0.yaml").write_text("distortions: {-0.3: -201.0}\nUnperturbed: -200.0\n")
    assert close.get_distance(iodine[0], iodine[1]) == pytest.approx(2.66)
    report = analyse(tmp_path / "v_K_0", bulk=tmp_path / "bulk_POSCAR", out=None, settings=MinimaSettings())
    (host,) = report.hosts
    assert [element for element, state in host.oxidation_states.items() if state < 0] == ["O"]
    assert all("I" not in bond.elements for bond in host.vacancies[0].ground_state.bonds)


def test_the_folder_of_a_search_and_a_file_are_no_place_for_the_report(hse_search, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "report.html").write_text("of the search")
    for out, message in (("run", "run: is the folder of a search"), ("run/run.json", "cannot be the folder")):
        with pytest.raises(InputError, match=message):  # before anything is read: there is no such tree
            analyse(tmp_path / "absent", bulk=tmp_path / "absent", out=tmp_path / out, settings=MinimaSettings())
    assert (tmp_path / "run" / "report.html").read_text() == "of the search"


def test_a_pipe_is_no_bulk(hse_search, tmp_path):
    os.mkfifo(tmp_path / "POSCAR")
    with pytest.raises(HostError, match="not a regular file"):
        analyse(hse_search, bulk=tmp_path / "POSCAR", out=None, settings=MinimaSettings())


def test_two_inequivalent_sites_are_told_apart_by_their_folders(hse_search, tmp_path):
    for name in ("v_Cd_s1_0", "v_Cd_s2_0"):
        for label in ("Unperturbed", "Bond_Distortion_-40.0%"):
            shutil.copytree(hse_search / label, tmp_path / "tree" / name / label)
        shutil.copy(hse_search / "vac_1_Cd_0.yaml", tmp_path / "tree" / name / f"{name}.yaml")
    report = analyse(
        tmp_path / "tree", bulk=hse_search / "bulk_POSCAR", out=tmp_path / "out", settings=MinimaSettings()
    )
    assert [vacancy.name for vacancy in report.hosts[0].vacancies] == ["v_Cd_s1_0", "v_Cd_s2_0"]


def test_an_empty_tree_and_an_unreadable_bulk_are_refused(hse_search, tmp_path):
    with pytest.raises(FolderError, match="no distortion folder"):
        analyse(tmp_path, bulk=hse_search / "bulk_POSCAR", out=None, settings=MinimaSettings())
    with pytest.raises(HostError, match="absent_POSCAR"):
        analyse(hse_search, bulk=tmp_path / "absent_POSCAR", out=None, settings=MinimaSettings())
