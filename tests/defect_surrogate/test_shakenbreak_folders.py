"""ShakeNBreak reads what is written here, and what ShakeNBreak writes is read here."""

import math
import os
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Structure
from shakenbreak import analysis, plotting

from defect_surrogate.distortions import SamplingSet, SamplingStructure
from defect_surrogate.errors import FolderError
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.shakenbreak_folders import (
    distortion_label,
    energy_key,
    find_energies_file,
    read_energies,
    standard_label,
    write_energies,
    write_relaxed,
    write_sampling_structures,
)
from defect_surrogate.vacancies import Vacancy

ENERGIES = {
    "Unperturbed": -205.72311458,
    "Bond_Distortion_-60.0%": -206.47819802,
    "Bond_Distortion_0.0%": -205.72650569,
    "Bond_Distortion_30.0%": -205.7,
    "Dimer": -206.47,
    "Rattled": -205.72,
    "Bond_Distortion_-30.0%_from_surrogate": -206.478,
    "Dimer_from_surrogate": -206.4782,
}


@pytest.fixture(scope="module")
def structures(hse_search) -> dict[str, Structure]:
    return {
        "Unperturbed": Structure.from_file(hse_search / "Unperturbed" / "CONTCAR"),
        "Dimer": Structure.from_file(hse_search / "Bond_Distortion_-55.0%" / "CONTCAR"),
    }


def relaxation(structure: Structure, energy: float) -> Relaxation:
    provenance = Provenance(level_of_theory="test", method="test", seconds=1.0, evaluations=1, versions=())
    return Relaxation(
        level="reference",
        structure=structure,
        energy=energy,
        steps=1,
        converged=True,
        reason="converged",
        detail="",
        provenance=provenance,
    )


@pytest.fixture
def written(tmp_path, structures):
    """A defect folder with all of ``ENERGIES`` written to it, one relaxation after another."""
    for label, energy in ENERGIES.items():
        structure = structures["Unperturbed" if energy > -206 else "Dimer"]
        write_relaxed(relaxation(structure, energy), root=tmp_path, defect="v_Cd_0", label=label)
    return tmp_path


def test_shakenbreak_finds_the_ground_state(written):
    energies, lowering, label = analysis._sort_data(f"{written}/v_Cd_0/v_Cd_0.yaml", verbose=False)
    assert lowering == pytest.approx(-0.7551, abs=1e-4)
    assert label == "Dimer_from_surrogate"
    assert energies == yaml.safe_load((written / "v_Cd_0" / "v_Cd_0.yaml").read_text())
    assert list(energies["distortions"])[:3] == [-0.6, 0.0, 0.3]
    relative = analysis.get_energies("v_Cd_0", output_path=str(written), verbose=False)
    assert relative["distortions"][-0.6] == pytest.approx(-0.75508344)
    assert relative["Unperturbed"] == 0


def test_shakenbreak_reads_the_structures(written, structures):
    found = analysis.get_structures("v_Cd_0", output_path=str(written))
    assert set(found) == {energy_key(label) for label in ENERGIES}
    assert found["Dimer"].matches(structures["Dimer"])
    compared = analysis.compare_structures(
        found, analysis.get_energies("v_Cd_0", output_path=str(written), verbose=False), display_df=False
    )
    assert len(compared) == len(ENERGIES)


def test_shakenbreak_plots(written):
    plots = plotting.plot_all_defects({"v_Cd": [0]}, output_path=str(written), add_colorbar=True, verbose=False)
    assert list(plots) == ["v_Cd_0"]
    assert list((written / "v_Cd_0").glob("*.png"))


def test_sampling_structures_have_their_folders(tmp_path, structures):
    vacancy = Vacancy(
        host="CdTe",
        name="v_Cd",
        charge=-1,
        element="Cd",
        site_index=0,
        fractional_position=(0.0, 0.0, 0.0),
        neighbours=("Te",) * 4,
        neighbour_sites=(),
        multiplicity=1,
        missing_electrons=1,
        ideal_structure=structures["Unperturbed"],
    )
    starts = [SamplingStructure(vacancy, label, structures[label], seed=1) for label in ("Unperturbed", "Dimer")]
    folder = write_sampling_structures(SamplingSet(structures=tuple(starts), dropped=()), tmp_path / "new")
    assert folder == tmp_path / "new" / "v_Cd_-1"
    for label, structure in structures.items():
        read = Structure.from_file(folder / label / "POSCAR")
        assert read.lattice == structure.lattice
        assert read.frac_coords == pytest.approx(structure.frac_coords, abs=1e-14)


def test_what_cannot_be_ranked_is_not_written(tmp_path, structures):
    broken = replace(relaxation(structures["Dimer"], -1e9), reason="diverged", converged=False)
    write_relaxed(broken, root=tmp_path, defect="v_Cd_0", label="Dimer")
    write_relaxed(relaxation(structures["Dimer"], math.nan), root=tmp_path, defect="v_Cd_0", label="Dimer")
    assert list(tmp_path.iterdir()) == []


labels = st.one_of(
    st.integers(-24, 24).map(lambda step: f"Bond_Distortion_{2.5 * step + 0.0}%"),
    st.sampled_from(
        ["Unperturbed", "Rattled", "Dimer", "Rattled_from_-1", "Dimer_from_+2", "Bond_Distortion_-60.0%_from_0"]
    ),
)


@given(energies=st.dictionaries(labels, st.floats(-1e4, -1e-3)))
def test_energies_come_back_as_written(tmp_path_factory, energies):
    path = tmp_path_factory.mktemp("energies") / "v_Cd_0.yaml"
    write_energies(energies, path)
    assert read_energies(path) == energies
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("label", ["Bond_Distortion_nan%", "Bond_Distortion_", "Bond_Distortion_of_mine", "Dimer_0_5"])
def test_other_names_stay_as_they_are(label):
    assert distortion_label(energy_key(label)) == label


@pytest.mark.parametrize("name", ["Bond_Distortion_-30%", "Bond_Distortion_-30.00%", "Bond_Distortion_-30.0"])
def test_other_spellings_of_a_number(name):
    assert standard_label(name) == "Bond_Distortion_-30.0%"


@given(label=labels)
def test_names_are_those_of_shakenbreak(label):
    assert energy_key(label) == analysis._format_distortion_names(label)
    assert distortion_label(energy_key(label)) == label


@given(st.floats(-0.6, 0.6).map(lambda x: round(x, 3) + 0.0))
def test_labels_of_numbers_are_those_of_shakenbreak(key):
    assert distortion_label(key) == analysis._get_distortion_filename(key)


def test_energies_files_of_all_versions_are_read(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(
        "distortions:\n  -0.6: -1.5\n  0: -1.25\n  '0.3': null\n  Dimer: .nan\n  -60.0%_from_+2: -1\n  0.1: broken\n"
        "Rattled: -1.125\nUnperturbed: '-1.0'\n"
    )
    assert read_energies(path) == {
        "Bond_Distortion_-60.0%": -1.5,
        "Bond_Distortion_0.0%": -1.25,
        "Bond_Distortion_30.0%": None,
        "Dimer": None,
        "Bond_Distortion_-60.0%_from_+2": -1.0,
        "Bond_Distortion_10.0%": None,
        "Rattled": -1.125,
        "Unperturbed": -1.0,
    }
    path.write_text("distortions:\nUnperturbed: -1.0\n")
    assert read_energies(path) == {"Unperturbed": -1.0}


@pytest.mark.parametrize("content", ["", "[1, 2]", "distortions: 3", "a: b: c", "distortions: {.nan: 1}", "\x00"])
def test_what_is_no_energies_file_is_refused(tmp_path, content):
    path = tmp_path / "v_Cd_0.yaml"
    path.write_text(content)
    with pytest.raises(FolderError, match=r"v_Cd_0\.yaml: "):
        read_energies(path)


def test_an_energies_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "v_Cd_0.yaml"
    path.write_bytes(b"\xff\xfe\x00distortions")
    with pytest.raises(FolderError, match="cannot be read as YAML"):
        read_energies(path)


def test_the_energies_file_is_found(tmp_path):
    folder = tmp_path / "v_Cd_0"
    folder.mkdir()
    assert find_energies_file(folder) is None
    (folder / "vac_1_Cd_0.yaml").touch()
    (folder / "vac_1_Cd_0_2024-01-31-12-00.yaml").touch()
    assert find_energies_file(folder).name == "vac_1_Cd_0.yaml"
    (folder / "other.yaml").touch()
    with pytest.raises(FolderError, match=r"several energies files.*\['other.yaml', 'vac_1_Cd_0.yaml'\]"):
        find_energies_file(folder)
    (folder / "v_Cd_0.yaml").touch()
    assert find_energies_file(folder).name == "v_Cd_0.yaml"


def test_a_pipe_and_a_huge_file_are_no_energies_files(tmp_path):
    folder = tmp_path / "v_Cd_0"
    folder.mkdir()
    for name in ("v_Cd_0.yaml", "other.yaml"):
        os.mkfifo(folder / name)
    assert find_energies_file(folder) is None
    with pytest.raises(FolderError, match=r"other\.yaml: is not a regular file"):
        read_energies(folder / "other.yaml")
    (folder / "huge.yaml").touch()
    os.truncate(folder / "huge.yaml", 2_000_000_000)
    with pytest.raises(FolderError, match=r"huge\.yaml: larger than 10 MB"):
        read_energies(folder / "huge.yaml")
