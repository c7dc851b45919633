"""What waits for a worker, and what for another campaign on the same archive."""

import pytest

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.relaxation import Unit
from flows import waiting as module
from flows.allowance import Allowance
from flows.waiting import Waiting
from flows.work import Work
from tests.flows.conftest import made_up


class Workers:
    """Three workers, and how many units they are wanted for."""

    def __init__(self):
        self.free, self.wanted = 3, 0

    def take(self):
        self.free -= 1
        return True

    def spare(self):
        self.free += 1

    def change(self, count):
        self.wanted += count

    def ended(self, *, lost):
        self.spare()
        self.change(-1)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASKED_EVERY", 0.0)
    return Archive(tmp_path)


@pytest.fixture
def works(cluster_crystal):
    return [Work(Unit("CdTe", "v_Cd_0", label, "surrogate", cluster_crystal, f"method {label}")) for label in "abcd"]


def labels(works):
    return [work.unit.label for work in works]


def test_what_another_campaign_has_begun_is_waited_for_and_taken_from_the_archive(archive, works):
    with Driver(archive.root) as one, Driver(archive.root) as other:
        mine, its = Workers(), Workers()
        mine.wanted = its.wanted = 2
        first = Waiting([tuple(works[:2]), tuple(works[2:])], archive, one, mine)
        second = Waiting([tuple(works[1:3]), (works[3],)], archive, other, its)
        assert labels(first.take()) == ["a", "b"]
        assert labels(second.take()) == ["c"]  # of its group, b is at work already
        assert labels(second.take()) == ["d"]
        assert first.take() is None
        assert first.only_elsewhere
        assert second.only_elsewhere
        assert (mine.free, mine.wanted) == (2, 1)  # no worker is held or asked for, for what others do
        assert (second.found(), bool(second)) == ([], True)
        archive.publish(works[1].unit, made_up(works[1], -1.0))
        ((work, relaxation),) = second.found()
        assert (work, relaxation.energy) == (works[1], -1.0)
        assert not second


def test_what_another_campaign_has_left_is_given_out_here(archive, works):
    with Driver(archive.root) as one:
        mine = Workers()
        mine.wanted = 1
        with Driver(archive.root) as other:
            assert other.claim(works[0].unit)
            waiting = Waiting([(works[0],)], archive, one, mine)
            assert waiting.take() is None
            assert mine.wanted == 0
        assert waiting.found() == []
        assert mine.wanted == 1
        group = waiting.take()
        assert labels(group) == ["a"]
        waiting.ended(group, lost=False)
        assert (mine.free, mine.wanted, bool(waiting)) == (3, 0, False)


def test_a_unit_that_is_tried_again_may_be_taken_by_another_campaign_meanwhile(archive, works):
    with Driver(archive.root) as one, Driver(archive.root) as other:
        waiting = Waiting([(works[0],)], archive, one, Workers())
        group = waiting.take()
        assert not other.claim(works[0].unit)
        waiting.ended(group, lost=True)
        waiting.again([group])
        assert other.claim(works[0].unit)
        assert (waiting.take(), waiting.only_elsewhere) == (None, True)
        waiting.clear()
        assert not waiting


def test_a_campaign_without_workers_keeps_nothing_from_others(archive, works):
    with Driver(archive.root) as one, Driver(archive.root) as other:
        mine, its = Workers(), Workers()
        first = Waiting([(works[0],)], archive, one, mine)
        second = Waiting([(works[0],)], archive, other, its)
        group = first.take()
        assert second.take() is None
        first.ended(group, lost=True)  # its job has ended, and goes on in another
        first.again([group])
        its.take = lambda: False
        assert second.found() == []
        assert second.take() is None
        assert labels(first.take()) == ["a"]


def test_what_is_left_of_a_group_stays_a_group(archive, works):
    with Driver(archive.root) as one:
        with Driver(archive.root) as other:
            for work in works:
                assert other.claim(work.unit)
            waiting = Waiting([tuple(works)], archive, one, Workers())
            assert waiting.take() is None
            archive.publish(works[1].unit, made_up(works[1], -1.0))
        ((work, _),) = waiting.found()
        assert work is works[1]
        assert labels(waiting.take()) == ["a", "c", "d"]


def test_what_others_finish_is_not_waited_for_in_the_queue(archive, works, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_EVERY", 0.0)
    workers = Workers()
    workers.take, workers.wanted = lambda: False, 2
    with Driver(archive.root) as one:
        waiting = Waiting([tuple(works[:2]), tuple(works[2:])], archive, one, workers)
        for work in works[1:]:
            archive.publish(work.unit, made_up(work, -1.0))
        assert labels(work for work, _ in waiting.found()) == ["b", "c", "d"]
        assert workers.wanted == 1
        assert waiting


@pytest.fixture
def allowance(tmp_path):
    """Of a night in which two relaxations may begin."""
    return Allowance(tmp_path / "spent.json", relaxations=2, core_hours=None)


def test_what_the_allowance_has_no_room_for_is_returned_once_and_asks_for_no_worker(archive, works, allowance):
    with Driver(archive.root) as one, Driver(archive.root) as other:
        workers = Workers()
        workers.wanted = 4
        waiting = Waiting([(work,) for work in works], archive, one, workers, allowance=allowance, cores=4)
        groups = [waiting.take(), waiting.take()]
        assert labels(group[0] for group in groups) == ["a", "b"]
        assert waiting.take() is None
        assert (workers.free, workers.wanted) == (1, 2)
        assert waiting  # until it is asked for
        assert not waiting.only_elsewhere
        assert labels(waiting.refused()) == ["c", "d"]
        assert waiting.refused() == []
        assert all(other.claim(work.unit) for work in works[2:])  # others may compute them
        for group in groups:
            waiting.ended(group, lost=False)
        assert (workers.free, workers.wanted, bool(waiting)) == (3, 0, False)
    assert allowance.spent.relaxations == 2


def test_a_unit_that_has_begun_is_tried_again_though_the_allowance_is_spent(archive, works, allowance):
    with Driver(archive.root) as one:
        waiting = Waiting([(work,) for work in works], archive, one, Workers(), allowance=allowance)
        groups = [waiting.take(), waiting.take()]
        waiting.ended(groups[0], lost=True)
        waiting.again([groups[0]])
        assert waiting.take() == groups[0]
        assert labels(waiting.refused()) == ["c", "d"]


def test_of_a_group_the_allowance_lets_some_begin(archive, works, allowance):
    with Driver(archive.root) as one:
        waiting = Waiting([tuple(works)], archive, one, Workers(), allowance=allowance)
        assert labels(waiting.take()) == ["a", "b"]
        assert labels(waiting.refused()) == ["c", "d"]


def test_what_others_have_begun_is_waited_for_and_not_counted(archive, works, allowance):
    with Driver(archive.root) as one, Driver(archive.root) as other:
        assert other.claim(works[0].unit)
        waiting = Waiting([(work,) for work in works], archive, one, Workers(), allowance=allowance)
        assert [labels(waiting.take()) for _ in range(2)] == [["b"], ["c"]]
        assert waiting.take() is None
        assert labels(waiting.refused()) == ["d"]
        archive.publish(works[0].unit, made_up(works[0], -1.0))
        assert labels(work for work, _ in waiting.found()) == ["a"]
    assert allowance.spent.relaxations == 2


def test_what_others_have_left_when_the_allowance_is_spent_is_returned_too(archive, works, allowance):
    with Driver(archive.root) as one:
        with Driver(archive.root) as other:
            assert other.claim(works[0].unit)
            waiting = Waiting([(work,) for work in works[:3]], archive, one, Workers(), allowance=allowance)
            assert [labels(waiting.take()) for _ in range(2)] == [["b"], ["c"]]
            assert waiting.take() is None
        assert waiting.found() == []
        assert waiting.take() is None
        assert labels(waiting.refused()) == ["a"]


def test_time_on_a_worker_is_counted_with_the_cores_of_its_job(archive, works, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("flows.allowance.time.monotonic", lambda: now[0])
    allowance = Allowance(tmp_path / "spent.json", relaxations=None, core_hours=8)
    with Driver(archive.root) as one:
        waiting = Waiting([(work,) for work in works], archive, one, Workers(), allowance=allowance, cores=8)
        group = waiting.take()
        now[0] = 1800.0
        waiting.ended(group, lost=True)
        now[0] = 3600.0
        assert allowance.spent.core_hours == 4.0
        waiting.take()
        now[0] = 5400.0
        assert allowance.is_spent()
        assert waiting.take() is None
        assert labels(waiting.refused()) == ["c", "d"]
