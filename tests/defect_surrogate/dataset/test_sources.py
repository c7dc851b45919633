"""Where relaxations are found, and what they are called."""

import shutil
from dataclasses import replace

import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.sources import find_relaxations, host_structures
from defect_surrogate.errors import DatasetError
from defect_surrogate.relaxation import Unit
from defect_surrogate.vasp import parse_run


def names(tree, host=None) -> list[tuple[str, str, str, int]]:
    return [(one.host, one.defect, one.label, len(one.frames)) for one in find_relaxations(tree, host=host)]


@pytest.mark.parametrize(
    ("folder", "host", "defect", "label"),
    [
        ("NaCl/v_Na_0/Bond_Distortion_-30%", "NaCl", "v_Na_0", "Bond_Distortion_-30.0%"),
        ("deep/er/NaCl/v_Na_0/Dimer", "NaCl", "v_Na_0", "Dimer"),
        ("NaCl/v_Na_0/Unperturbed/vasp_gam", "NaCl", "v_Na_0", "Unperturbed"),
        ("NaCl/v_Na_0/vasp_std", "NaCl", "v_Na_0", "vasp_std"),
        ("NaCl/NaCl_v_Na_0_HSE06/Rattled", "NaCl", "NaCl_v_Na_0_HSE06", "Rattled"),
        ("v_Na_0/Dimer", "tree", "v_Na_0", "Dimer"),
        ("NaCl/bulk", "NaCl", "bulk", "bulk"),
        ("NaCl/NaCl_bulk/Strained_03", "NaCl", "bulk", "Strained_03"),
        ("NaCl/Pristine/relax", "NaCl", "bulk", "relax"),
    ],
)
def test_a_calculation_is_named_after_its_folders(place, tree, folder, host, defect, label):
    place(folder, vasprun="vasprun.xml")
    assert names(tree) == [(host, defect, label, 5)]
    assert names(tree, host="Salt")[0][0] == "Salt"


def test_the_tree_may_be_the_folder_of_a_defect_or_of_a_distortion(place):
    folder = place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    expected = [("NaCl", "v_Na_0", "Dimer", 5)]
    assert names(folder.parents[1]) == names(folder.parent) == names(folder) == expected


def test_a_calculation_of_nothing_known_is_told(place, tree):
    place("NaCl/convergence/encut_500", vasprun="vasprun.xml")
    (one,) = find_relaxations(tree, host=None)
    assert (one.found, one.frames) == (0, ())
    assert "neither in the folder of a defect" in one.dropped[0]


def test_what_shakenbreak_set_aside_is_not_taken(place, tree):
    place("NaCl/v_Na_0/Bond_Distortion_-60.0%_High_Energy", vasprun="vasprun.xml")
    (one,) = find_relaxations(tree, host=None)
    assert (one.label, one.frames) == ("Bond_Distortion_-60.0%", ())
    assert "set aside by ShakeNBreak" in one.dropped[0]


def test_the_hybrid_dft_structures_have_no_forces(hse_search):
    found = list(find_relaxations(hse_search, host=None))
    assert len(found) == 26
    assert {one.dropped for one in found} == {("no vasprun.xml or OUTCAR, so no forces",)}


def test_frames_carry_their_step_and_which_is_the_last(place, tree):
    place("NaCl/v_Na_0/Dimer", vasprun="vasprun.xml")
    (one,) = find_relaxations(tree, host=None)
    assert [(frame.step, frame.last) for frame in one.frames] == [(n, n == 4) for n in range(5)]
    assert one.counts == {"Na": 3, "Cl": 4}
    assert one.frames[0].numbers.tolist() == [11] * 3 + [17] * 4


def archived(root, run, *, level="reference", host="NaCl", defect="v_Na_0", label="Dimer") -> Unit:
    relaxation = parse_run(run)
    unit = Unit(host, defect, label, level, relaxation.frames[0].structure, "method")
    Archive(root).publish(unit, relaxation, files=run)
    return unit


@pytest.mark.parametrize("where", ["", "archive", "runs/one/archive"])
def test_an_archive_is_found_in_itself_in_its_run_and_below(tmp_path, run_of_vacancy, run_of_bulk, where):
    tree = tmp_path / "run"
    unit = archived(tree / where, run_of_vacancy)
    archived(tree / where, run_of_bulk, defect="bulk", label="Host")
    archived(tree / where, run_of_vacancy, level="surrogate", label="Unperturbed")
    shutil.copytree(run_of_vacancy, tree / where / ".." / "structures" / "v_Na_0" / "Dimer") if where else None
    found = {(one.host, one.defect, one.label): one for one in find_relaxations(tree, host="other")}
    assert {key for key in found if key[0] == "NaCl"} == {("NaCl", "v_Na_0", "Dimer"), ("NaCl", "bulk", "Host")}
    dimer = found["NaCl", "v_Na_0", "Dimer"]
    assert (dimer.found, len(dimer.frames), dimer.dropped) == (5, 5, ())
    assert {frame.source for frame in dimer.frames} == {unit.key}
    assert dimer.levels[0][0].startswith("GFN1-xTB")


def test_steps_left_out_when_archived_are_counted(tmp_path, run_of_vacancy):
    relaxation = parse_run(run_of_vacancy)
    positive = replace(relaxation.frames[1], energy=3.0)
    unit = Unit("NaCl", "v_Na_0", "Dimer", "reference", relaxation.structure, "method")
    frames = (relaxation.frames[0], positive, *relaxation.frames[3:])
    Archive(tmp_path).publish(unit, replace(relaxation, frames=frames))
    (one,) = find_relaxations(tmp_path, host=None)
    assert (one.found, [frame.step for frame in one.frames]) == (5, [0, 2, 3])
    assert one.dropped == ("1 step not kept in the archive", "1 step with a positive energy")


def test_structures_of_the_host_are_found_by_their_names(hse_search, tmp_path, rock_salt):
    (tmp_path / "perfect").mkdir()
    rock_salt.to(str(tmp_path / "perfect" / "POSCAR"), fmt="poscar")
    (tmp_path / "POSCAR_bulk").write_text("nothing")
    found = sorted(host_structures(tmp_path, [hse_search]), key=sorted)  # paths differ by machine
    assert found == [{"Cd": 32, "Te": 32}, {"Na": 4, "Cl": 4}]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DatasetError, match="gone: is not a folder"):
        list(find_relaxations(tmp_path / "gone", host=None))
