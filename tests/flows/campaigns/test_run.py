"""A campaign does what the archive lacks, within what a night may spend; what is lost, or started twice, harms nothing."""

import errno
import json
import os
import threading
import time
from datetime import datetime, timedelta

import pytest
import yaml

from defect_surrogate.errors import InputError, StoppedError
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.settings import SearchSettings
from flows import allowance
from flows.campaigns import hosts as hosts_module
from flows.campaigns import run, twice
from flows.campaigns.folder import DONE_FILE
from flows.campaigns.history import begin_entry, end_entry, read_entry
from flows.cancel import cancel_run
from flows.lock import locked
from flows.search_host import search_in
from flows.sweep_folder import open_any
from tests.flows.campaigns.conftest import RUN

UNPERTURBED = "v_Cd_0/Unperturbed/reference"
EVERY = ["CdTe/Dimer_from_surrogate", "CdTe/Rattled_from_surrogate", "CdTe/Unperturbed"]
"""Reference units of CdTe."""


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of the machine."""
    zone = datetime.now().astimezone().tzinfo

    class Clock(datetime):
        time = datetime(2026, 11, 28, 20, tzinfo=zone)

        @classmethod
        def now(cls, *_):
            return cls.time

    monkeypatch.setattr(allowance, "datetime", Clock)
    return Clock


def test_a_campaign_searches_its_hosts_once(group):
    group.host("CdTe")
    state = group.run()
    assert (state.name, group.states()) == ("Completed", {"CdTe": "finished"})
    assert state.data == group.last()
    assert group.workers.taken() == EVERY
    again = group.run()
    assert again.name == "Nothing to do"
    assert again.message.startswith("0 of 1 hosts searched, 1 as before; ")
    assert group.workers.begun == []
    assert [read_entry(group.folder(), number).number for number in (1, 2)] == [1, 2]
    assert [name.rpartition(".")[2] for name, _ in group.events] == ["began", "ended"] * 2


def test_a_host_that_is_put_into_the_folder_is_searched_in_the_next_run_and_no_other(group):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    group.host("CdSe", 11.8)
    assert group.run().name == "Completed"
    assert group.states() == {"CdSe": "finished", "CdTe": "as before"}
    assert {name.split("/")[0] for name in group.workers.begun} == {"CdSe"}


def test_what_one_campaign_has_computed_no_other_computes(group):
    group.host("CdTe")
    group.run("tellurides")
    group.workers.taken()
    assert group.run("chalcogenides", hosts=["hosts/CdTe.vasp"]).name == "Completed"
    assert group.workers.begun == []
    assert group.states("chalcogenides") == {"CdTe": "finished"}


def test_what_vanished_from_the_archive_is_computed_again_and_nothing_else(group):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    (unit,) = (group.archive.root / "units" / "CdTe" / UNPERTURBED).iterdir()
    unit.rename(group.archive.root / "rejected" / "moved")
    assert group.run().name == "Completed"
    assert group.workers.begun == [f"CdTe/{UNPERTURBED}"]


def test_a_changed_file_or_setting_gives_new_units_and_keeps_the_old(group):
    group.host("CdTe")
    group.run()
    units = group.archive.root / "units" / "CdTe" / UNPERTURBED
    group.workers.taken()
    group.host("CdTe", 12.3)
    assert group.run().name == "Completed"
    assert len(group.workers.begun) == 5
    group.workers.taken()
    changed = {"settings": {"reference": {"defect_incar": {"NSW": 7}}}}
    assert group.run(**changed).name == "Completed"
    assert group.workers.taken() == EVERY  # the surrogate has nothing to do
    assert len(list(units.iterdir())) == 3
    assert group.run(**changed).name == "Nothing to do"
    assert group.run().name == "Completed"  # back to the first settings: all is there
    assert group.workers.begun == []


def test_other_workers_and_another_budget_are_no_reason_to_search_again(group):
    group.host("CdTe")
    group.run()
    more = {"settings": {"workers": {"reference": 7}}, "budget": {"core_hours": 3.0}, "priority": "high"}
    assert group.run(**more, hosts_at_once=3).name == "Nothing to do"


def test_what_broke_is_tried_again_by_hand_and_not_every_night(group):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    state = group.run()
    assert state.name == "With failures"
    assert group.states() == {"CdTe": "broke"}
    assert len(group.workers.taken()) == 3
    assert group.run(try_again=False).name == "With failures"  # still
    assert group.states() == {"CdTe": "as before"}
    assert group.workers.begun == []
    assert group.run(try_again=True).name == "With failures"
    assert group.workers.begun == [f"CdTe/{UNPERTURBED}"]
    group.workers.broken.clear()
    assert group.run(try_again=True).name == "Completed"
    assert group.run(try_again=False).name == "Nothing to do"


def test_what_breaks_does_not_eat_the_budget_night_after_night(group, clock):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    for _ in range(3):
        state = group.run(try_again=False, budget={"reference_relaxations": 1})
        clock.time += timedelta(days=1)
    assert len(group.workers.taken()) == 3
    assert (group.last().hosts[0].failed, group.last().hosts[0].unfinished) == (1, 0)
    assert state.name == "With failures"


@pytest.mark.parametrize("damage", ["{", '[{"asked": 1}]', "\0"])
@pytest.mark.parametrize("file", [DONE_FILE, CAMPAIGN_FILE, "units.json", "run.json", "settings.yaml"])
def test_damaged_notes_of_a_host_are_made_anew_without_computing_anything(group, file, damage):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    (group.folder().host("CdTe") / file).write_text(damage)
    if file in ("run.json", "settings.yaml"):  # which nobody reads where nothing is to be done
        (group.folder().host("CdTe") / DONE_FILE).unlink()
    assert group.run().name == "Completed"
    assert group.run().name == "Nothing to do"
    assert group.workers.begun == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_one_host_that_is_lost_does_not_end_the_others(group, at_once):
    for number, name in enumerate(("Aa", "Bb", "Cc")):
        group.host(name, 12.0 + 0.1 * number)
    (group.hosts / "Bb.vasp").write_text("not a crystal")
    state = group.run(hosts_at_once=at_once)
    assert state.name == "With failures"
    assert state.message.startswith("2 of 3 hosts searched, 0 as before; broken or lost: Bb; ")
    assert group.states() == {"Aa": "finished", "Bb": "lost", "Cc": "finished"}
    (row,) = group.artifacts["failures-tellurides"]
    assert row["unit"] == "Bb"
    assert row["cause"].startswith("HostError: ")
    assert row["next step"].startswith("Mend the host's file")
    assert group.events[-1][0].endswith("ended-with-failures")
    group.host("Bb", 12.1)
    group.workers.taken()
    assert group.run(hosts_at_once=at_once).name == "Completed"
    assert {name.split("/")[0] for name in group.workers.begun} == {"Bb"}


def test_what_broke_is_named_with_its_cause_and_what_can_be_done(group):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    group.run()
    (row,) = group.artifacts["failures-tellurides"]
    assert (row["unit"], row["cause"]) == (f"CdTe/{UNPERTURBED}", "ReferenceRunError: no energy")
    assert row["next step"].startswith("Look at its OUTCAR")


HOSTILE = ["...vasp", "POSCAR", "a|b`<b>.vasp", "Cd Te.vasp", "line\nbreak.vasp", os.fsdecode(b"\xff.vasp"), "Dd.vasp"]


def test_hostile_files_in_the_watched_folder_are_told_and_harm_nothing(group, cluster_crystal):
    group.host("CdTe")
    text = (group.hosts / "CdTe.vasp").read_text()
    for name in HOSTILE:
        (group.hosts / name).write_text(text)
    (group.hosts / "Dd.cif").write_text("data_")  # of one name with another
    (group.hosts / ".hidden.vasp").write_text("being copied")
    (group.hosts / "README.md").write_text("what lies here")
    (group.hosts / "folder.vasp").mkdir()
    (group.hosts / "gone.vasp").symlink_to("nowhere")
    state = group.run()
    assert state.name == "With failures"
    states = group.states()
    assert states.pop("CdTe") == "finished"
    assert set(states.values()) == {"lost"}
    assert len(states) == len(HOSTILE)  # one is hidden, and one is there twice
    assert all(row["cause"].startswith("HostError: ") for row in group.artifacts["failures-tellurides"])
    page = group.artifacts["campaign-tellurides"]
    assert "<b>" not in page
    assert r"a\|b\`\<b\>.vasp" in page
    assert page.count("\n| ") == 2 + 1 + len(states)  # one line for each host
    assert group.last() == state.data
    assert sorted(path.name for path in (group.folder().path / "hosts").iterdir()) == ["CdTe"]


def test_files_of_one_name_are_both_refused_and_one_file_named_twice_is_one_host(group):
    path = group.host("CdTe")
    other = group.place.root / "other" / "CdTe.cif"
    other.parent.mkdir()
    other.write_text("data_")
    assert group.run(hosts=["hosts/CdTe.vasp", str(path)], folder="hosts").name == "Completed"
    assert group.run(hosts=[str(path), str(other)]).name == "With failures"
    assert group.states() == {str(path): "lost", str(other): "lost"}
    assert str(path) in group.last().hosts[1].message


def test_started_twice_at_once_it_runs_once(group):
    group.host("CdTe")
    states = []

    def start_again(_work):
        group.workers.at_work = lambda _: None
        states.append(group.run())
        with pytest.raises(InputError, match=r"tellurides: runs with other settings \(run 1\); wait for its end"):
            group.run(priority="low")

    group.workers.at_work = start_again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twice, "NOTED_WITHIN", 0.01)
        assert group.run().name == "Completed"
    (state,) = states
    assert (state.name, state.data) == ("Already running", None)
    assert state.message == "tellurides runs already, as run 1; this adds nothing to it."
    assert len(group.workers.begun) == 5
    assert group.last().number == 1


def test_one_that_begins_a_moment_after_another_waits_for_what_that_notes(group, monkeypatch):
    """Between a start and its note the history says what ran before, perhaps with other settings."""
    group.host("CdTe")
    group.run(priority="low")
    monkeypatch.setattr(twice, "NOTED_WITHIN", 0.3)
    campaign, said = group.campaign(), []
    with locked(group.folder().path):
        thread = threading.Thread(target=lambda: said.append(RUN(campaign, str(group.place.root)).name))
        thread.start()
        time.sleep(0.15)
        begin_entry(group.folder(), campaign, None)
        thread.join()
    assert said == ["Already running"]


def test_many_that_start_at_once_run_once(group):
    group.host("CdTe")
    names = []
    threads = [threading.Thread(target=lambda: names.append(group.run().name)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names.count("Completed") == 1
    assert set(names) <= {"Completed", "Already running", "Nothing to do"}
    assert len(group.workers.begun) == 5


@pytest.mark.parametrize(("at_once", "most"), [(1, 4), (3, 2), (3, 4)])
def test_a_budget_of_relaxations_is_kept_to_the_unit_night_after_night(group, clock, at_once, most):
    for name in ("Aa", "Bb", "Cc"):
        group.host(name)  # one crystal: these are three hosts all the same
    begun, nights = [], 0
    group.workers.flaky = {f"Bb/{UNPERTURBED}"}  # tried again, it counts once
    while True:
        state = group.run(budget={"reference_relaxations": most}, hosts_at_once=at_once)
        tonight = group.workers.taken()
        assert len(set(tonight)) == min(most, 9 - len(set(begun)))
        assert f"{len(set(tonight))} of {most} reference relaxations" in state.message
        assert all(one.failed == 0 for one in group.last().hosts)
        begun += tonight
        nights += 1
        if state.name == "Completed":
            break
        assert state.name == "Budget spent"
        assert "budget" in group.states().values()
        assert group.run(budget={"reference_relaxations": most}, hosts_at_once=at_once).name == "Budget spent"
        assert group.workers.begun == []  # the same night is not begun twice
        clock.time += timedelta(days=1)
    assert len(set(begun)) == 9
    assert nights == -(-9 // most)
    assert len(begun) == 10


def test_surrogate_relaxations_do_not_count(group):
    group.host("CdTe")
    group.run(budget={"reference_relaxations": 1})
    assert len(group.workers.taken("surrogate")) == 2


def test_a_process_that_was_killed_has_spent_what_it_began(group, clock):
    group.host("CdTe")

    def die(work):
        if work.unit.level == "reference":
            raise KeyboardInterrupt

    group.workers.at_work = die
    with pytest.raises(KeyboardInterrupt):
        group.run(budget={"reference_relaxations": 2})
    group.workers.at_work = lambda _: None
    before = set(group.workers.taken())
    assert len(before) == 2
    assert group.last().ended is None
    assert group.run(budget={"reference_relaxations": 2}).name == "Budget spent"
    assert set(group.workers.taken()) == before  # they go on; no third one begins
    clock.time += timedelta(days=1)
    assert group.run(budget={"reference_relaxations": 2}).name == "Completed"
    assert len(group.workers.taken()) == 1


@pytest.mark.parametrize("at_once", [1, 2])
def test_core_hours_end_what_runs_and_the_rest_is_left_for_another_night(group, clock, at_once):
    for number, name in enumerate(("Aa", "Bb")):
        group.host(name, 12.0 + 0.1 * number)
    group.workers.at_work = lambda work: time.sleep(0.08) if work.unit.level == "reference" else None
    budget = {"budget": {"core_hours": 0.1 / 3600}, "hosts_at_once": at_once}
    state = group.run(**budget)
    assert state.name == "Budget spent"
    assert set(group.states().values()) == {"budget"}
    assert sum(one.finished for one in group.last().hosts) < 10
    assert group.archive.failures() == ()
    group.workers.taken()
    assert group.run(**budget).name == "Budget spent"
    assert group.workers.begun == []
    group.workers.at_work = lambda _: None
    clock.time += timedelta(days=1)
    assert group.run(hosts_at_once=at_once).name == "Completed"
    assert sum(one.finished for one in group.last().hosts) == 10


@pytest.mark.parametrize("damage", ["{", '{"night": "2026-11-28", "units": [1, "a"], "core_seconds": 1}', "[]"])
def test_a_damaged_note_of_what_was_spent_does_not_end_the_campaign(group, damage):
    group.host("CdTe")
    group.folder().path.mkdir(parents=True)
    group.folder().spent.write_text(damage)
    assert group.run(budget={"reference_relaxations": 3}).name == "Completed"
    assert len(json.loads(group.folder().spent.read_text())["units"]) == 3


def test_a_full_disk_under_the_note_of_what_was_spent_does_not_end_the_campaign(group, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(allowance, "replace_file", full)
    group.host("CdTe")
    assert group.run(budget={"reference_relaxations": 2}).name == "Budget spent"
    assert len(group.workers.taken()) == 2


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_request_to_stop_ends_one_campaign_and_another_on_the_archive_goes_on(group, at_once):
    group.host("Aa", 12.0)
    group.host("Bb", 12.1)
    group.host("Cc", 12.2)
    others, go_on = [], threading.Event()

    def work(one):
        if one.unit.host == "Cc":
            go_on.wait(10)
        elif one.unit.level == "reference":
            group.folder().request_stop()

    group.workers.at_work = work
    other = threading.Thread(target=lambda: others.append(group.run("other", hosts=["hosts/Cc.vasp"]).name))
    other.start()
    mine = {"hosts": ["hosts/Aa.vasp", "hosts/Bb.vasp"], "hosts_at_once": at_once}
    with pytest.raises(StoppedError, match="stopped on request"):
        group.run(**mine)
    go_on.set()
    other.join()
    assert others == ["Completed"]
    assert group.last().ended is None
    assert group.archive.failures() == ()
    assert [name.rpartition(".")[2] for name, _ in group.events] == ["began", "began", "ended", "ended"]
    group.workers.at_work = lambda _: None
    assert group.run(**mine).name == "Completed"
    begun = [name for name in group.workers.begun if not name.startswith("Cc")]
    assert len(set(begun)) == 10


def test_a_campaign_is_ended_by_its_folder(group):
    group.host("CdTe")
    begun, ended = threading.Event(), []

    def work(_unit):
        begun.set()
        time.sleep(0.05)

    def start():
        try:
            group.run()
        except StoppedError as error:
            ended.append(error)

    group.workers.at_work = work
    thread = threading.Thread(target=start)
    thread.start()
    assert begun.wait(10)
    assert open_any(group.folder().path) == group.folder()
    assert cancel_run(group.folder().path) == []
    thread.join()
    assert len(ended) == 1
    assert not (group.archive.root / "STOP").exists()


def test_a_campaign_that_breaks_says_so(group, monkeypatch):
    group.host("CdTe")
    monkeypatch.setattr(run, "end_entry", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        group.run()
    assert group.events[-1][0].endswith(".broke")
    assert group.events[-1][1]["message"] == "OSError: full"


def test_every_night_all_campaign_files_are_run_the_urgent_first(group):
    for number, name in enumerate(("Aa", "Bb", "Cc")):
        group.host(name, 12.0 + 0.1 * number)
    group.file("a-low", hosts=["../hosts/Aa.vasp"], folder=None, priority="low")
    group.file("b-high", hosts=["../hosts/Bb.vasp"], folder=None, priority="high")
    group.file("c-normal", hosts=["../hosts/Cc.vasp"], folder=None)
    state = run.nightly.fn(str(group.place.root))
    assert (state.name, state.data) == ("Completed", {})
    order = dict.fromkeys(name.split("/")[0] for name in group.workers.begun)
    assert list(order) == ["Bb", "Cc", "Aa"]
    assert [folder.name for folder in group.place.campaigns()] == ["a-low", "b-high", "c-normal"]


def deep(depth):
    return "[" * depth + "]" * depth


BROKEN = {
    "yaml": "hosts: [",
    "list": "- a",
    "key": "hosts: [a.cif]\nnonsense: 1",
    "number-key": "1: 2",
    "nothing": "",
    "no text": "\xff",
    "settings": "hosts: [a.cif]\nsettings: absent.yaml",
    "nul": 'folder: "a\\0b"',
    "nul-settings": 'hosts: [a.cif]\nsettings: "a\\0b"',
    "deep": f"hosts: {deep(3000)}",
    "long": f"hosts: [a.cif]\nsettings: {'a' * 300}",
    "budget": "hosts: [a.cif]\nbudget: {core_hours: .nan}",
    "path": "name: ../../etc\nhosts: [a.cif]",
    "no-folder": "folder: absent",
    "good": "name: tellurides\nfolder: ../hosts",
}


def test_broken_campaign_files_do_not_end_the_others(group):
    group.host("CdTe")
    campaigns = group.place.root / "campaigns"
    campaigns.mkdir()
    for name, text in BROKEN.items():
        (campaigns / f"{name}.yaml").write_text(text, encoding="latin-1")
    (campaigns / ".good.yaml").write_text("being written")
    (campaigns / "folder.yaml").mkdir()
    (campaigns / "tellurides-again.yaml").write_text(BROKEN["good"])
    state = run.nightly.fn(str(group.place.root))
    assert group.last().ended is not None
    assert group.states() == {"CdTe": "finished"}
    assert set(state.data) == {f"{name}.yaml" for name in BROKEN if name != "good"} | {"tellurides-again.yaml"}
    assert "also the name of the campaign of good.yaml" in state.data["tellurides-again.yaml"]
    assert state.name == "With failures"
    assert state.message.startswith("lost: ")
    rows = {row["campaign"]: row for row in group.artifacts["failures-nightly"]}
    assert rows["yaml.yaml"]["next step"].startswith("Mend what the message names")
    assert sum(name.endswith(".broke") for name, _ in group.events) == len(state.data)


def test_a_campaign_that_is_ended_or_breaks_at_night_does_not_end_the_others(group):
    group.host("Aa")
    group.host("Bb", 12.1)
    group.file("first", hosts=["../hosts/Aa.vasp"], folder=None)
    group.file("second", hosts=["../hosts/Bb.vasp"], folder=None)
    group.workers.at_work = lambda work: group.folder("first").request_stop() if work.unit.host == "Aa" else None
    state = run.nightly.fn(str(group.place.root))
    assert set(state.data) == {"first.yaml"}
    assert state.data["first.yaml"].startswith("StoppedError: ")
    assert group.states("second") == {"Bb": "finished"}


def test_a_night_without_campaign_files_is_quiet(group):
    state = run.nightly.fn(str(group.place.root))
    assert (state.name, state.data) == ("Completed", {})


def test_the_name_of_a_campaign_leads_nowhere_else(group):
    for name in ("..", "../x", "a/b", ".x", "", "x\n", "ä", "a" * 65):
        with pytest.raises(ValueError, match="name"):
            group.campaign(name)
        with pytest.raises(InputError, match="cannot be the name of a campaign"):
            group.place.campaign(name)


def test_a_changed_model_is_a_reason_to_search_again(group):
    group.host("CdTe")
    model = group.place.root / "model"
    model.mkdir()
    (model / "model.pt").write_bytes(b"weights")
    asked = {"settings": {"surrogate": {"potential": "model"}}}
    group.run(**asked)
    assert group.run(**asked).name == "Nothing to do"
    (model / "model.pt").write_bytes(b"others")
    assert group.run(**asked).name == "Completed"


def test_a_real_search_is_found_in_the_history(group, monkeypatch, settings):
    """All but the relaxations is done."""
    monkeypatch.setattr(hosts_module, "search_in", search_in)
    group.host("CdTe")
    content = yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json")))
    assert SearchSettings.model_validate(content) == settings
    assert group.run(settings=content, budget={"reference_relaxations": 1}).name == "Budget spent"
    (found,) = group.last().found.values()
    assert list(group.last().found) == ["CdTe/v_Cd_0"]
    assert (found.motif, found.energy) == ("no new bonds", -100.0)
    assert found.level_of_theory.startswith("GFN1-xTB")
    assert (group.folder().host("CdTe") / "report.html").is_file()
    assert group.run(settings=content).name == "Completed"
    assert group.run(settings=content).name == "Nothing to do"
    assert list(group.last().found) == ["CdTe/v_Cd_0"]
    assert len(group.artifacts["results-tellurides"]) == 1
    assert end_entry(group.folder(), group.last(), hosts=(), found={}, spent="").hosts == ()
