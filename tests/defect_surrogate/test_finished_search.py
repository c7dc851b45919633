"""Finished searches of others: the real one, and the same with faults injected."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.errors import FolderError
from defect_surrogate.finished_search import FinishedSearch, read_finished_searches
from defect_surrogate.minima import find_minima
from defect_surrogate.reconstruction import energy_lowering, motif, new_anion_bonds
from defect_surrogate.settings import MinimaSettings

LOWEST = "Bond_Distortion_-55.0%"


@pytest.fixture(scope="module")
def bulk(hse_search) -> Structure:
    return Structure.from_file(hse_search / "bulk_POSCAR")


@pytest.fixture
def tree(hse_search, tmp_path) -> Path:
    """A copy of the real search under ShakeNBreak's own name, to be spoilt."""
    return Path(shutil.copytree(hse_search, tmp_path / "search" / "vac_1_Cd_0"))


def only(tree: Path, bulk: Structure) -> FinishedSearch:
    (search,) = read_finished_searches(tree, bulk=bulk).searches
    return search


def summary(search: FinishedSearch) -> tuple[int, str, float | None]:
    ideal = search.defect.ideal_structure
    minima = find_minima(search.relaxations, search.defect.fractional_position, MinimaSettings(), ideal=ideal)
    return (
        len(minima),
        motif(new_anion_bonds(minima[0].relaxation.structure, ideal=ideal)),
        energy_lowering(search.relaxations),
    )


def test_the_real_search(hse_search, bulk):
    found = read_finished_searches(hse_search, bulk=bulk)
    assert found.failures == ()
    (search,) = found.searches
    assert (search.name, search.defect.label, search.defect.environment) == ("vac_1_Cd_0", "v_Cd_0", "4 Te")
    assert search.defect.fractional_position == pytest.approx((0, 0, 0))
    assert (len(search.relaxations), search.failures) == (26, ())
    assert list(search.relaxations) == sorted(search.relaxations)
    result = search.relaxations["Unperturbed"]
    assert (result.energy, result.level) == (-205.72311458, "reference")
    assert (result.converged, result.reason, result.rankable) == (False, "not recorded", True)
    assert result.detail == "energy from vac_1_Cd_0.yaml; steps and convergence not recorded"
    assert np.isnan(result.provenance.seconds)
    assert summary(search) == (2, "Te–Te dimer, 2.75 Å", pytest.approx(-0.755, abs=5e-4))


def test_each_broken_folder_is_named_and_the_rest_survives(tree, bulk):
    contcar = tree / "Bond_Distortion_-10.0%" / "CONTCAR"
    contcar.write_text("\n".join(contcar.read_text().splitlines()[:40]))
    (tree / "Bond_Distortion_-12.5%" / "CONTCAR").write_text("")
    contcar = tree / "Bond_Distortion_-15.0%" / "CONTCAR"
    contcar.write_text(_with_nan(contcar.read_text()))
    shutil.rmtree(tree / "Bond_Distortion_-17.5%")
    (tree / "Bond_Distortion_-17.5%").mkdir()
    (tree / "Bond_Distortion_-20.0%").rename(tree / "Bond_Distortion_-20.0%_High_Energy")
    shutil.rmtree(tree / "Bond_Distortion_-2.5%")
    (tree / "Bond_Distortion_-30.0%" / "CONTCAR").write_bytes(bytes(range(256)))
    (tree / "Bond_Distortion_-32.5%" / "OUTCAR").write_text("vasp.6.4.2\n Iteration 1( 1)\n")
    poscar = Structure.from_file(tree / "Bond_Distortion_-35.0%" / "CONTCAR")
    poscar.remove_sites([0])
    Poscar(poscar).write_file(tree / "Bond_Distortion_-35.0%" / "CONTCAR")
    antisite = bulk.copy()
    antisite.replace(0, "Te")
    Poscar(antisite).write_file(tree / "Bond_Distortion_-37.5%" / "CONTCAR")
    energies = yaml.safe_load((tree / "vac_1_Cd_0.yaml").read_text())
    energies["distortions"] |= {-0.4: None, -0.425: 12.5, -0.45: float("nan")}
    del energies["distortions"][-0.475]
    (tree / "vac_1_Cd_0.yaml").write_text(yaml.safe_dump(energies))

    search = only(tree, bulk)
    failures = {failure.label: failure for failure in search.failures}
    expected = {
        "Bond_Distortion_-10.0%": "cannot be read as a POSCAR",
        "Bond_Distortion_-12.5%": "cannot be read as a POSCAR",
        "Bond_Distortion_-15.0%": "not finite",
        "Bond_Distortion_-17.5%": "has no CONTCAR, vasprun.xml or OUTCAR; it holds nothing",
        "Bond_Distortion_-20.0%_High_Energy": "set aside by ShakeNBreak",
        "Bond_Distortion_-2.5%": "no such folder",
        "Bond_Distortion_-30.0%": "cannot be read as a POSCAR",
        "Bond_Distortion_-32.5%": "truncated",
        "Bond_Distortion_-35.0%": "2 atoms removed",
        "Bond_Distortion_-37.5%": "is not the defect of most folders",
        "Bond_Distortion_-40.0%": "no energy in the vac_1_Cd_0.yaml",
        "Bond_Distortion_-42.5%": "energy 12.5000 eV is positive",
        "Bond_Distortion_-45.0%": "no energy in the vac_1_Cd_0.yaml",
        "Bond_Distortion_-47.5%": "no energy in the vac_1_Cd_0.yaml",
    }
    assert {label: text in failures[label].message for label, text in expected.items()} == dict.fromkeys(expected, True)
    assert set(failures) == set(expected)
    assert failures["Bond_Distortion_-32.5%"].error == "ReferenceRunError"
    assert failures["Bond_Distortion_-10.0%"].error == "FolderError"
    assert all(str(tree / label) in failure.message for label, failure in failures.items())
    assert len(search.relaxations) == 26 - len(expected)
    assert summary(search) == (2, "Te–Te dimer, 2.75 Å", pytest.approx(-0.755, abs=5e-4))


def _with_nan(text: str) -> str:
    lines = text.splitlines()
    lines[20] = "  NaN 0.0 0.0"
    return "\n".join(lines)


def test_a_molten_structure_fails_alone(tree, bulk):
    structure = Structure.from_file(tree / LOWEST / "CONTCAR")
    molten = Structure(structure.lattice, structure.species, np.random.default_rng(1).random((63, 3)))
    Poscar(molten).write_file(tree / LOWEST / "CONTCAR")
    search = only(tree, bulk)
    (failure,) = search.failures
    assert failure.label == LOWEST
    assert "from the lattice sites of the bulk" in failure.message


def test_without_starts_and_with_shuffled_and_drifted_atoms(tree, bulk):
    random = np.random.default_rng(2)
    for folder in tree.iterdir():
        if folder.is_dir():
            (folder / "POSCAR").unlink()
            structure = Structure.from_file(folder / "CONTCAR")
            structure.translate_sites(range(63), random.uniform(-0.3, 0.3, 3) @ structure.lattice.inv_matrix)
            order = [*random.permutation(31), *(31 + random.permutation(32))]
            Poscar(Structure.from_sites([structure[i] for i in order])).write_file(folder / "CONTCAR")
    shuffled = bulk.copy()
    shuffled = Structure.from_sites([shuffled[i] for i in random.permutation(64)])
    search = only(tree, shuffled)
    site = shuffled[search.defect.site_index].frac_coords
    assert (shuffled[search.defect.site_index].specie.symbol, site.tolist()) == ("Cd", [0, 0, 0])
    assert summary(search) == (2, "Te–Te dimer, 2.75 Å", pytest.approx(-0.755, abs=5e-4))


def test_a_tree_of_several_defects(tree, bulk, hse_search):
    root = tree.parent
    shutil.copytree(hse_search, root / "v_Cd_-2", ignore=shutil.ignore_patterns("Bond_Distortion_-[1-5]*"))
    (root / "v_Cd_-2" / "vac_1_Cd_0.yaml").rename(root / "v_Cd_-2" / "v_Cd_-2.yaml")
    (root / "v_Te_0" / "Unperturbed").mkdir(parents=True)
    (root / "notes").mkdir()
    (root / "README").write_text("ours")
    found = read_finished_searches(root, bulk=bulk)
    assert [(search.name, search.defect.label) for search in found.searches] == [
        ("v_Cd_-2", "v_Cd_-2"),
        ("vac_1_Cd_0", "v_Cd_0"),
    ]
    (failure,) = found.failures
    assert (failure.label, failure.error) == ("v_Te_0", "FolderError")
    assert "v_Te_0: nothing can be used" in failure.message


def test_a_folder_without_charge_is_taken_as_neutral_and_said_so(tree, bulk, caplog):
    (tree / "vac_1_Cd_0.yaml").rename(tree / "energies.yaml")
    tree = tree.rename(tree.parent / "cadmium_2024")
    assert only(tree, bulk).defect.charge == 0
    assert "taken as neutral" in caplog.text


def test_a_charge_in_the_name_of_the_folder_wins(tree, bulk, caplog):
    search = only(tree.rename(tree.parent / "v_Cd_-1"), bulk)
    assert (search.name, search.defect.label) == ("v_Cd_-1", "v_Cd_-1")
    assert "charge -1, though its energies file is vac_1_Cd_0.yaml" in caplog.text
    caplog.clear()
    search = only((tree.parent / "v_Cd_-1").rename(tree.parent / "v_Cd_0"), bulk)
    assert (search.name, search.defect.label, caplog.text) == ("vac_1_Cd_0", "v_Cd_0", "")


def test_energies_files_of_one_name_are_told_apart_by_their_folders(hse_search, tmp_path, bulk):
    for functional in ("HSE06", "PBE"):
        shutil.copytree(hse_search, tmp_path / f"CdTe_v_Cd_0_{functional}")
    found = read_finished_searches(tmp_path, bulk=bulk)
    assert [(search.name, search.defect.charge) for search in found.searches] == [
        ("CdTe_v_Cd_0_HSE06", 0),
        ("CdTe_v_Cd_0_PBE", 0),
    ]


def test_special_and_huge_files_are_not_read(tree, bulk):
    (tree / "Bond_Distortion_-10.0%" / "CONTCAR").unlink()
    os.mkfifo(tree / "Bond_Distortion_-10.0%" / "CONTCAR")
    os.mkfifo(tree / "other.yaml")
    os.truncate(tree / "Bond_Distortion_-20.0%" / "CONTCAR", 2_000_000_000)
    (tree / "Unperturbed" / "POSCAR").unlink()
    os.mkfifo(tree / "Unperturbed" / "POSCAR")
    messages = {failure.label: failure.message for failure in only(tree, bulk).failures}
    assert set(messages) == {"Bond_Distortion_-10.0%", "Bond_Distortion_-20.0%"}
    assert "has no CONTCAR" in messages["Bond_Distortion_-10.0%"]
    assert "larger than 10 MB" in messages["Bond_Distortion_-20.0%"]


def test_an_unreadable_energies_file_is_named(tree, bulk):
    (tree / "vac_1_Cd_0.yaml").write_text("distortions: [")
    with pytest.raises(FolderError, match=r"vac_1_Cd_0\.yaml: cannot be read as YAML"):
        read_finished_searches(tree, bulk=bulk)


def test_what_holds_no_search_is_refused(tmp_path, tree, bulk):
    with pytest.raises(FolderError, match="nowhere: is not a folder"):
        read_finished_searches(tmp_path / "nowhere", bulk=bulk)
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(FolderError, match="empty: holds no distortion folder of ShakeNBreak"):
        read_finished_searches(tmp_path / "empty", bulk=bulk)
    with pytest.raises(
        FolderError, match=r"vac_1_Cd_0: nothing.*-10.0%: Cd31 Te32 is not the bulk Cd1 Te1 with one.*25 more"
    ):
        read_finished_searches(tree, bulk=Structure.from_file(tree / "host_primitive_POSCAR"))
    other_cell = Structure(bulk.lattice.scale(2500), bulk.species, bulk.frac_coords)
    with pytest.raises(FolderError, match=r"vac_1_Cd_0.*: cell \[13.087, .* is not that of the bulk, \[13.572"):
        read_finished_searches(tree, bulk=other_cell)
