import dataclasses
import os
import time

import pytest

from defect_surrogate.report_server import catalogue as module
from defect_surrogate.report_server.campaigns import campaigns_of, standing
from defect_surrogate.report_server.catalogue import Catalogue
from defect_surrogate.report_server.run_folders import campaign_of
from defect_surrogate.reports.files import campaign_json
from tests.defect_surrogate.report_server.conftest import HOSTILE, write_run


@pytest.fixture(scope="module")
def runs(root):
    return {run.path: run for run in Catalogue(root).runs()}


def test_every_run_is_found_and_nothing_else(runs):
    assert set(runs) == {
        "campaigns/tellurides/hosts/CdTe",
        "campaigns/tellurides/hosts/ZnTe",
        "campaigns/tellurides/hosts/PbTe",
        "runs/hse",
        "runs/xtb",
        "runs/sweep",
        "runs/sweep/compositions/CdTe",
        f"runs/{HOSTILE}",
        f"runs/{os.fsdecode(bytes([108, 97, 116, 105, 110, 45, 233]))}",
        "runs/old",
        "runs/cut",
        "runs/binary",
        "runs/bad-sweep",
    }


def test_what_a_search_found_is_counted(runs):
    summary = runs["campaigns/tellurides/hosts/CdTe"].summary
    assert (summary.hosts, summary.vacancies, summary.failures, summary.unfinished) == (("CdTe",), 1, 1, 0)
    assert summary.reconstructed == 0  # the surrogate missed the dimer
    assert runs["runs/hse"].summary.reconstructed == 1
    assert runs["campaigns/tellurides/hosts/ZnTe"].summary.reconstructed == 0
    assert runs["runs/hse"].summary.levels == ("HSE06 (VASP)",)
    assert [runs[path].summary.is_stand_in for path in ("runs/hse", "runs/xtb", "runs/sweep")] == [False, True, True]


def test_a_sweep_counts_its_compositions(runs):
    sweep, composition = runs["runs/sweep"], runs["runs/sweep/compositions/CdTe"]
    assert (sweep.kind, composition.kind) == ("sweep", "search")
    assert (sweep.summary.vacancies, sweep.summary.failures, sweep.summary.unfinished) == (1, 2, 2)
    assert sweep.summary.hosts == ("Cd(Te,Se)",)
    assert composition.sweep == sweep.names
    assert composition not in standing(list(runs.values()))


def test_what_is_wrong_with_a_report_is_said(runs):
    assert "is of schema 1; this version of the software reads schema" in runs["runs/old"].fault
    assert runs["runs/cut"].fault.startswith("runs/cut/campaign.json: cannot be read as JSON")
    assert "runs/bad-sweep/alloy.json: created: Field required" in runs["runs/bad-sweep"].fault
    assert runs["runs/old"].summary is None
    assert runs["runs/hse"].fault == ""


def test_a_search_without_a_report_is_listed(runs):
    waiting = runs["campaigns/tellurides/hosts/PbTe"]
    assert (waiting.summary, waiting.fault, waiting.kind) == (None, "", "search")


def test_hosts_of_a_campaign_are_gathered(runs):
    (campaign,) = campaigns_of(list(runs.values()))
    assert (campaign.name, campaign.hosts, campaign.without_report) == ("tellurides", 3, 1)
    assert (campaign.total.vacancies, campaign.total.failures) == (2, 1)
    assert campaign.changed == max(run.changed for run in campaign.runs)
    assert campaign_of(("campaigns", "a", "hosts", "CdTe", "compositions", "x")) == "a"
    assert campaign_of(("campaigns", "a", "history", "CdTe")) is None


def test_one_run_is_found_as_among_all(root, runs):
    catalogue = Catalogue(root)
    assert [catalogue.find(run.names) for run in runs.values()] == list(runs.values())


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("runs",),
        ("runs", "link"),
        ("runs", "out"),
        ("archive",),
        ("runs", "hse", "archive"),
        ("runs", ".."),
        ("..", "service", "runs", "hse"),
        ("runs", ".", "hse"),
        ("runs", "hse\0"),
        ("runs", "x" * 300),
        ("a",) * 9,
    ],
)
def test_no_other_folder_is_a_run(root, names):
    assert Catalogue(root).find(names) is None


def test_a_host_may_have_any_name(tmp_path, analysed):
    hosts = tmp_path / "campaigns" / "archive" / "hosts"
    for name in ("host", "archive", ".hidden"):
        write_run(hosts / name, analysed)
    write_run(tmp_path / "campaigns" / "a" / "hosts" / "host", analysed)
    write_run(tmp_path / "campaigns" / "a" / "hosts" / "CdTe" / "host", analysed)
    catalogue = Catalogue(tmp_path)
    assert [run.path for run in catalogue.runs()] == ["campaigns/a/hosts/host"]
    assert catalogue.find(("campaigns", "a", "hosts", "host")) is not None
    assert catalogue.find(("campaigns", "archive", "hosts", "host")) is None


def test_the_served_folder_can_be_a_run_itself(tmp_path, analysed):
    write_run(tmp_path, analysed)
    (run,) = Catalogue(tmp_path).runs()
    assert (run.names, run.path) == ((), ".")


def test_reports_are_read_once_until_they_change(tmp_path, analysed, monkeypatch):
    write_run(tmp_path / "a", analysed)
    read = []
    original = module.read_campaign
    monkeypatch.setattr(module, "read_campaign", lambda path: read.append(path) or original(path))
    catalogue = Catalogue(tmp_path)
    first = catalogue.runs()
    assert catalogue.runs() == first
    assert catalogue.find(("a",)) == first[0]
    assert len(read) == 1
    changed = dataclasses.replace(analysed.campaign, hosts=())
    (tmp_path / "a" / "campaign.json").write_text(campaign_json(changed))
    assert catalogue.runs()[0].summary.vacancies == 0
    assert len(read) == 2
    (tmp_path / "a" / "campaign.json").unlink()
    (tmp_path / "a" / "run.json").unlink()
    assert catalogue.runs() == []


def test_a_thousand_runs_are_cheap(tmp_path, analysed):
    text = campaign_json(dataclasses.replace(analysed.campaign, hosts=()))
    for number in range(1000):
        folder = tmp_path / "runs" / f"{number}"
        for inner in ("archive/units", "minima", "structures", "host"):
            (folder / inner).mkdir(parents=True)
        (folder / "campaign.json").write_text(text)
    catalogue = Catalogue(tmp_path)
    assert len(catalogue.runs()) == 1000
    began = time.process_time()
    assert len(catalogue.runs()) == 1000
    assert time.process_time() - began < 1.0


def test_a_fifo_or_a_link_is_no_report(tmp_path, outside):
    for name in ("fifo", "link", "folder"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "fifo" / "campaign.json")
    (tmp_path / "link" / "campaign.json").symlink_to(outside / "campaign.json")
    (tmp_path / "folder" / "campaign.json").mkdir()
    assert Catalogue(tmp_path).runs() == []


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path, analysed, monkeypatch):
    write_run(tmp_path / "a", analysed)
    (tmp_path / "b").mkdir()
    original = os.scandir

    def refusing(path):
        if os.fspath(path).endswith("b"):
            raise PermissionError(13, "denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [run.path for run in Catalogue(tmp_path).runs()] == ["a"]
