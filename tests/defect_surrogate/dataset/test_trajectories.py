"""Outputs of real runs of the stand-in, kept as groups keep them, and real files of VASP from ASE's tests."""

import gzip
import re
import shutil
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase.io import read
from ase.units import GPa
from pymatgen.io.vasp.outputs import Vasprun

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.dataset.trajectories import holds_output, read_trajectory

ASE_VASP = Path(ase.test.__file__).parent / "testdata" / "vasp"


def edit(path: Path, pattern: str, replacement: str, *, occurrence: int = -1) -> None:
    text = path.read_text()
    match = list(re.finditer(pattern, text))[occurrence]
    path.write_text(text[: match.start()] + match.expand(replacement) + text[match.end() :])


def steps(folder: Path) -> list[int]:
    return [step.number for step in read_trajectory(folder).steps]


def test_energies_forces_and_stress_are_those_of_pymatgen_and_ase(place):
    folder = place("run")
    trajectory = read_trajectory(folder)
    images = read(folder / "vasprun.xml", index=":")
    vasprun = Vasprun(folder / "vasprun.xml", parse_potcar_file=False)
    assert (trajectory.found, trajectory.dropped) == (5, ())
    assert trajectory.levels == (("GFN1-xTB (vasp-xtb, stand-in for VASP)", folder / "vasprun.xml"),)
    for step, image, ionic in zip(trajectory.steps, images, vasprun.ionic_steps, strict=True):
        assert step.source == file_digest(folder / "vasprun.xml")
        assert step.frame.energy == pytest.approx(image.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(step.frame.forces, ionic["forces"], atol=1e-10)
        np.testing.assert_allclose(step.frame.stress, image.get_stress(voigt=False), atol=1e-10)
        np.testing.assert_allclose(step.frame.stress, np.array(ionic["stress"]) * -0.1 * GPa, atol=1e-10)


def test_real_vasp_files_are_read_alike(tmp_path):
    shutil.copy(ASE_VASP / "OUTCAR_example_1", tmp_path / "OUTCAR")
    (step,) = read_trajectory(tmp_path).steps
    assert step.frame.energy == pytest.approx(-68.23102426, abs=1e-6)
    shutil.copy(ASE_VASP / "vasprun_pstress.xml", tmp_path / "vasprun.xml")
    trajectory = read_trajectory(tmp_path)
    image = read(tmp_path / "vasprun.xml", index=-1)
    np.testing.assert_allclose(trajectory.steps[-1].frame.stress, image.get_stress(voigt=False), atol=1e-10)
    assert trajectory.levels[0][0].endswith("(VASP)")


@pytest.mark.parametrize("kept", [{"vasprun": "vasprun.xml"}, {"OUTCAR": "OUTCAR"}])
@pytest.mark.parametrize("packed", [False, True])
def test_one_output_is_enough_plain_or_compressed(place, kept, packed):
    folder = place("run", **kept)
    (path,) = folder.iterdir()
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert steps(folder) == [0, 1, 2, 3, 4]


def restarted(place, names: list[str], starts: list[str]) -> Path:
    """Three restarts of two steps each, told apart by their energies, that began at the given times."""
    for number, (name, start) in enumerate(zip(names, starts, strict=True)):
        path = place("run", vasprun=name) / name
        text = path.read_text()
        text = text[: [m.end() for m in re.finditer("</calculation>", text)][1]] + "\n</modeling>\n"
        text = re.sub(r'(name="date"> )[^<]*', rf"\g<1>{start[:10]}", text)
        text = re.sub(r'(name="time"> )[^<]*', rf"\g<1>{start[11:]}", text)
        text = re.sub(r'(name="e_fr_energy">)[^<]*', rf"\g<1> {-200 - number}", text)
        path.write_text(re.sub(r'(name="e_0_energy">)[^<]*', rf"\g<1> {-200 - number}", text))
    return path.parent


@pytest.mark.parametrize(
    "names",
    [
        ["vasprun.xml_1", "vasprun.xml_2", "vasprun.xml"],
        ["vasprun.xml_9", "vasprun.xml_10", "vasprun.xml"],
        ["vasprun_1.xml", "vasprun_2.xml", "vasprun.xml"],
        ["vasprun.xml", "vasprun.xml.bak", "vasprun_old.xml"],
    ],
)
def test_restarts_are_in_the_order_in_which_they_began(place, names):
    folder = restarted(place, names, ["2023 01 05 13:06:11", "2023 01 05 23:06:11", "2023 02 01 03:00:00"])
    trajectory = read_trajectory(folder)
    assert [step.number for step in trajectory.steps] == list(range(6))
    assert [round(step.frame.energy) for step in trajectory.steps] == [-200, -200, -201, -201, -202, -202]
    assert len({step.source for step in trajectory.steps}) == len(trajectory.levels) == 3


def test_restarts_that_do_not_say_when_are_in_the_order_of_their_names(place):
    folder = restarted(place, ["vasprun.xml_2", "vasprun.xml_10", "vasprun.xml"], ["unknown "] * 3)
    assert [round(step.frame.energy) for step in read_trajectory(folder).steps] == [-200, -200, -201, -201, -202, -202]


def test_a_copy_of_a_run_gives_its_steps_once(place):
    folder = place("run", vasprun="vasprun.xml")
    text = (folder / "vasprun.xml").read_text()
    ends = [match.end() for match in re.finditer("</calculation>", text)]
    (folder / "vasprun.xml.bak").write_text(text[: ends[2]])
    trajectory = read_trajectory(folder)
    assert (trajectory.found, len(trajectory.steps)) == (5 + 4, 5)
    assert "3 steps repeated in another file" in trajectory.dropped


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_of_a_file_that_ends_in_a_step_the_whole_ones_are_taken(place, name):
    folder = place("run", **{name.removesuffix(".xml"): name})
    text = (folder / name).read_text()
    whole = [m.end() for m in re.finditer(r"</calculation>" if name == "vasprun.xml" else r"LOOP\+", text)]
    (folder / name).write_text(text[: (whole[2] + whole[3]) // 2])
    trajectory = read_trajectory(folder)
    assert ([step.number for step in trajectory.steps], trajectory.found) == ([0, 1, 2], 4)
    assert trajectory.dropped == (f"1 step cut off at the end of {name}",)
    assert trajectory.steps[0].source == file_digest(folder / name)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1])
def test_a_file_without_a_whole_step_is_told(place, share):
    folder = place("run", vasprun="vasprun.xml")
    text = (folder / "vasprun.xml").read_text()
    (folder / "vasprun.xml").write_text(text[: int(share * text.index("</calculation>"))])
    trajectory = read_trajectory(folder)
    assert (trajectory.found, trajectory.steps) == (0, ())
    (fault,) = trajectory.dropped
    assert fault.startswith("vasprun.xml: truncated or malformed after 0 whole ionic steps")


def test_an_unreadable_vasprun_gives_way_to_the_outcar_of_its_run(place):
    folder = place("run")
    (folder / "vasprun.xml").write_text("nothing")
    trajectory = read_trajectory(folder)
    assert len(trajectory.steps) == trajectory.found == 5
    assert trajectory.levels[0][1] == folder / "OUTCAR"
    assert "vasprun.xml: truncated" in trajectory.dropped[0]


def test_a_step_at_nelm_is_dropped(place):
    folder = place("run", vasprun="vasprun.xml")
    cycles = [len(s["electronic_steps"]) for s in Vasprun(folder / "vasprun.xml", parse_potcar_file=False).ionic_steps]
    limit = max(cycles)
    edit(folder / "vasprun.xml", r'(name="NELM">)[^<]*', rf"\g<1> {limit}")
    trajectory = read_trajectory(folder)
    expected = [number for number, count in enumerate(cycles) if count < limit]
    assert [step.number for step in trajectory.steps] == expected
    assert trajectory.dropped[0].endswith(f"without electronic convergence (NELM = {limit})")


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (r'(<varray name="forces">\s*<v>)\s*\S+', r"\g<1> NaN", "with numbers that are not finite"),
        (r'(<varray name="stress">\s*<v>)\s*\S+', r"\g<1> *****", "with numbers that are not finite"),
        (r'(<varray name="forces">\s*<v>)\s*\S+', r"\g<1> 4321.0", "with absurd energy or force"),
        (r'(?s)(</structure>.*?<i name="e_fr_energy">)[^<]*', r"\g<1> 500.0", "with a positive energy"),
    ],
)
def test_one_bad_step_is_dropped_and_the_others_taken(place, pattern, replacement, reason):
    folder = place("run", vasprun="vasprun.xml")
    edit(folder / "vasprun.xml", pattern, replacement, occurrence=2)
    trajectory = read_trajectory(folder)
    assert trajectory.found == 5
    assert len(trajectory.steps) == 4
    assert trajectory.dropped[0].startswith(f"1 step {reason}")


def test_missing_forces_are_told(place):
    folder = place("run", vasprun="vasprun.xml")
    edit(folder / "vasprun.xml", '<varray name="forces">', '<varray name="velocities">', occurrence=0)
    trajectory = read_trajectory(folder)
    assert trajectory.steps == ()
    assert trajectory.dropped == ("vasprun.xml: ionic step 1 is not whole: it has no forces",)


@pytest.mark.parametrize(
    "name", ["OUTCAR", "OUTCAR.gz", "OUTCAR_1", "vasprun.xml", "vasprun.xml_2.bz2", "vasprun_a.xml"]
)
def test_outputs_are_known_by_their_names(name):
    assert holds_output(["POSCAR", name])


@pytest.mark.parametrize("name", ["POSCAR", "vasprun.log", "OUTCA", "my_OUTCAR", "vasp.out"])
def test_other_files_are_no_outputs(name):
    assert not holds_output([name])
