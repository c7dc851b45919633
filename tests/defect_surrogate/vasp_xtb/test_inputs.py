"""The four input files together: what is refused, and charge and spin."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defect_surrogate.vasp_xtb.errors import VaspXtbStop
from defect_surrogate.vasp_xtb.inputs import perpendicular_widths, read_job
from defect_surrogate.vasp_xtb.potcar import standin_potcar

WriteInputs = Callable[..., Path]


@pytest.mark.parametrize("name", ["POSCAR", "INCAR", "KPOINTS", "POTCAR"])
def test_a_missing_file_is_named(water: Atoms, write_inputs: WriteInputs, name: str) -> None:
    directory = write_inputs(water)
    (directory / name).unlink()
    with pytest.raises(VaspXtbStop, match=f"No {name} in"):
        read_job(directory)


@pytest.mark.parametrize(
    "text",
    [
        "mesh\n0\nGamma\n1 1 1\n0 0 0\n",
        "mesh\n0\nMonkhorst-Pack\n1 1 1\n",
        "one point\n1\nReciprocal\n0 0 0 1\n",
        "one point ! c\n 1 ! one\nCartesian\n0. 0. 0. 1.\n",
    ],
)
def test_gamma_in_each_of_vasps_forms(water: Atoms, write_inputs: WriteInputs, text: str) -> None:
    directory = write_inputs(water)
    (directory / "KPOINTS").write_text(text)
    assert read_job(directory).charge == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "mesh\n0\nGamma\n2 1 1\n0 0 0\n",
        "mesh\n0\nGamma\n1 1 1\n0.5 0 0\n",
        "auto\n0\nAuto\n10\n",
        "two\n2\nReciprocal\n0 0 0 1\n.5 .5 .5 1\n",
        "one\n1\nReciprocal\n.5 0 0 1\n",
        "line\n1\nLine\nReciprocal\n0 0 0\n",
        "nothing\n",
    ],
)
def test_other_kpoints_are_refused(water: Atoms, write_inputs: WriteInputs, text: str) -> None:
    directory = write_inputs(water)
    (directory / "KPOINTS").write_text(text)
    with pytest.raises(VaspXtbStop, match="KPOINTS asks for"):
        read_job(directory)


def test_species_in_another_order_are_refused(water: Atoms, write_inputs: WriteInputs) -> None:
    directory = write_inputs(water)
    (directory / "POTCAR").write_text(standin_potcar(["H", "O"]))
    with pytest.raises(VaspXtbStop, match="POTCAR has H O, POSCAR has O H"):
        read_job(directory)


def test_an_element_beyond_radon_is_refused(water: Atoms, write_inputs: WriteInputs) -> None:
    directory = write_inputs(water)
    for name in ("POSCAR", "POTCAR"):
        text = (directory / name).read_text()
        (directory / name).write_text(text.replace(" O ", " U ").replace("=O:", "=U:"))
    with pytest.raises(VaspXtbStop, match="no GFN-xTB parameters for U"):
        read_job(directory)


@pytest.mark.parametrize("shift", [0.3, 11.7])
def test_atoms_in_one_place_are_refused_also_across_the_boundary(
    water: Atoms, write_inputs: WriteInputs, shift: float
) -> None:
    water.positions[1] = water.positions[0] + (0.0, 0.0, shift)
    with pytest.raises(VaspXtbStop, match=r"atoms 1 \(O\) and 2 \(H\) are 0.300 Å apart"):
        read_job(write_inputs(water))


def test_a_cell_too_small_for_gamma_is_told_the_supercell(write_inputs: WriteInputs) -> None:
    zincblende = bulk("CdTe", "zincblende", a=6.54, cubic=True)
    with pytest.raises(
        VaspXtbStop, match=r"6.54 x 6.54 x 6.54 Å wide.* make a 2x2x2 supercell \(13.08 x.*XTB_MIN_WIDTH = 10"
    ):
        read_job(write_inputs(zincblende, folder="small"))
    allowed = read_job(write_inputs(zincblende, incar="XTB_MIN_WIDTH = 6", folder="allowed"))
    assert allowed.settings.min_width == 6.0


def test_widths_of_a_skewed_cell_are_perpendicular() -> None:
    np.testing.assert_allclose(
        perpendicular_widths(np.array([[10.0, 0, 0], [10, 5, 0], [0, 0, 7]])), [50 / np.hypot(10, 5), 5, 7]
    )


def test_charge_is_zval_minus_nelect(water: Atoms, write_inputs: WriteInputs) -> None:
    neutral = read_job(write_inputs(water, folder="0"))
    assert (neutral.charge, neutral.nelect) == (0.0, 8.0)
    cation = read_job(write_inputs(water, incar="NELECT = 7", folder="+1"))
    assert (cation.charge, cation.nelect, cation.unpaired) == (1.0, 7.0, 1)


def test_no_electrons_left(water: Atoms, write_inputs: WriteInputs) -> None:
    with pytest.raises(VaspXtbStop, match=r"NELECT = -1\.0 leaves -1 valence electrons"):
        read_job(write_inputs(water, incar="NELECT = -1"))


@pytest.mark.parametrize(
    ("incar", "unpaired", "advised"),
    [
        ("", 0, False),
        ("ISPIN = 2; NUPDOWN = 2", 2, False),
        ("ISPIN = 2; NUPDOWN = 1", 2, True),
        ("ISPIN = 1; NUPDOWN = 2", 0, False),
        ("ISPIN = 2; NUPDOWN = 0; NELECT = 9", 1, True),
    ],
)
def test_unpaired_electrons_fit_the_parity(
    water: Atoms, write_inputs: WriteInputs, incar: str, unpaired: int, advised: bool
) -> None:
    job = read_job(write_inputs(water, incar=incar))
    assert job.unpaired == unpaired
    assert bool(job.advice) is advised
