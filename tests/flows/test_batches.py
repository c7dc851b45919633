"""How units are shared out to workers, and what becomes of a group in which one breaks."""

import pytest
from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ServiceError, StoppedError
from defect_surrogate.relaxation import Provenance, Relaxation, Unit
from flows import batches
from flows.batches import Batch
from flows.hosts import Work
from flows.workers import Outcome


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


def test_a_group_that_broke_is_given_out_by_halves_and_only_what_breaks_alone_is_lost(
    cluster_crystal, tmp_path, monkeypatch
):
    archive = Archive(tmp_path)
    finished = Relaxation(
        "surrogate", cluster_crystal, -1.0, 3, True, "converged", "", Provenance("a", "b", 1.0, 4, ()), ()
    )
    given = []

    def outcomes(waiting, _, *, in_flight):
        while waiting:
            group = waiting.popleft()
            given.append([work.unit.label for work in group])
            for work in group:
                alone_or_before = len(group) == 1 or work.unit.label == "a"
                if work.unit.label != "poison" and alone_or_before:
                    archive.publish(work.unit, finished)
            broken = len(group) > 1 or group[0].unit.label == "poison"
            yield Outcome(group, ServiceError("its worker died") if broken else None)

    monkeypatch.setattr(batches, "outcomes", outcomes)
    monkeypatch.setattr(batches, "batch_name", lambda: "CdTe: 4 surrogate relaxations")
    batch = Batch(works=tuple(works(cluster_crystal, "a", "poison", "b", "c")))
    found = batches._relaxed(batch, tmp_path, None, in_flight=1, most=400)
    assert given == [["a", "poison", "b", "c"], ["poison", "c"], ["b"], ["poison"], ["c"]]
    assert sorted(name.split("/")[2] for name in found) == ["a", "b", "c"]
    (failure,) = archive.failures()
    assert (failure.name, failure.message) == ("CdTe/v_Cd_0/poison/surrogate", "its worker died")


def test_what_broke_is_not_tried_again_when_a_search_asks_for_more(cluster_crystal):
    asked = []

    def relax(wanted):
        asked.append([work.unit.label for work in wanted])
        return {work.unit.name: "relaxed" for work in wanted if work.unit.label != "poison"}

    once, first = batches._once(relax), works(cluster_crystal, "a", "poison")
    assert list(once(first)) == ["CdTe/v_Cd_0/a/surrogate"]
    assert list(once([*first, *works(cluster_crystal, "b")])) == ["CdTe/v_Cd_0/a/surrogate", "CdTe/v_Cd_0/b/surrogate"]
    assert asked == [["a", "poison"], ["a", "b"]]
    batches._once(relax)(first)  # another run does
    assert asked[-1] == ["a", "poison"]


@pytest.mark.parametrize("most", [1, 400])
def test_a_request_to_stop_ends_the_stage_and_is_no_failure(cluster_crystal, tmp_path, monkeypatch, most):
    archive = Archive(tmp_path)
    given = []

    def outcomes(waiting, _, *, in_flight):
        while waiting:
            given.append(waiting.popleft())
            (tmp_path / "STOP").touch()
            yield Outcome(given[-1], StoppedError("stopped after 7 steps"))

    monkeypatch.setattr(batches, "outcomes", outcomes)
    monkeypatch.setattr(batches, "batch_name", lambda: "CdTe: 3 surrogate relaxations")
    batch = Batch(works=tuple(works(cluster_crystal, "a", "b", "c")))
    with pytest.raises(StoppedError, match="3 left; what is on its way is kept"):
        batches._relaxed(batch, tmp_path, None, in_flight=1, most=most)
    assert len(given) == 1
    assert archive.failures() == ()
    with pytest.raises(StoppedError):  # nor does another stage begin
        batches._relaxed(batch, tmp_path, None, in_flight=1, most=most)
    assert len(given) == 1
