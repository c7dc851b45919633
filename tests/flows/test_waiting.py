"""What waits for a worker, and what for another campaign on the same archive."""

import pytest

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.relaxation import Unit
from flows import waiting as module
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
