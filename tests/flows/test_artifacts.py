"""What a run leaves in Prefect's dashboard: keys that it takes, links that lead to the report server, what broke and why."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.actions import ArtifactCreate

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.reports.entries import FailureReport
from flows import artifacts as module
from flows.artifacts import (
    artifact_key,
    campaign_url,
    failures_in,
    publish_artifacts,
    publish_failures,
    publish_pictures,
    report_url,
)
from flows.results import write_results
from flows.run_folder import create_run
from flows.search import search


@pytest.fixture
def kept(monkeypatch):
    """What was attached, by key."""
    every = {}
    for kind in ("table", "markdown", "image"):
        monkeypatch.setattr(module, f"create_{kind}_artifact", lambda content, key, _: every.__setitem__(key, content))
    monkeypatch.setattr(module, "create_link_artifact", lambda link, _text, key, _: every.__setitem__(key, link))
    return every


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECT_SURROGATE_REPORTS", "http://127.0.0.1:4201/")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@given(kind=st.sampled_from(["vacancies", "failures", "results"]), name=st.text(max_size=120))
def test_the_key_of_whatever_name_is_one_that_prefect_takes(kind, name):
    key = artifact_key(kind, name)
    assert ArtifactCreate(key=key).key == key
    assert key.startswith(kind)
    assert not key.endswith("-")


def test_names_are_told_apart_in_keys():
    assert artifact_key("results", "CdTe") == "results-cdte"
    assert artifact_key("results", "CdTe0.5Se0.5, ZnTe") == "results-cdte0-5se0-5-znte"
    assert artifact_key("results", "碲化镉") == "results"


def test_files_below_the_working_directory_have_an_address_and_others_none(served):
    assert report_url(Path("runs/a b#?%/report.html")) == "http://127.0.0.1:4201/files/runs/a%20b%23%3F%25/report.html"
    assert report_url(served / "runs" / "x.svg") == "http://127.0.0.1:4201/files/runs/x.svg"
    assert report_url(served.parent / "x.svg") is None
    assert campaign_url("tell.v2") == "http://127.0.0.1:4201/campaigns/tell.v2/"


def test_without_a_report_server_nothing_has_an_address(monkeypatch):
    monkeypatch.delenv("DEFECT_SURROGATE_REPORTS", raising=False)
    assert report_url(Path("x.svg")) is None
    assert campaign_url("tellurides") is None


def test_pictures_are_attached_if_they_are_there_and_served(served, kept, monkeypatch):
    (served / "run").mkdir()
    publish_pictures(served / "run", "CdTe")
    assert kept == {}
    (served / "run" / "overview.svg").touch()
    (served / "run" / "report.html").touch()
    publish_pictures(served / "run", "CdTe")
    assert kept == {
        "overview-cdte": "http://127.0.0.1:4201/files/run/overview.svg",
        "report-cdte": "http://127.0.0.1:4201/files/run/report.html",
    }
    kept.clear()
    monkeypatch.delenv("DEFECT_SURROGATE_REPORTS")
    publish_pictures(served / "run", "CdTe")
    assert kept == {}


def test_what_broke_is_attached_with_its_cause_and_what_can_be_done(kept):
    publish_failures([], "CdTe")
    assert kept == {}
    publish_failures([FailureReport("CdTe/v_Cd_0/Dimer/reference", "MemoryExceededError", "of its node")], "CdTe")
    ((row,),) = kept.values()
    assert row["cause"] == "MemoryExceededError: of its node"
    assert row["next step"].startswith("Give its jobs more memory")


def test_a_search_attaches_its_tables_and_summary(host_file, settings, relaxer, tmp_path, kept):
    run = create_run(tmp_path / "run", str(host_file), settings)
    relaxers = {"relax_surrogate": relaxer(broken=["Dimer"]), "relax_reference": relaxer({"Unperturbed": -99.0})}
    found = search(run.source, settings, **relaxers)
    (broken,) = [one for one in found.units if one.label == "Dimer"]
    run.archive.record_failure(broken, ReferenceRunError("no energy"))
    report = write_results(run, [found])
    assert [one.unit for one in failures_in(report)] == [broken.name]
    publish_artifacts(report, run.path)
    assert set(kept) == {"vacancies-cdte", "failures-cdte", "summary-cdte"}
    assert len(kept["vacancies-cdte"]) == 1
    assert "CdTe" in kept["summary-cdte"]
