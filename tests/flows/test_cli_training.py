"""The commands that make and measure surrogates: help, exit codes, and what they print."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.dataset.store import read_dataset, write_dataset
from defect_surrogate.evaluation import evaluate
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit
from defect_surrogate.settings import BuildSettings
from defect_surrogate.surrogates import load_potential, predict
from flows.cli import app
from flows.run_folder import create_build

COMMANDS = ("ingest", "build-dataset", "train", "evaluate", "compare-levels")


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def archive(tmp_path, cluster_crystal):
    """A run folder with the host and one relaxation of a vacancy."""
    vacancy = cluster_crystal.copy()
    vacancy.remove_sites([0])
    archive = Archive(tmp_path / "run" / "archive")
    for defect, label, structure in (("bulk", "Host", cluster_crystal), ("v_Cd_0", "Dimer", vacancy)):
        frames = tuple(Frame(structure, energy, np.ones((len(structure), 3)), None) for energy in (-30.0, -31.0))
        provenance = Provenance("GFN1-xTB (vasp-xtb, stand-in for VASP)", "method", 2.0, 3, ())
        relaxation = Relaxation("reference", structure, -31.0, 2, True, "converged", "", provenance, frames)
        archive.publish(Unit("Cd4Te4", defect, label, "reference", structure, "method"), relaxation)
    return tmp_path / "run"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_its_exit_codes(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout
    assert "--out" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_arguments_is_exit_code_2(command):
    assert run(command).exit_code == 2


def test_ingest_says_what_it_took_and_leaves_a_dataset(archive, tmp_path):
    result = run("ingest", archive, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "4 frames of 2 relaxations of 1 hosts at GFN1-xTB (vasp-xtb, stand-in for VASP), 2 of them without a defect",
        f"0 relaxations lost frames, all are listed in {tmp_path / 'set' / 'ingested.csv'}",
    ]
    assert len(read_dataset(tmp_path / "set")) == 4


def test_ingest_into_a_folder_that_holds_something_is_exit_code_2(archive, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.tex").touch()
    result = run("ingest", archive, "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "set: holds something already" in result.stderr


@pytest.mark.parametrize(
    ("missing", "code"), [({"CdTe": 0, "ZnTe": 0}, 0), ({"CdTe": 0, "ZnTe": 3}, 1), ({"CdTe": -1, "ZnTe": 0}, 1)]
)
def test_build_dataset_says_what_is_missing(monkeypatch, tmp_path, missing, code):
    asked = []
    monkeypatch.setattr("flows.training_driver.run_build", lambda *given: asked.append(given) or missing)
    settings = tmp_path / "build.yaml"
    settings.write_text(yaml.safe_dump({"bulk": {"configurations": 3}}))
    result = run("build-dataset", "CdTe.cif", "ZnTe.cif", "--settings", settings, "--out", tmp_path / "set")
    assert result.exit_code == code
    words = {0: "done", 3: "3 units without a result", -1: "cannot be used, see above"}
    assert result.stdout.splitlines() == [f"{name}: {words[count]}" for name, count in missing.items()]
    ((sources, out, given),) = asked
    assert (sources, out) == (["CdTe.cif", "ZnTe.cif"], tmp_path / "set")
    assert given.bulk.configurations == 3


def test_two_hosts_of_one_name_are_exit_code_2(tmp_path):
    result = run("build-dataset", "a/CdTe.cif", "b/CdTe.vasp", "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "error: CdTe: two files of one name" in result.stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("command", "content", "words"),
    [("build-dataset", {"bulk": {"number": 3}}, "bulk.number"), ("train", {"epochs": 3}, "data: Field required")],
)
def test_a_settings_file_with_a_fault_is_exit_code_2(tmp_path, command, content, words):
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(content))
    arguments = [settings] if command == "train" else ["CdTe.cif", "--settings", settings]
    result = run(command, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_training_without_its_dataset_is_exit_code_2_before_a_server_starts(monkeypatch, tmp_path):
    monkeypatch.setattr("flows.training_driver.served", lambda _folder: pytest.fail("a server was to start"))
    settings = tmp_path / "train.yaml"
    settings.write_text(yaml.safe_dump({"data": [str(tmp_path / "none")]}))
    result = run("train", settings, "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert f"{tmp_path / 'none'}: no dataset is there" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["train.yaml"]


def test_evaluate_prints_a_table_or_pure_json(monkeypatch, tmp_path, cluster_crystal):
    """CHGNet on two frames, without the Prefect server that the flow has."""

    def measure(model, data, _out, **options):
        dataset = read_dataset(Path(data))
        return evaluate(predict(load_potential(model), dataset.frames), dataset, **options)

    monkeypatch.setattr("flows.training_driver.run_evaluate", measure)
    frames = tuple(
        LabelledFrame(
            host="CdTe",
            defect="bulk",
            label=f"Strained_{number:02d}",
            step=0,
            last=True,
            composition="CdTe",
            source="ab" * 32,
            numbers=np.array(cluster_crystal.atomic_numbers),
            positions=cluster_crystal.cart_coords + 0.01 * number,
            cell=cluster_crystal.lattice.matrix,
            energy=-20.0,
            forces=np.zeros((8, 3)),
            stress=None,
        )
        for number in range(2)
    )
    write_dataset(Dataset("made up", frames), tmp_path / "set")
    arguments = ("evaluate", "chgnet", tmp_path / "set", "--out", tmp_path / "out")
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["level_of_theory"] == "made up"
    assert "all bulk" in run(*arguments).stdout
    assert run(*arguments[:3], "--json").stdout == result.stdout  # a folder is not needed
    assert json.loads(result.stdout)["element_offsets"] is None
    updated = json.loads(run(*arguments[:3], "--update-references", "--json").stdout)
    assert set(updated["element_offsets"]) == {"Cd", "Te"}


@pytest.mark.parametrize("command", ["resume", "report"])
def test_what_needs_a_search_sends_built_data_back_to_build_dataset(tmp_path, command):
    create_build(tmp_path / "set", ["CdTe.cif"], BuildSettings())
    result = run(command, tmp_path / "set")
    assert result.exit_code == 2
    assert "of build-dataset, not of a search: run build-dataset again" in result.stderr


def test_status_and_reindex_take_built_data(tmp_path, cluster_crystal):
    folder = create_build(tmp_path / "set", ["CdTe.cif"], BuildSettings())
    assert "has not come to its first unit" in run("status", folder.path).stdout
    folder.note_units([Unit("CdTe", "bulk", "Strained_00", "reference", cluster_crystal, "method")])
    result = run("status", folder.path)
    assert result.exit_code == 0
    assert " ".join(result.stdout.split()) == "CdTe/bulk reference 0 of 1 finished, 0 running, 0 failed"
    assert run("reindex", folder.path).stdout.startswith("0 units in ")
