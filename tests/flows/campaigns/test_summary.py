"""A run in words: its state, what broke and what can be done, and text from outside that stays text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.campaigns import summary
from flows.campaigns.folder import ServiceFolder
from flows.campaigns.history import Entry, HostEntry
from flows.campaigns.summary import broken_count, campaign_markdown, host_reports, publish_campaign, state_of
from flows.results import write_results
from flows.run_folder import create_run
from flows.search import search

FINISHED = HostEntry("Aa", "finished", 5)
BEFORE = HostEntry("Bb", "as before", 5)
LEFT = HostEntry("Cc", "budget", 2, 0, 3)
BROKE = HostEntry("Dd", "broke", 3, 1, 1)
LOST = HostEntry("Ee", "lost", message="HostError: Ee.cif: holds no atoms")


def an_entry(*hosts, number=1):
    return Entry(number, {}, "2026-11-28T20:00:00+00:00", "2026-11-28T21:00:00+00:00", None, hosts, {}, "3 of 4 spent")


@pytest.fixture
def folder(tmp_path):
    return ServiceFolder(tmp_path).campaign("tellurides")


@pytest.mark.parametrize(
    ("hosts", "name", "message"),
    [
        ([], "Nothing to do", "0 of 0 hosts searched, 0 as before"),
        ([FINISHED, BEFORE], "Completed", "1 of 2 hosts searched, 1 as before"),
        ([BEFORE], "Nothing to do", "0 of 1 hosts searched, 1 as before"),
        ([FINISHED, LEFT], "Budget spent", "2 of 2 hosts searched, 0 as before; left for another night: Cc"),
        (
            [FINISHED, LEFT, BROKE, LOST],
            "With failures",
            "3 of 4 hosts searched, 0 as before; broken or lost: Dd, Ee; left for another night: Cc, Dd",
        ),
        ([LOST], "With failures", "0 of 1 hosts searched, 0 as before; broken or lost: Ee"),
        (
            [HostEntry("Bb", "as before", 4, 1)],
            "Nothing to do",
            "0 of 1 hosts searched, 1 as before; broke before, and not tried again: Bb",
        ),
    ],
)
def test_the_state_of_a_run_says_what_became_of_its_hosts(hosts, name, message):
    assert state_of(an_entry(*hosts)) == (name, f"{message}; 3 of 4 spent")


def test_units_that_broke_and_lost_hosts_are_counted_and_what_is_left_is_not():
    assert broken_count(an_entry(FINISHED, BEFORE, LEFT)) == 0
    assert broken_count(an_entry(BROKE, LOST, HostEntry("Ff", "broke", 0, 4))) == 6


def test_the_first_run_is_compared_with_none_and_another_with_the_one_before(folder):
    assert "compare" not in campaign_markdown(an_entry(FINISHED), folder, {})
    assert "`defect-surrogate compare tellurides@2 tellurides@3`" in campaign_markdown(
        an_entry(FINISHED, number=3), folder, {}
    )


def test_pages_of_the_report_server_are_linked_where_there_is_one(folder, monkeypatch, host_file, settings, relaxer):
    run = create_run(folder.host("CdTe"), str(host_file), settings, shared_archive=folder.archive.root)
    relaxers = {"relax_surrogate": relaxer(), "relax_reference": relaxer({"Unperturbed": -99.0})}
    write_results(run, [search(run.source, settings, **relaxers)])
    entry = an_entry(HostEntry("CdTe", "finished", 8))
    reports = host_reports(folder, entry)
    assert list(reports) == ["CdTe"]
    page = campaign_markdown(entry, folder, reports)
    assert "http" not in page
    assert re.search(r"\| CdTe \| finished \| 1 \| Te.+ \| -1\.000 eV \| 8 finished \| – \|", page)
    monkeypatch.setenv("DEFECT_SURROGATE_REPORTS", "http://127.0.0.1:4201/")
    monkeypatch.chdir(folder.path.parents[1])
    page = campaign_markdown(entry, folder, reports)
    assert "[report](http://127.0.0.1:4201/files/campaigns/tellurides/hosts/CdTe/report.html)" in page
    assert "[All reports of the campaign](http://127.0.0.1:4201/campaigns/tellurides/)" in page


def test_reports_that_are_damaged_or_of_hosts_that_were_lost_are_left_out(folder):
    for name in ("Aa", "Bb"):
        folder.host(name).mkdir(parents=True)
        (folder.host(name) / "campaign.json").write_text("{")
    assert host_reports(folder, an_entry(FINISHED, BEFORE, LEFT)) == {}
    elsewhere = folder.path / "elsewhere"
    elsewhere.mkdir()
    assert host_reports(folder, an_entry(HostEntry(str(elsewhere), "lost", message="HostError: a"))) == {}


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_text_from_outside_stays_text_in_the_table(tmp_path_factory, name, message):
    folder = ServiceFolder(tmp_path_factory.getbasetemp()).campaign("tellurides")
    page = campaign_markdown(an_entry(HostEntry(name, "lost", message=message)), folder, {})
    rows = [line for line in page.split("\n") if line.startswith("| ")]
    assert len(rows) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", rows[2])) == 8
    assert not re.search(r"(?<!\\)(?:\\\\)*[<\[`*_#~&]", rows[2])


@pytest.mark.parametrize("error", ["HostError", "ServiceError", "ValueError"])
def test_what_broke_is_attached_with_what_can_be_done(folder, monkeypatch, error):
    kept = {}
    for name in ("create_markdown_artifact", "create_table_artifact"):
        monkeypatch.setattr(summary, name, lambda content, key, _words: kept.__setitem__(key, content))
    publish_campaign(an_entry(FINISHED, HostEntry("Ee", "lost", message=f"{error}: Ee: 1: 2")), folder)
    assert set(kept) == {"campaign-tellurides", "results-tellurides", "failures-tellurides"}
    ((row),) = kept["failures-tellurides"]
    assert row["cause"] == f"{error}: Ee: 1: 2"
    assert row["next step"] == summary.next_step(error)
    kept.clear()
    publish_campaign(an_entry(FINISHED), folder)
    assert "failures-tellurides" not in kept
