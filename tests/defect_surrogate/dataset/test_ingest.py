"""Whole trees, with real outputs of the stand-in and the faults that trees have."""

import csv
import io
import os
import re

import numpy as np
import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.ingest import ingest, table_csv
from defect_surrogate.dataset.store import read_dataset, write_dataset
from defect_surrogate.errors import DatasetError
from defect_surrogate.relaxation import Unit
from defect_surrogate.vasp import parse_run

STAND_IN = "GFN1-xTB (vasp-xtb, stand-in for VASP)"


def as_vasp(path, *, hybrid=False) -> None:
    """Give an output the names that VASP would write."""
    text = (
        path.read_text().replace("STANDIN-XTB", "06Sep2000").replace("vasp-xtb: a GFN-xTB stand-in, not VASP", "vasp")
    )
    text = text.replace("GFN1-xTB by tblite 0.8.0", "")
    tags = '<i type="logical" name="LHFCALC"> T</i><i name="HFSCREEN"> 0.208</i><i name="AEXX"> 0.25</i>'
    path.write_text(text.replace("<parameters>", f"<parameters>{tags}") if hybrid else text)


def test_a_tree_becomes_a_dataset_and_a_table(place, tree, run_of_bulk, tmp_path):
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    cut = place("NaCl/v_Na_0/Unperturbed", vasprun="vasprun.xml") / "vasprun.xml"
    cut.write_text(cut.read_text()[: cut.read_text().rindex("</calculation>")])
    place("NaCl/v_Na_0/Rattled", POSCAR="POSCAR")
    place("NaCl/bulk", run_of_bulk, OUTCAR="OUTCAR")
    place("NaCl/notes", vasprun="vasprun.xml")
    result = ingest([tree])
    rows = {row.label: (row.host, row.defect, row.found, row.taken, row.dropped) for row in result.table}
    assert rows == {
        "Dimer": ("NaCl", "v_Na_0", 5, 5, 0),
        "Unperturbed": ("NaCl", "v_Na_0", 5, 4, 1),
        "Rattled": ("NaCl", "v_Na_0", 0, 0, 0),
        "bulk": ("NaCl", "bulk", 1, 1, 0),
        "notes": ("", "", 0, 0, 0),
    }
    assert {row.label for row in result.table if row.reasons} == {"Unperturbed", "Rattled", "notes"}
    dataset = result.dataset
    assert (dataset.level_of_theory, dataset.compositions, len(dataset)) == (STAND_IN, ("NaCl",), 10)
    write_dataset(dataset, tmp_path / "set")
    assert read_dataset(tmp_path / "set").digest == dataset.digest


def test_archive_and_tree_give_the_same_frames(place, tree, tmp_path, run_of_vacancy):
    relaxation = parse_run(run_of_vacancy)
    unit = Unit("NaCl", "v_Na_0", "Dimer", "reference", relaxation.frames[0].structure, "method")
    Archive(tmp_path / "run" / "archive").publish(unit, relaxation)
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    one, other = (ingest([path]).dataset for path in (tree, tmp_path / "run"))
    for a, b in zip(one.frames, other.frames, strict=True):
        assert (a.name, a.last, a.composition) == (b.name, b.last, b.composition)
        assert a.energy == pytest.approx(b.energy, abs=1e-8)
        np.testing.assert_allclose(a.forces, b.forces, atol=1e-8)
        np.testing.assert_allclose(a.stress, b.stress, atol=1e-8)
        np.testing.assert_allclose(a.positions, b.positions, atol=2e-8)
    both = ingest([tree, tmp_path / "run"]).dataset
    assert sorted({frame.label for frame in both.frames}) == ["Dimer", "Dimer_2"]


def test_what_is_found_twice_is_taken_once(place, tree, run_of_vacancy):
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    place("NaCl/v_Na_0/Unperturbed", vasprun="vasprun.xml")
    first, second = ingest([tree]).table
    assert (first.taken, second.taken, second.dropped) == (5, 0, 5)
    assert "the same as" in second.reasons
    assert [row.taken for row in ingest([tree, tree]).table] == [5, 0, 0, 0]


def test_the_composition_comes_from_a_structure_of_the_bulk_where_names_say_nothing(place, tree, rock_salt):
    place("salt/complex_7/Dimer", vasprun="vasprun.xml")
    with pytest.raises(DatasetError, match=r"salt: of which host complex_7 in .* put the structure of the host there"):
        ingest([tree])
    rock_salt.to(str(tree / "salt" / "bulk_POSCAR"), fmt="poscar")
    with pytest.raises(DatasetError, match="is not complex_7 of NaCl"):
        ingest([tree])  # four formula units are too few for rounding
    place("salt/v_Na_0/Dimer", OUTCAR="OUTCAR")
    assert ingest([tree]).dataset.compositions == ("NaCl",)


def test_a_folder_of_another_host_is_dropped(place, tree, run_of_bulk):
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    place("NaCl/bulk", run_of_bulk, vasprun="vasprun.xml")
    place("NaCl/v_Cl_0/Dimer", OUTCAR="OUTCAR")
    table = {row.defect: row for row in ingest([tree]).table}
    assert table["v_Cl_0"].taken == 0
    assert "is not v_Cl_0 of NaCl, the host of most relaxations in" in table["v_Cl_0"].reasons


@pytest.mark.parametrize("hybrid", [False, True])
def test_two_levels_of_theory_are_refused_with_both_places(place, tree, hybrid):
    first = place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml") / "vasprun.xml"
    second = place("NaCl/v_Na_0/Unperturbed", vasprun="vasprun.xml") / "vasprun.xml"
    as_vasp(second, hybrid=hybrid)
    with pytest.raises(DatasetError) as caught:
        ingest([tree])
    for part in (STAND_IN, "HSE06 (VASP)" if hybrid else "PBE (VASP)", str(first), str(second)):
        assert part in str(caught.value)


def test_restarts_at_two_levels_of_theory_are_refused(place, tree):
    folder = place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    as_vasp(place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml_1") / "vasprun.xml_1")
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(DatasetError, match="2 levels of theory cannot be in one dataset"):
        ingest([tree])


def test_two_potcars_of_one_element_are_refused_with_both_places(place, tree):
    """At one level of theory by name, their energies have zeros that are eV apart."""
    first = place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml") / "vasprun.xml"
    second = place("NaCl/v_Na_0/Unperturbed", vasprun="vasprun.xml") / "vasprun.xml"
    for path in (first, second):
        as_vasp(path)
    ingest([tree])
    titles = re.findall(r"\S+ Na \S+", second.read_text())
    assert len(set(titles)) == 1
    second.write_text(second.read_text().replace(titles[0], titles[0].replace(" Na ", " Na_pv ")))
    with pytest.raises(
        DatasetError, match=r"two POTCARs of Na cannot be in one dataset: \S+ Na \S+ in .*; \S+ Na_pv \S+ in "
    ):
        ingest([tree])


def test_hosts_with_one_name_and_two_compositions_are_refused(place, tree, tmp_path, run_of_vacancy):
    place("a/defects/v_Na_0/Dimer", vasprun="vasprun.xml")
    path = place("b/defects/v_K_0/Dimer", vasprun="vasprun.xml") / "vasprun.xml"
    path.write_text(path.read_text().replace("Na", "K "))
    with pytest.raises(DatasetError, match=r"host 'defects' is NaCl in .* and KCl in .*: rename one of the folders"):
        ingest([tree])
    assert ingest([tree / "b"], host="KCl").dataset.compositions == ("KCl",)


@pytest.mark.parametrize("name", ["empty", "pipes", "files"])
def test_a_tree_without_calculations_is_refused(tmp_path, name):
    tree = tmp_path / name
    (tree / "NaCl" / "notes").mkdir(parents=True)
    if name == "pipes":
        os.mkfifo(tree / "NaCl" / "POSCAR")
    if name == "files":
        (tree / "NaCl" / "POSCAR").write_text("")
    with pytest.raises(DatasetError, match=f"{name}: no finished calculation there"):
        ingest([tree])
    with pytest.raises(DatasetError, match="no tree given"):
        ingest([])


def test_structures_without_forces_are_no_dataset(hse_search):
    with pytest.raises(DatasetError, match="nothing to take from 26 folders: .*no vasprun.xml or OUTCAR, so no forces"):
        ingest([hse_search])


def test_an_archive_of_a_surrogate_alone_is_no_dataset(tmp_path, run_of_vacancy):
    relaxation = parse_run(run_of_vacancy)
    unit = Unit("NaCl", "v_Na_0", "Dimer", "surrogate", relaxation.structure, "method")
    Archive(tmp_path / "archive").publish(unit, relaxation)
    with pytest.raises(DatasetError, match="no archived reference relaxation"):
        ingest([tmp_path])


def test_the_table_is_csv(place, tree):
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    table = ingest([tree]).table
    (row,) = csv.DictReader(io.StringIO(table_csv(table)))
    assert (row["tree"], row["host"], row["found"], row["taken"], row["reasons"]) == (str(tree), "NaCl", "5", "5", "")
