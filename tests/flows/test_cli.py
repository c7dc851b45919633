"""The command line: help, exit codes, one clear line for each error, pure JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.relaxation import Unit
from flows.cli import app
from flows.lock import locked
from flows.run_folder import create_run

COMMANDS = ("search", "sweep", "analyse", "resume", "status", "report", "reindex", "doctor")


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def settings_file(tmp_path, settings):
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return path


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "defect-surrogate")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_its_exit_codes(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "absent.cif"], "absent.cif"),
        (["search", "absent.cif", "--dry-run"], "absent.cif"),
        (["search", "HOST", "--dry-run", "--elements", "Zn"], "Zn"),
        (["search", "HOST", "--dry-run", "--surrogate", "nonesuch"], "nonesuch"),
        (["search", "HOST", "--settings", "BAD"], "surogate"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, host_file, settings_file, arguments, words):
    bad = tmp_path / "bad.yaml"
    bad.write_text("surogate: {potential: chgnet}\n")
    given = [{"HOST": host_file, "BAD": bad}.get(one, one) for one in arguments]
    given += [] if "--settings" in arguments else ["--settings", settings_file]
    result = run(*given, "--out", tmp_path / "run")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert words in line
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["resume", "status", "report"])
def test_a_folder_that_is_no_run_is_exit_code_2(command, tmp_path):
    result = run(command, tmp_path)
    assert result.exit_code == 2
    assert "is not the folder of a search" in result.stderr


def test_usage_errors_are_exit_code_2():
    assert run("search").exit_code == 2
    assert run("analyse", "tree").exit_code == 2


def test_analyse_prints_pure_json(hse_search):
    result = run("analyse", hse_search, "--bulk", hse_search / "bulk_POSCAR", "--json")
    assert result.exit_code == 0
    (vacancy,) = json.loads(result.stdout)["hosts"][0]["vacancies"]
    assert len(vacancy["minima"]) == 2


def test_dry_run_lists_what_would_be_run_and_writes_inputs_of_one_unit(tmp_path, host_file, settings_file):
    result = run("search", host_file, "--out", tmp_path / "run", "--settings", settings_file, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["vacancies"][0]["name"] == "v_Cd_0"
    assert len(plan["vacancies"][0]["sampling_structures"]) == 5
    assert "CdTe/v_Cd_0/Dimer/surrogate" in plan["to_run"]
    assert "CdTe/v_Cd_0/Unperturbed/reference" in plan["to_run"]
    assert {"INCAR", "KPOINTS", "POSCAR", "POTCAR"} == {file.name for file in Path(plan["inputs"]).iterdir()}
    assert not (tmp_path / "run" / "run.json").exists()
    text = run("search", host_file, "--out", tmp_path / "run", "--settings", settings_file, "--dry-run").stdout
    assert "5 sampling structures" in text


def test_status_counts_units_and_names_failures(tmp_path, host_file, settings, cluster_crystal):
    folder = create_run(tmp_path / "run", str(host_file), settings)
    units = [Unit("CdTe", "v_Cd_0", label, "reference", cluster_crystal, "m") for label in ("Dimer", "Unperturbed")]
    folder.note_units(units)
    folder.archive.record_failure(units[0], ReferenceRunError("signal 9"))
    content = json.loads(run("status", folder.path, "--json").stdout)
    assert content["counts"] == [
        {"defect": "CdTe/v_Cd_0", "level": "reference", "total": 2, "finished": 0, "failed": 1, "running": 0}
    ]
    with folder.archive.attempt(units[1]):
        text = run("status", folder.path).stdout
    assert "0 of 2 finished, 1 running, 1 failed" in text
    assert "failed: CdTe/v_Cd_0/Dimer/reference: ReferenceRunError: signal 9" in text


def test_report_of_a_search_with_nothing_finished(tmp_path, host_file, settings):
    folder = create_run(tmp_path / "run", str(host_file), settings)
    result = run("report", folder.path, "--json")
    assert result.exit_code == 1
    assert "0 units failed, 6 not run yet" in result.stderr
    assert json.loads(result.stdout)["hosts"][0]["vacancies"][0]["ground_state"] is None
    assert (folder.path / "report.html").is_file()


def test_units_without_a_result_are_exit_code_1(tmp_path, host_file, settings):
    relaxing = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": True})})
    folder = create_run(tmp_path / "run", str(host_file), relaxing)
    from defect_surrogate.hosts import read_host
    from flows.hosts import host_work

    folder.archive.record_failure(
        host_work(read_host(folder.source, relaxing.host), relaxing).unit, ReferenceRunError("no")
    )
    result = run("report", folder.path)
    assert result.exit_code == 1
    assert "1 units failed, 0 not run yet" in result.stderr


def test_a_second_search_in_the_folder_is_refused_before_it_starts_anything(tmp_path, host_file, settings):
    folder = create_run(tmp_path / "run", str(host_file), settings)
    with locked(folder.path):
        result = run("resume", folder.path)
    assert result.exit_code == 2
    assert f"runs already (process {os.getpid()})" in result.stderr
    assert not (folder.path / "prefect").exists()


def test_reindex_of_an_empty_archive(tmp_path, host_file, settings):
    folder = create_run(tmp_path / "run", str(host_file), settings)
    result = run("reindex", folder.path)
    assert result.exit_code == 0
    assert result.stdout.startswith("0 units")


def test_doctor_as_json():
    checks = json.loads(run("doctor", "--json").stdout)
    assert {"subject", "state", "found", "advice"} == set(checks[0])


def test_a_prefect_server_that_is_not_there_is_exit_code_3(tmp_path, host_file, settings_file):
    command = [Path(sys.executable).parent / "defect-surrogate", "search", host_file, "--out", tmp_path / "run"]
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    result = subprocess.run(
        [*command, "--settings", settings_file],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 3
    assert "no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_sweep_is_planned_without_running_anything(tmp_path, sweep_settings):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep_settings.model_dump(mode="json")))
    result = run("sweep", path, "--out", tmp_path / "run", "--dry-run")
    assert result.exit_code == 0
    assert "Cd(Te,Se): supercells of 8 atoms, 4 sites mix; end members CdTe (Te), CdSe (Se)" in result.stdout
    assert "CdTe0.75Se0.25: Te 0.75 (asked 0.75), Se 0.25 (asked 0.25)" in result.stdout
    assert "Cd with 3 Te (3Te): 1 sites" in result.stdout
    assert "4 vacancies would be searched" in result.stdout
    assert not (tmp_path / "run").exists()


def test_a_sweep_that_cannot_be_made_is_one_line_and_exit_code_2(tmp_path, sweep_settings):
    content = sweep_settings.model_dump(mode="json")
    content["alloy"] |= {"compositions": [0.3]}
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    for options in ([], ["--dry-run"]):
        result = run("sweep", path, "--out", tmp_path / "run", *options)
        assert result.exit_code == 2
        assert "cannot be had on 4 sites" in result.stderr
