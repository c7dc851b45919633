import gzip
import json
import re
import shutil
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase.io import read
from ase.units import GPa
from pymatgen.io.vasp.outputs import Vasprun

from defect_surrogate.errors import ReferenceDivergedError, ReferenceRunError
from defect_surrogate.vasp import parse_run

ASE_VASP = Path(ase.test.__file__).parent / "testdata" / "vasp"


@pytest.fixture
def directory(finished, tmp_path):
    """A copy of the finished relaxation, to be damaged."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def _edit(path: Path, pattern: str, replacement: str, *, occurrence: int = -1) -> None:
    text = path.read_text()
    match = list(re.finditer(pattern, text))[occurrence]
    path.write_text(text[: match.start()] + match.expand(replacement) + text[match.end() :])


def test_energies_forces_and_stress_equal_those_of_ase_and_pymatgen(finished):
    relaxation = parse_run(finished[0])
    images = read(finished[0] / "vasprun.xml", index=":")
    vasprun = Vasprun(finished[0] / "vasprun.xml", parse_potcar_file=False)
    assert len(relaxation.frames) == len(images) == len(vasprun.ionic_steps) == relaxation.steps
    for frame, image, step in zip(relaxation.frames, images, vasprun.ionic_steps, strict=True):
        assert frame.energy == pytest.approx(image.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(frame.forces, image.get_forces(), atol=1e-10)
        np.testing.assert_allclose(frame.stress, image.get_stress(voigt=False), atol=1e-10)
        np.testing.assert_allclose(frame.forces, step["forces"], atol=1e-10)
    assert relaxation.energy == pytest.approx(float(vasprun.final_energy), abs=1e-8)
    assert relaxation.structure == vasprun.final_structure


def test_stress_is_positive_under_tension(finished_vasp):
    """VASP's positive kB means that the cell would expand; (1/V) ∂E/∂ε is then negative."""
    _edit(
        finished_vasp / "vasprun.xml",
        r'(<varray name="stress">\s*<v>)[^<]*(</v>\s*<v>)[^<]*(</v>\s*<v>)[^<]*(</v>)',
        r"\g<1> 10 0 0 \g<2> 0 20 3 \g<3> 0 3 30 \g<4>",
    )
    stress = parse_run(finished_vasp).frames[-1].stress
    expected = -np.array([[10, 0, 0], [0, 20, 3], [0, 3, 30]]) * 0.1 * GPa
    np.testing.assert_allclose(stress, expected, rtol=1e-12)
    image = read(finished_vasp / "vasprun.xml", index=-1)
    np.testing.assert_allclose(stress, image.get_stress(voigt=False), rtol=1e-12)


def test_real_vasp_file_with_pressure_has_ases_energy(tmp_path):
    """VASP 6.3 under PSTRESS writes an enthalpy; the energy is the same as that of the electronic loop."""
    shutil.copy(ASE_VASP / "vasprun_pstress.xml", tmp_path / "vasprun.xml")
    relaxation = parse_run(tmp_path)
    image = read(tmp_path / "vasprun.xml", index=-1)
    assert relaxation.energy == pytest.approx(image.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(relaxation.frames[0].stress, image.get_stress(voigt=False), atol=1e-10)
    assert relaxation.provenance.level_of_theory.endswith("(VASP)")
    assert relaxation.provenance.versions == (("VASP", "6.3.0"), ("POTCAR C", "PAW C 22Mar2012"))
    assert not relaxation.converged  # a single point, which cannot meet an EDIFFG > 0


def test_real_vasp_outcar_alone_is_read(tmp_path):
    shutil.copy(ASE_VASP / "OUTCAR_example_1", tmp_path / "OUTCAR")
    relaxation = parse_run(tmp_path)
    image = read(ASE_VASP / "OUTCAR_example_1", format="vasp-out")
    assert relaxation.energy == image.get_potential_energy() == pytest.approx(-68.23102426, abs=1e-6)
    np.testing.assert_allclose(relaxation.frames[-1].forces, image.get_forces(apply_constraint=False))
    assert relaxation.provenance.level_of_theory == "PBE (VASP)"
    assert relaxation.provenance.versions == (("VASP", "5.3.3"), ("POTCAR Ni", "PAW_PBE Ni 02Aug2007"))


def test_outcar_alone_gives_the_same_relaxation(directory):
    whole = parse_run(directory)
    (directory / "vasprun.xml").unlink()
    (directory / "custodian.json").unlink()
    outcar = parse_run(directory)
    assert (outcar.steps, outcar.converged, outcar.reason) == (whole.steps, whole.converged, whole.reason)
    assert outcar.provenance.level_of_theory == whole.provenance.level_of_theory
    assert outcar.provenance.versions == whole.provenance.versions
    for frame, other in zip(outcar.frames, whole.frames, strict=True):
        assert frame.energy == pytest.approx(other.energy, abs=1e-6)
        np.testing.assert_allclose(frame.forces, other.forces, atol=1e-6)
        np.testing.assert_allclose(frame.stress, other.stress, atol=1e-6)
        np.testing.assert_allclose(frame.structure.cart_coords, other.structure.cart_coords, atol=1e-6)


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_compressed_output_is_read(directory, name):
    plain = parse_run(directory)
    for output in ("vasprun.xml", "OUTCAR"):
        content = (directory / output).read_bytes()
        (directory / output).unlink()
        if output == name:
            (directory / f"{output}.gz").write_bytes(gzip.compress(content))
    assert parse_run(directory).energy == pytest.approx(plain.energy, abs=1e-6)


def test_somebody_elses_vasp_run_is_named_hse06(finished_vasp):
    for name in ("INCAR", "KPOINTS", "POTCAR", "OUTCAR", "custodian.json"):
        (finished_vasp / name).unlink()
    relaxation = parse_run(finished_vasp)
    assert relaxation.provenance.level_of_theory == "HSE06 (VASP)"
    assert relaxation.provenance.versions[:2] == (("VASP", "6.4.2"), ("POTCAR H", "PAW_PBE H 06Sep2000"))
    assert relaxation.converged
    assert np.isnan(relaxation.provenance.seconds)


def test_run_stopped_before_nsw_is_not_converged(directory):
    """pymatgen takes it for converged because it is shorter than NSW."""
    _edit(directory / "OUTCAR", "reached required accuracy", "soft stop encountered!", occurrence=0)
    relaxation = parse_run(directory)
    assert (relaxation.converged, relaxation.reason) == (False, "stopped")
    assert Vasprun(directory / "vasprun.xml", parse_potcar_file=False).converged_ionic


def test_without_outcar_the_forces_decide(directory):
    (directory / "OUTCAR").unlink()
    assert parse_run(directory).converged
    _edit(directory / "vasprun.xml", r'(<i name="EDIFFG">)[^<]*', r"\g<1> -1e-9", occurrence=-1)
    assert not parse_run(directory).converged


def test_nsw_used_up_is_a_step_limit(directory):
    steps = parse_run(directory).steps
    _edit(directory / "OUTCAR", "reached required accuracy", "", occurrence=0)
    _edit(directory / "vasprun.xml", r'(name="NSW">)[^<]*', rf"\g<1> {steps}", occurrence=-1)
    relaxation = parse_run(directory)
    assert (relaxation.converged, relaxation.reason) == (False, "step limit")
    assert f"after {steps} ionic steps" in relaxation.detail


def test_last_step_without_self_consistency_is_dropped(directory):
    cycles = [
        len(step["electronic_steps"])
        for step in Vasprun(directory / "vasprun.xml", parse_potcar_file=False).ionic_steps
    ]
    limit = max(cycles) + 1
    path = directory / "vasprun.xml"
    _edit(path, r'(name="NELM">)[^<]*', rf"\g<1> {limit}", occurrence=-1)
    step = re.findall(r"  <scstep>.*?</scstep>\n", path.read_text(), re.DOTALL)[-1]
    text = path.read_text()
    position = text.rindex(step)
    path.write_text(text[:position] + step * (limit - cycles[-1]) + text[position:])
    whole, relaxation = parse_run(directory.parent / "run"), parse_run(directory)
    assert len(relaxation.frames) == len(cycles) - 1
    assert relaxation.steps == whole.steps == len(cycles)
    assert (relaxation.converged, relaxation.reason) == (False, "stopped")
    assert f"NELM = {limit}" in relaxation.detail
    assert relaxation.energy == relaxation.frames[-1].energy


def test_no_self_consistent_step_is_a_failure(directory):
    _edit(directory / "vasprun.xml", r'(name="NELM">)[^<]*', r"\g<1> 2", occurrence=-1)
    with pytest.raises(ReferenceRunError, match=r"none of \d+ ionic steps converged within NELM = 2"):
        parse_run(directory)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_truncated_output_is_a_failure(directory, name, share):
    text = (directory / name).read_text()
    for other in ("vasprun.xml", "OUTCAR"):
        (directory / other).unlink()
    end = int(share * len(text)) if name == "vasprun.xml" else int(share * text.index("General timing"))
    (directory / name).write_text(text[:end])
    with pytest.raises(ReferenceRunError, match=rf"{name}: truncated.* after \d+"):
        parse_run(directory)


def test_truncated_compressed_output_is_a_failure(directory):
    content = gzip.compress((directory / "vasprun.xml").read_bytes())
    (directory / "vasprun.xml").unlink()
    (directory / "vasprun.xml.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReferenceRunError, match=r"vasprun\.xml\.gz"):
        parse_run(directory)


@pytest.mark.parametrize("number", ["NaN", "*********", "Infinity"])
def test_forces_that_are_no_numbers_are_a_failure(directory, number):
    _edit(directory / "vasprun.xml", r'(<varray name="forces">\s*<v>)\s*\S+', rf"\g<1> {number}", occurrence=2)
    with pytest.raises(ReferenceRunError, match=r"vasprun\.xml: ionic step 3: .*not finite"):
        parse_run(directory)


def test_overflowing_forces_in_outcar_are_a_failure(directory):
    (directory / "vasprun.xml").unlink()
    _edit(
        directory / "OUTCAR", r"(TOTAL-FORCE \(eV/Angst\)\n -+\n(?:\s+\S+){3})\s+\S+", r"\g<1> *********", occurrence=0
    )
    with pytest.raises(ReferenceRunError, match="OUTCAR: cannot be read"):
        parse_run(directory)


def test_absurd_force_on_the_last_step_is_a_failure(directory):
    _edit(directory / "vasprun.xml", r'(<varray name="forces">\s*<v>)\s*\S+', r"\g<1> 4321.0")
    with pytest.raises(ReferenceDivergedError, match=r"ionic step \d+: energy .* and force 4321 eV/Å are absurd"):
        parse_run(directory)


def test_a_fall_without_a_bound_is_a_failure(directory):
    """Collapsed: each step after the first 40 eV lower than it was, with forces as they were."""
    path = directory / "vasprun.xml"
    first, *rest = path.read_text().split("<calculation>")[1:]
    fallen = [
        re.sub(r'(name="e_(?:fr|wo|0)_\w+">\s*)(\S+)', lambda m: f"{m[1]}{float(m[2]) - 40:.8f}", one) for one in rest
    ]
    path.write_text("<calculation>".join([path.read_text().split("<calculation>")[0], first, *fallen]))
    with pytest.raises(ReferenceDivergedError, match=r"from .* eV in the first, .* a fall of 10 eV per atom"):
        parse_run(directory)


def test_absurd_trial_step_on_the_way_is_left_out(directory):
    steps = parse_run(directory).steps
    _edit(directory / "vasprun.xml", r'(<varray name="forces">\s*<v>)\s*\S+', r"\g<1> 4321.0", occurrence=1)
    relaxation = parse_run(directory)
    assert (relaxation.steps, len(relaxation.frames), relaxation.converged) == (steps, steps - 1, True)


def test_missing_forces_are_a_failure(directory):
    _edit(directory / "vasprun.xml", r'<varray name="forces">', r'<varray name="velocities">', occurrence=0)
    with pytest.raises(ReferenceRunError, match=r"ionic step 1 is not whole: it has no forces"):
        parse_run(directory)


def test_empty_directory_is_a_failure(tmp_path):
    with pytest.raises(ReferenceRunError, match=r"neither vasprun\.xml nor OUTCAR"):
        parse_run(tmp_path)


def test_corrections_are_told_in_words(directory):
    actions = [
        {"dict": "INCAR", "action": {"_set": {"POTIM": 0.25}}},
        {"file": "CONTCAR", "action": {"_file_copy": {"dest": "POSCAR"}}},
    ]
    correction = {"errors": ["POTIM"], "actions": actions, "handler": {"@class": "PotimErrorHandler", "@module": "os"}}
    (directory / "custodian.json").write_text(json.dumps([{"corrections": [correction]}]))
    assert parse_run(directory).provenance.corrections == (
        "PotimErrorHandler: POTIM → INCAR: POTIM = 0.25; CONTCAR: copied to POSCAR",
    )


def test_broken_log_of_custodian_is_named(directory):
    (directory / "custodian.json").write_text("[{")
    with pytest.raises(ReferenceRunError, match=r"custodian\.json: is not a log"):
        parse_run(directory)
