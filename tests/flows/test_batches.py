"""How units are shared out to workers, and what becomes of a group in which one breaks."""

import time

import dask
import pytest
from pymatgen.core import Structure

from defect_surrogate.archive import Archive, Driver, attempts
from defect_surrogate.errors import MemoryExceededError, StoppedError, WorkerLostError
from defect_surrogate.relaxation import Provenance, Relaxation, Unit
from flows import batches
from flows.allowance import Allowance
from flows.batches import Batch
from flows.cluster.profile import ClusterProfile, ResourceClass
from flows.stream import Results
from flows.work import Work
from flows.workers import Outcome
from tests.flows.conftest import FakeCluster


def works(structure: Structure, *labels: str) -> list[Work]:
    return [Work(Unit("CdTe", "v_Cd_0", label, "surrogate", structure, "method")) for label in labels]


@pytest.mark.parametrize(
    ("count", "most", "workers", "sizes"),
    [
        (5, 1, 2, [1] * 5),
        (5, 4, 2, [3, 2]),
        (5, 400, 2, [3, 2]),
        (1, 400, 4, [1]),
        (8, 400, 1, [8]),
        (0, 400, 2, []),
        (20, 8, 2, [8, 8, 4]),
    ],
)
def test_units_are_shared_out_evenly_up_to_what_one_may_get(cluster_crystal, count, most, workers, sizes):
    shared = batches._groups(works(cluster_crystal, *map(str, range(count))), most=most, workers=workers)
    assert [len(group) for group in shared] == sizes
    assert [work.unit.label for group in shared for work in group] == list(map(str, range(count)))


def a_batch(works, retries, cluster, driver, results, pool="surrogate", allowance=None, priority=0):
    return Batch(
        works=tuple(works),
        retries=retries,
        pool=pool,
        cluster=cluster,
        driver=driver,
        results=results,
        stopped=lambda: Archive(driver._root).stop_requested(),
        allowance=allowance,
        priority=priority,
    )


def a_try(archive, group):
    """Leave behind what a worker does that dies in the middle of a group."""
    (driver,) = (archive.root / "drivers").iterdir()
    for work in group:
        attempts.begin(archive.root / "attempts", work.unit, prefix=work.unit.key[:16], driver=driver.name)


@pytest.fixture
def relax(tmp_path, monkeypatch):
    """Relaxes works by a function that yields outcomes, and returns what became of each, in order, and the cluster."""

    def run(works, outcomes, *, retries=0, fate="", most=400, **more):
        results, cluster = Results(), FakeCluster(fate)
        monkeypatch.setattr(batches, "outcomes", outcomes)
        monkeypatch.setattr(batches, "batch_name", lambda: "CdTe: some surrogate relaxations")
        archive = Archive(tmp_path)
        try:
            with Driver(archive.root) as driver:
                batch = a_batch(works, retries, cluster, driver, results, **more)
                batches.relaxed(batch, tmp_path, None, most=most, workers=1)
        finally:
            results.end()
        return [(name.split("/")[2], relaxation is not None) for name, relaxation in results], cluster

    return run


def finished(structure: Structure) -> Relaxation:
    return Relaxation("surrogate", structure, -1.0, 3, True, "converged", "", Provenance("a", "b", 1.0, 4, ()), ())


def test_a_group_that_broke_is_given_out_by_halves_and_only_what_breaks_alone_is_lost(cluster_crystal, tmp_path, relax):
    archive, given = Archive(tmp_path), []

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            a_try(archive, group)
            given.append([work.unit.label for work in group])
            for work in group:
                if work.unit.label != "poison" and (len(group) == 1 or work.unit.label == "a"):
                    archive.publish(work.unit, finished(cluster_crystal))
            broken = len(group) > 1 or group[0].unit.label == "poison"
            waiting.ended(group, lost=broken)
            yield Outcome(group, WorkerLostError("its worker was lost") if broken else None, "w-1" if broken else "")

    found, cluster = relax(works(cluster_crystal, "a", "poison", "b", "c"), outcomes)
    assert given == [["a", "poison", "b", "c"], ["poison", "c"], ["b"], ["poison"], ["c"]]
    assert found == [("a", True), ("b", True), ("poison", False), ("c", True)]
    (failure,) = archive.failures()
    assert failure.name == "CdTe/v_Cd_0/poison/surrogate"
    assert "died at each of 1 tries" in failure.message
    assert cluster.wanted == [1, 2, 2, 0, 0, 0]  # a group, its halves, and theirs


def test_a_unit_whose_job_ended_goes_on_in_another(cluster_crystal, tmp_path, relax):
    archive, tries = Archive(tmp_path), []

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            tries.append(group)
            yield None
            if len(tries) == 3:
                archive.publish(group[0].unit, finished(cluster_crystal))
                yield Outcome(group, None)
            else:
                yield Outcome(group, WorkerLostError("its worker was lost"), "w-1")

    found, _ = relax(works(cluster_crystal, "a"), outcomes, fate="TIMEOUT")
    assert found == [("a", True)]
    assert archive.failures() == ()


def test_what_needs_more_memory_is_returned_and_no_failure(cluster_crystal, tmp_path, monkeypatch):
    def outcomes(waiting, _):
        while waiting:
            yield Outcome(waiting.take(), MemoryExceededError("Out Of Memory"))

    cluster, results = FakeCluster(), Results()
    monkeypatch.setattr(
        cluster, "profile", ClusterProfile(reference=ResourceClass(memory=10**9, more_memory=2 * 10**9))
    )
    monkeypatch.setattr(batches, "outcomes", outcomes)
    monkeypatch.setattr(batches, "batch_name", lambda: "CdTe: 1 reference relaxations")
    asked = works(cluster_crystal, "a")
    with Driver(Archive(tmp_path).root) as driver:
        batch = a_batch(asked, 0, cluster, driver, results, pool="reference")
        assert batches.relaxed(batch, tmp_path, None, most=1, workers=1) == ("CdTe/v_Cd_0/a/surrogate",)
    assert Archive(tmp_path).failures() == ()
    assert not results.has("CdTe/v_Cd_0/a/surrogate")


@pytest.mark.parametrize("most", [1, 400])
def test_a_request_to_stop_ends_the_stage_and_is_no_failure(cluster_crystal, tmp_path, relax, most):
    given = []

    def outcomes(waiting, _):
        while waiting:
            given.append(waiting.take())
            (tmp_path / "STOP").touch()
            yield Outcome(given[-1], StoppedError("stopped after 7 steps"))

    asked = works(cluster_crystal, "a", "b", "c")
    with pytest.raises(StoppedError, match="3 left; what is on its way is kept"):
        relax(asked, outcomes, most=most)
    assert len(given) == 1
    assert Archive(tmp_path).failures() == ()
    with pytest.raises(StoppedError):  # nor does another stage begin
        relax(asked, outcomes, most=most)
    assert len(given) == 1


def test_a_unit_is_not_blamed_for_a_worker_that_died_before_it_began(cluster_crystal, tmp_path, relax):
    archive, tries = Archive(tmp_path), []

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            tries.append(group)
            if len(tries) < 4:  # another campaign's unit kills the worker that both had been given
                yield Outcome(group, WorkerLostError("its worker was lost"), "w-1")
            else:
                archive.publish(group[0].unit, finished(cluster_crystal))
                yield Outcome(group, None)

    found, _ = relax(works(cluster_crystal, "a"), outcomes)
    assert found == [("a", True)]


def test_attempts_of_a_group_that_broke_are_not_held_against_its_members(cluster_crystal, tmp_path, relax):
    archive, tries = Archive(tmp_path), []

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            tries.append(group)
            if len(group) > 1:
                a_try(archive, group)
            if len(group) > 1 or len(tries) < 4:  # the members' workers die before they begin
                yield Outcome(group, WorkerLostError("its worker was lost"), "w-1")
            else:
                archive.publish(group[0].unit, finished(cluster_crystal))
                yield Outcome(group, None)

    found, _ = relax(works(cluster_crystal, "a", "b"), outcomes)
    assert sorted(found) == [("a", True), ("b", True)]


def test_what_another_campaign_finishes_is_a_result_of_this_one(cluster_crystal, tmp_path, relax, monkeypatch):
    monkeypatch.setattr("flows.waiting.ASKED_EVERY", 0.0)
    archive, asked = Archive(tmp_path), works(cluster_crystal, "a")

    def outcomes(waiting, _):
        assert waiting.take() is None
        yield None
        archive.publish(asked[0].unit, finished(cluster_crystal))
        while waiting:
            yield None

    with Driver(archive.root) as other:
        assert other.claim(asked[0].unit)
        found, _ = relax(asked, outcomes)
    assert found == [("a", True)]


def test_work_has_the_priority_of_its_campaign_where_it_is_given_out(cluster_crystal, tmp_path, relax):
    given = []

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            given.append(dask.get_annotations().get("priority"))
            Archive(tmp_path).publish(group[0].unit, finished(cluster_crystal))
            yield Outcome(group, None)

    for priority in (1, -1):
        relax(works(cluster_crystal, f"unit {priority}"), outcomes, priority=priority)
    assert given == [1, -1]
    assert dask.get_annotations() == {}


def test_what_the_allowance_has_no_room_for_has_no_result_and_has_not_broken(cluster_crystal, tmp_path, relax):
    archive = Archive(tmp_path)

    def outcomes(waiting, _):
        while waiting:
            group = waiting.take()
            if group is None:
                yield None
                continue
            archive.publish(group[0].unit, finished(cluster_crystal))
            waiting.ended(group, lost=False)
            yield Outcome(group, None)

    allowance = Allowance(tmp_path / "spent.json", relaxations=2, core_hours=None)
    asked = works(cluster_crystal, "a", "b", "c", "d")
    found, _ = relax(asked, outcomes, most=1, pool="reference", allowance=allowance)
    assert sorted(found) == [("a", True), ("b", True), ("c", False), ("d", False)]
    assert archive.failures() == ()


def test_when_the_core_hours_are_spent_what_runs_ends_with_its_driver_and_the_rest_is_left(
    cluster_crystal, tmp_path, relax
):
    archive, ended = Archive(tmp_path), []

    def outcomes(waiting, _):
        first, second = waiting.take(), waiting.take()
        try:
            archive.publish(first[0].unit, finished(cluster_crystal))
            waiting.ended(first, lost=False)
            yield Outcome(first, None)
            time.sleep(0.03)
            yield None
        finally:
            ended.append(second[0].unit.label)
            waiting.ended(second, lost=False)

    allowance = Allowance(tmp_path / "spent.json", relaxations=None, core_hours=0.02 / 3600)
    asked = works(cluster_crystal, "a", "b", "c")
    found, _ = relax(asked, outcomes, most=1, pool="reference", allowance=allowance)
    assert found == [("a", True), ("b", False), ("c", False)]
    assert ended == ["b"]
    assert archive.failures() == ()
    assert list((archive.root / "drivers").iterdir()) == []


def test_what_needs_more_memory_is_tried_with_it_though_the_core_hours_are_spent(
    cluster_crystal, tmp_path, monkeypatch
):
    """Whether it may begin is asked there."""
    cluster, results = FakeCluster(), Results()
    profile = ClusterProfile(reference=ResourceClass(memory=10**9, more_memory=2 * 10**9))
    monkeypatch.setattr(cluster, "profile", profile)

    def outcomes(waiting, _):
        group = waiting.take()
        time.sleep(0.03)
        waiting.ended(group, lost=False)
        yield Outcome(group, MemoryExceededError("Out Of Memory"))

    monkeypatch.setattr(batches, "outcomes", outcomes)
    monkeypatch.setattr(batches, "batch_name", lambda: "CdTe: some reference relaxations")
    allowance = Allowance(tmp_path / "spent.json", relaxations=None, core_hours=0.02 / 3600)
    with Driver(Archive(tmp_path).root) as driver:
        batch = a_batch(
            works(cluster_crystal, "a", "b"), 0, cluster, driver, results, pool="reference", allowance=allowance
        )
        assert batches.relaxed(batch, tmp_path, None, most=1, workers=1) == ("CdTe/v_Cd_0/a/surrogate",)
    assert not results.has("CdTe/v_Cd_0/a/surrogate")
    assert results.has("CdTe/v_Cd_0/b/surrogate")


def test_surrogate_relaxations_that_are_told_to_stop_end_at_their_next_step(cluster_crystal, tmp_path, relax):
    """The driver leaves at once, and what it has given out is waited for."""
    archive, drivers = Archive(tmp_path), []

    def outcomes(waiting, _):
        group = waiting.take()
        (tmp_path / "STOP").touch()
        yield None
        drivers.append(list((archive.root / "drivers").iterdir()))
        archive.publish(group[0].unit, finished(cluster_crystal))
        yield Outcome(group, None)

    with pytest.raises(StoppedError, match="1 left"):
        relax(works(cluster_crystal, "a", "b"), outcomes, most=1)
    assert drivers == [[]]
    assert archive.find(works(cluster_crystal, "a")[0].unit) is not None
