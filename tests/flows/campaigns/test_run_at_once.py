"""A campaign that is started twice runs once, and one that is stopped leaves the others on its archive alone."""

import threading
import time

import pytest

from defect_surrogate.errors import InputError
from flows.campaigns import run, twice
from flows.campaigns.history import begin_entry
from flows.cancel import cancel_run
from flows.lock import locked
from flows.sweep_folder import open_any
from tests.flows.campaigns.conftest import RUN


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
    state = group.run(**mine)
    assert state.is_cancelled()
    assert "stopped on request" in state.message
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

    group.workers.at_work = work
    thread = threading.Thread(target=lambda: ended.append(group.run()))
    thread.start()
    assert begun.wait(10)
    assert open_any(group.folder().path) == group.folder()
    assert cancel_run(group.folder().path) == []
    thread.join()
    assert [state.name for state in ended] == ["Cancelled"]
    assert not (group.archive.root / "STOP").exists()


def test_a_campaign_that_breaks_says_so(group, monkeypatch):
    group.host("CdTe")
    monkeypatch.setattr(run, "end_entry", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        group.run()
    assert group.events[-1][0].endswith(".broke")
    assert group.events[-1][1]["message"] == "OSError: full"
