"""The output files as their readers see them, against tblite's own ASE calculator."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from ase.units import GPa
from pymatgen.io.vasp import Oszicar, Outcar, Poscar, Vasprun, Xdatcar
from pymatgen.io.vasp.inputs import UnknownPotcarWarning
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning
from tblite.ase import TBLite

from defect_surrogate.vasp_xtb.outputs import replace_text

WriteInputs = Callable[..., Path]
RunIn = Callable[[Path], str]
INCAR = (
    "SYSTEM = <water> & box\nENCUT = 350; EDIFF = 1D-4\nNSW = 40 # steps\nIBRION = 2\n"
    "EDIFFG = -0.01\nLHFCALC = .TRUE.\nALGO = All\n"
)


@pytest.fixture
def relaxed(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> Path:
    """A folder with a finished relaxation of water."""
    directory = write_inputs(water, incar=INCAR)
    run_in(directory)
    return directory


def reference(atoms: Atoms) -> Atoms:
    """Return a copy with tblite's own calculator."""
    copy = atoms.copy()
    copy.calc = TBLite(method="GFN1-xTB", accuracy=1e-4, verbosity=0)
    return copy


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_ase_reads_each_step_as_tblite_has_it(relaxed: Path, name: str) -> None:
    images = read(relaxed / name, index=":")
    assert len(images) > 2
    for image in images:
        own = reference(image)
        assert image.get_potential_energy() == pytest.approx(own.get_potential_energy(), abs=1e-6)
        assert image.get_potential_energy(force_consistent=True) == pytest.approx(own.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(image.get_forces(), own.get_forces(), atol=1e-6)
        np.testing.assert_allclose(image.get_stress(), own.get_stress(), atol=1e-8)


@pytest.mark.parametrize("potcar", [True, False])
def test_pymatgen_reads_vasprun(relaxed: Path, water: Atoms, potcar: bool) -> None:
    if potcar:
        with pytest.warns(UnknownPotcarWarning):
            vasprun = Vasprun(relaxed / "vasprun.xml", parse_potcar_file=True)
        assert vasprun.final_structure.charge == 0.0
        assert [spec["titel"] for spec in vasprun.potcar_spec] == ["PAW_PBE O STANDIN-XTB", "PAW_PBE H STANDIN-XTB"]
    else:
        vasprun = Vasprun(relaxed / "vasprun.xml", parse_potcar_file=False)
    assert vasprun.converged
    assert (vasprun.converged_electronic, vasprun.converged_ionic) == (True, True)
    own = reference(read(relaxed / "CONTCAR"))
    assert vasprun.final_energy == pytest.approx(own.get_potential_energy(), abs=1e-6)
    last = vasprun.ionic_steps[-1]
    np.testing.assert_allclose(last["forces"], own.get_forces(), atol=1e-6)
    np.testing.assert_allclose(np.array(last["stress"]) * -0.1 * GPa, own.get_stress(voigt=False), atol=1e-8)
    np.testing.assert_allclose(vasprun.initial_structure.cart_coords, water.positions, atol=1e-10)
    np.testing.assert_allclose(vasprun.final_structure.cart_coords, own.positions, atol=1e-10)
    assert vasprun.atomic_symbols == ["O", "H", "H"]
    assert vasprun.incar["NSW"] == 40
    assert vasprun.incar["ENCUT"] == 350.0
    assert vasprun.incar["LHFCALC"] is True
    assert vasprun.parameters["NELM"] == 60
    assert vasprun.parameters["NELECT"] == 8.0
    assert vasprun.parameters["EDIFFG"] == -0.01
    assert "not vasp" in vasprun.generator["program"].lower()
    assert vasprun.kpoints.kpts == [(1, 1, 1)]
    assert vasprun.efermi is not None
    assert vasprun.eigenvalue_band_properties[0] == pytest.approx(12.0, abs=4.0)
    assert not vasprun.dos_has_errors
    assert vasprun.idos.densities
    assert vasprun.as_dict()["output"]["final_energy"] == vasprun.final_energy


def test_pymatgen_reads_outcar(relaxed: Path) -> None:
    outcar = Outcar(relaxed / "OUTCAR")
    own = reference(read(relaxed / "CONTCAR"))
    assert outcar.final_energy == pytest.approx(own.get_potential_energy(), abs=1e-6)
    assert outcar.final_fr_energy == outcar.final_energy_wo_entrp == outcar.final_energy
    assert outcar.nelect == 8.0
    assert not outcar.is_stopped
    assert not outcar.spin
    assert outcar.run_stats["cores"] == 1
    assert outcar.run_stats["Elapsed time (sec)"] > 0
    assert len(outcar.drift) == len(read(relaxed / "OUTCAR", index=":"))
    assert np.abs(outcar.drift).max() < 1e-6
    assert outcar.efermi is not None


def test_pymatgen_reads_oszicar(relaxed: Path) -> None:
    oszicar = Oszicar(relaxed / "OSZICAR")
    vasprun = Vasprun(relaxed / "vasprun.xml", parse_potcar_file=False)
    assert oszicar.final_energy == pytest.approx(vasprun.final_energy, abs=1e-6)
    assert [len(steps) for steps in oszicar.electronic_steps] == [
        len(step["electronic_steps"]) for step in vasprun.ionic_steps
    ]
    assert len(oszicar.ionic_steps) == len(vasprun.ionic_steps)
    assert all({"F", "E0", "dE"} <= set(step) for step in oszicar.ionic_steps)


def test_structures_of_all_files_agree(relaxed: Path) -> None:
    images = read(relaxed / "vasprun.xml", index=":")
    for positions in (
        [image.positions for image in read(relaxed / "XDATCAR", index=":")],
        [structure.cart_coords for structure in Xdatcar(relaxed / "XDATCAR").structures],
    ):
        np.testing.assert_allclose(positions, [image.positions for image in images], atol=1e-10)
    contcar = Poscar.from_file(relaxed / "CONTCAR")
    np.testing.assert_allclose(contcar.structure.cart_coords, images[-1].positions, atol=1e-12)
    assert contcar.comment.startswith((relaxed / "POSCAR").read_text().splitlines()[0].strip())


def test_each_file_says_what_it_is(relaxed: Path) -> None:
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR", "XDATCAR"):
        assert "not VASP" in (relaxed / name).read_text(), name
    assert "GFN1-xTB" in (relaxed / "OUTCAR").read_text()


def test_spin_polarised_charged_run(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="ISPIN = 2; NELECT = 7; NUPDOWN = 1; NELM = 100")
    run_in(directory)
    with pytest.warns(UnknownPotcarWarning):
        vasprun = Vasprun(directory / "vasprun.xml")
    outcar = Outcar(directory / "OUTCAR")
    assert vasprun.final_structure.charge == 1.0
    assert vasprun.is_spin
    assert outcar.spin
    assert outcar.nelect == 7.0
    assert outcar.total_mag == pytest.approx(1.0)
    assert Oszicar(directory / "OSZICAR").ionic_steps[-1]["mag"] == pytest.approx(1.0)
    assert len(read(directory / "OUTCAR", index=":")) == 1
    assert len(read(directory / "vasprun.xml").calc.kpts) == 2


def test_moving_cells_are_in_every_file(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 3; IBRION = 1; ISIF = 3; EDIFFG = -1E-5; XTB_MIN_WIDTH = 5")
    run_in(directory)
    images = read(directory / "vasprun.xml", index=":")
    assert abs(images[-1].get_volume() - images[0].get_volume()) > 1e-3
    for name in ("OUTCAR", "XDATCAR"):
        for image, other in zip(images, read(directory / name, index=":"), strict=True):
            np.testing.assert_allclose(image.cell, other.cell, atol=1e-9)
    for image, structure in zip(images, Xdatcar(directory / "XDATCAR").structures, strict=True):
        np.testing.assert_allclose(image.cell, structure.lattice.matrix, atol=1e-9)


def test_unconverged_runs_are_seen_as_such(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 2; IBRION = 1; EDIFFG = -1E-6; NELM = 3")
    run_in(directory)
    with pytest.warns(UnconvergedVASPWarning):
        vasprun = Vasprun(directory / "vasprun.xml", parse_potcar_file=False)
    assert (vasprun.converged_electronic, vasprun.converged_ionic) == (False, False)
    assert "aborting loop because EDIFF is reached" not in (directory / "OUTCAR").read_text()


def test_a_soft_stop_is_seen_by_pymatgen(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar=INCAR)
    (directory / "STOPCAR").write_text("LSTOP = .TRUE.")
    run_in(directory)
    assert Outcar(directory / "OUTCAR").is_stopped


def test_replaced_text_leaves_nothing_else(tmp_path: Path) -> None:
    replace_text(tmp_path / "CONTCAR", "one")
    replace_text(tmp_path / "CONTCAR", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("CONTCAR", "two")]
