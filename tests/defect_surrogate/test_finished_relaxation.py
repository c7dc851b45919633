"""Finished relaxations read from VASP's own files, here those of the stand-in for another host and another defect."""

import gzip
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.errors import FolderError, ReferenceRunError
from defect_surrogate.finished_relaxation import read_finished_relaxation, read_structure
from defect_surrogate.finished_search import FinishedSearch, read_finished_searches
from defect_surrogate.vasp_xtb.potcar import standin_potcar
from defect_surrogate.vasp_xtb.run import run

INCAR = "NSW = 3\nIBRION = 2\nEDIFFG = -0.5\nEDIFF = 1E-4\n"


def only(tree: Path, bulk: Structure) -> FinishedSearch:
    (search,) = read_finished_searches(tree, bulk=bulk).searches
    return search


def calculate(folder: Path, structure: Structure, *, incar: str) -> None:
    """Run ``vasp-xtb`` in a folder."""
    folder.mkdir(parents=True)
    poscar = Poscar(structure)
    poscar.write_file(folder / "POSCAR")
    (folder / "INCAR").write_text(incar)
    (folder / "KPOINTS").write_text("Gamma only\n0\nGamma\n1 1 1\n0 0 0\n")
    (folder / "POTCAR").write_text(standin_potcar(poscar.site_symbols))
    run(folder, console=io.StringIO())


@pytest.fixture(scope="module")
def calculated(cluster_crystal, tmp_path_factory) -> Path:
    """Relaxations of the Te vacancy in the cluster crystal, with all files of a VASP run."""
    tree = tmp_path_factory.mktemp("tree") / "v_Te_+2"
    ideal = cluster_crystal.copy()
    ideal.remove_sites([7])
    for seed, label in enumerate(["Unperturbed", "Bond_Distortion_-30.0%", "Rattled"]):
        start = ideal.copy().perturb(0.05 * (seed > 0), seed=seed)
        calculate(tree / label, start, incar=INCAR)
    return tree


@pytest.fixture
def finished(calculated, tmp_path) -> Path:
    return Path(shutil.copytree(calculated, tmp_path / "v_Te_+2"))


def _keep(tree: Path, keep: Callable[[Path], None]) -> None:
    for folder in tree.iterdir():
        keep(folder)


def _keep_vasprun(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in ("POSCAR", "vasprun.xml"):
            path.unlink()


def _keep_compressed_vasprun(folder: Path) -> None:
    _keep_vasprun(folder)
    (folder / "vasprun.xml.gz").write_bytes(gzip.compress((folder / "vasprun.xml").read_bytes()))
    (folder / "vasprun.xml").unlink()


def _keep_outcar(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "OUTCAR":
            path.unlink()


@pytest.mark.parametrize("keep", [lambda _: None, _keep_vasprun, _keep_compressed_vasprun, _keep_outcar])
def test_another_host_and_defect_from_output_files(finished, cluster_crystal, keep):
    expected = {label: _last_energy(finished / label) for label in ("Unperturbed", "Bond_Distortion_-30.0%", "Rattled")}
    _keep(finished, keep)
    search = only(finished, cluster_crystal)
    assert (search.name, search.defect.label, search.defect.site_index) == ("v_Te_+2", "v_Te_+2", 7)
    assert search.failures == ()
    energies = {label: result.energy for label, result in search.relaxations.items()}
    assert energies == pytest.approx(expected, abs=1e-5)
    assert all("GFN1-xTB" in result.provenance.level_of_theory for result in search.relaxations.values())
    assert all(len(result.frames) > 0 for result in search.relaxations.values())


def _last_energy(folder: Path) -> float:
    (*_, last) = (folder / "OSZICAR").read_text().split("E0=")
    return float(last.split()[0])


def test_output_is_believed_over_the_energies_file_and_the_conflict_told(finished, cluster_crystal):
    (finished / "v_Te_+2.yaml").write_text("distortions: {-0.3: -999.0}\nUnperturbed: -1.0\n")
    search = only(finished, cluster_crystal)
    assert search.relaxations["Bond_Distortion_-30.0%"].energy > -999
    assert "v_Te_+2.yaml has -999.0000 eV, the output" in search.relaxations["Bond_Distortion_-30.0%"].detail
    assert "yaml" not in search.relaxations["Rattled"].detail


def test_half_written_output_is_not_believed(finished, cluster_crystal):
    path = finished / "Rattled" / "vasprun.xml"
    path.write_text(path.read_text()[:-2000])
    with pytest.raises(ReferenceRunError, match="Rattled"):
        read_finished_relaxation(finished / "Rattled", energies={"Rattled": -1.0}, energies_file=finished / "a.yaml")
    (failure,) = only(finished, cluster_crystal).failures
    assert (failure.label, failure.error) == ("Rattled", "ReferenceRunError")


def test_another_level_of_theory_is_set_aside(finished, cluster_crystal):
    shutil.rmtree(finished / "Rattled")
    ideal = cluster_crystal.copy()
    ideal.remove_sites([7])
    calculate(finished / "Rattled", ideal, incar="NSW = 0\nXTB_METHOD = GFN2-xTB\n")
    search = only(finished, cluster_crystal)
    (failure,) = search.failures
    assert failure.label == "Rattled"
    assert "GFN2-xTB" in failure.message
    assert "unlike most folders" in failure.message


@pytest.mark.parametrize("agrees", [True, False])
def test_an_energy_without_output_is_of_the_same_level_only_if_the_others_agree(finished, cluster_crystal, agrees):
    known = _last_energy(finished / "Unperturbed") + (0.0 if agrees else 0.5)
    (finished / "v_Te_+2.yaml").write_text(f"distortions: {{Rattled: -40.0}}\nUnperturbed: {known}\n")
    for path in (finished / "Rattled").iterdir():
        if path.name not in ("POSCAR", "CONTCAR"):
            path.unlink()
    search = only(finished, cluster_crystal)
    if agrees:
        levels = {result.provenance.level_of_theory for result in search.relaxations.values()}
        assert (len(search.relaxations), len(levels), search.failures) == (3, 1, ())
        assert search.relaxations["Rattled"].provenance.method == "not recorded"
    else:
        (failure,) = search.failures
        assert "Rattled: no output to show that its energy is GFN1-xTB" in failure.message


def test_one_stray_output_does_not_cast_out_the_others(finished, cluster_crystal):
    (finished / "v_Te_+2.yaml").write_text("distortions: {-0.3: -205.1, Rattled: -205.2}\nUnperturbed: -205.0\n")
    for label in ("Unperturbed", "Rattled"):
        for path in (finished / label).iterdir():
            if path.name not in ("POSCAR", "CONTCAR"):
                path.unlink()
    search = only(finished, cluster_crystal)
    assert {label: one.energy for label, one in search.relaxations.items()} == {
        "Unperturbed": -205.0,
        "Rattled": -205.2,
    }
    (failure,) = search.failures
    assert failure.label == "Bond_Distortion_-30.0%"
    assert "GFN1-xTB" in failure.message
    assert "unlike most folders, whose energies are only in the energies file" in failure.message


def test_atoms_in_another_order_are_put_in_order_with_their_forces(finished, cluster_crystal):
    before = only(finished, cluster_crystal).relaxations["Rattled"]
    start = Structure.from_file(finished / "Rattled" / "POSCAR")
    shutil.rmtree(finished / "Rattled")
    backwards = Structure.from_sites(start.sites[::-1])
    calculate(finished / "Rattled", backwards, incar=INCAR)
    after = only(finished, cluster_crystal).relaxations["Rattled"]
    assert after.structure.species == before.structure.species
    assert after.structure.frac_coords == pytest.approx(before.structure.frac_coords, abs=1e-4)
    assert after.frames[0].forces == pytest.approx(before.frames[0].forces, abs=1e-3)


def test_a_structure_without_energy_is_no_result(finished):
    for path in (finished / "Rattled").iterdir():
        if path.name not in ("POSCAR", "CONTCAR"):
            path.unlink()
    with pytest.raises(FolderError, match=r"Rattled: a CONTCAR, .*no energy in the energies file \(there is none"):
        read_finished_relaxation(finished / "Rattled", energies={}, energies_file=None)


def test_a_compressed_structure_is_read_up_to_a_limit(hse_search, tmp_path):
    path = tmp_path / "CONTCAR.gz"
    path.write_bytes(gzip.compress((hse_search / "Unperturbed" / "CONTCAR").read_bytes()))
    assert read_structure(path).formula == "Cd31 Te32"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(FolderError, match=r"CONTCAR\.gz: cannot be read as a POSCAR: .*larger than 10 MB"):
        read_structure(path)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "CONTCAR")
    with pytest.raises(FolderError, match="CONTCAR: cannot be read as a POSCAR: .*regular"):
        read_structure(tmp_path / "CONTCAR")


@given(share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_has_all_its_atoms_or_is_refused(hse_search, tmp_path_factory, share):
    whole = (hse_search / "Unperturbed" / "CONTCAR").read_text()
    path = tmp_path_factory.mktemp("cut") / "CONTCAR"
    path.write_text(whole[: int(share * len(whole))])
    try:
        formula = read_structure(path).formula
    except FolderError:
        formula = None
    assert formula in ("Cd31 Te32", None)


@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@settings(deadline=None)
def test_what_is_no_structure_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("junk") / "CONTCAR"
    path.write_bytes(content)
    with pytest.raises(FolderError, match="CONTCAR: cannot be read as a POSCAR"):
        read_structure(path)
