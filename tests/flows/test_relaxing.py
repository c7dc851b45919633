"""Relaxers begin at once, side by side, and give results as they come; what broke is not asked for again."""

import threading

import pytest

from defect_surrogate.errors import ClusterLostError, ReferenceRunError, StoppedError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SurrogateSettings, WorkerSettings
from flows import relaxing
from flows.allowance import Allowance
from flows.relaxing import relaxers
from flows.work import Work, collected
from flows.work_folder import WorkFolder
from tests.flows.conftest import made_up


class Runs:
    """In place of the flow that gives units to workers: a function that puts results."""

    def __init__(self, run):
        self._run, self.batches = run, []

    def with_options(self, *, task_runner):
        assert task_runner == "runner"
        return self

    def __call__(self, batch, _root):
        self.batches.append([work.unit.label for work in batch.works])
        return self._run(batch) or ()


@pytest.fixture
def open_relaxers(tmp_path, monkeypatch):
    """Opens relaxers whose flow is a function."""

    class Crew:
        task_runner = "runner"

    monkeypatch.setattr("flows.cluster.connection.Cluster.crew", lambda *_: Crew())
    monkeypatch.setattr(relaxing, "RETRY_SECONDS", 0.01)

    def make(run):
        runs = Runs(run)
        monkeypatch.setattr(relaxing, "relax_with_reference", runs)
        return relaxers(WorkFolder(tmp_path), WorkerSettings()), runs

    return make


def works(structure, *labels):
    return [Work(Unit("CdTe", "v_Cd_0", label, "reference", structure, "method")) for label in labels]


def test_results_come_before_the_call_has_ended(open_relaxers, cluster_crystal):
    go_on = threading.Event()

    def run(batch):
        for work in batch.works:
            batch.results.put(work.unit.name, made_up(work, -1.0))
            assert go_on.wait(10)

    opened, _ = open_relaxers(run)
    with opened as relax:
        results = relax.reference(works(cluster_crystal, "a", "b"))
        assert next(results)[0] == "CdTe/v_Cd_0/a/reference"
        go_on.set()
        assert [name for name, _ in results] == ["CdTe/v_Cd_0/b/reference"]


def test_a_second_call_does_not_wait_for_the_first(open_relaxers, cluster_crystal):
    first_may_end = threading.Event()

    def run(batch):
        if batch.works[0].unit.label == "a":
            assert first_may_end.wait(10)
        batch.results.put(batch.works[0].unit.name, made_up(batch.works[0], -1.0))

    opened, _ = open_relaxers(run)
    with opened as relax:
        first, second = relax.reference(works(cluster_crystal, "a")), relax.reference(works(cluster_crystal, "b"))
        assert list(collected(second)) == ["CdTe/v_Cd_0/b/reference"]
        first_may_end.set()
        assert list(collected(first)) == ["CdTe/v_Cd_0/a/reference"]


def test_what_broke_is_not_asked_for_again_in_the_same_flow(open_relaxers, cluster_crystal):
    def run(batch):
        for work in batch.works:
            batch.results.put(work.unit.name, None if work.unit.label == "poison" else made_up(work, -1.0))

    opened, runs = open_relaxers(run)
    with opened as relax:
        assert list(collected(relax.reference(works(cluster_crystal, "a", "poison")))) == ["CdTe/v_Cd_0/a/reference"]
        again = dict(relax.reference(works(cluster_crystal, "poison", "b")))
        assert again["CdTe/v_Cd_0/poison/reference"] is None
        assert again["CdTe/v_Cd_0/b/reference"] is not None
    assert runs.batches == [["a", "poison"], ["b"]]


def test_what_is_archived_needs_no_worker(open_relaxers, cluster_crystal, tmp_path):
    (work,) = works(cluster_crystal, "a")
    WorkFolder(tmp_path).archive.publish(work.unit, made_up(work, -1.0))
    opened, runs = open_relaxers(lambda _: pytest.fail("asked a worker"))
    with opened as relax:
        assert list(collected(relax.reference([work]))) == ["CdTe/v_Cd_0/a/reference"]
    assert runs.batches == []


def test_workers_that_are_lost_are_replaced_and_only_what_is_missing_is_asked_for(open_relaxers, cluster_crystal):
    def run(batch):
        batch.results.put(batch.works[0].unit.name, made_up(batch.works[0], -1.0))
        if len(batch.works) > 1:
            raise ClusterLostError("the Dask scheduler was lost")

    opened, runs = open_relaxers(run)
    with opened as relax:
        assert len(collected(relax.reference(works(cluster_crystal, "a", "b", "c")))) == 3
    assert runs.batches == [["a", "b", "c"], ["b", "c"], ["c"]]


def test_workers_that_are_lost_again_and_again_end_the_search(open_relaxers, cluster_crystal):
    def run(_batch):
        raise ClusterLostError("the Dask scheduler was lost")

    opened, runs = open_relaxers(run)
    with pytest.raises(ClusterLostError), opened as relax:
        collected(relax.reference(works(cluster_crystal, "a")))
    assert len(runs.batches) == relaxing.LOSSES + 1


def test_what_needs_more_memory_is_given_to_the_workers_that_have_it(open_relaxers, cluster_crystal):
    pools = []

    def run(batch):
        pools.append((batch.pool, [work.unit.label for work in batch.works]))
        if batch.pool == "reference":
            return ("CdTe/v_Cd_0/a/reference",)
        for work in batch.works:
            batch.results.put(work.unit.name, made_up(work, -1.0))
        return ()

    opened, _ = open_relaxers(run)
    with opened as relax:
        assert list(collected(relax.reference(works(cluster_crystal, "a", "b")))) == ["CdTe/v_Cd_0/a/reference"]
    assert pools == [("reference", ["a", "b"]), ("reference-more-memory", ["a"])]


def test_an_error_of_a_search_ends_what_is_on_its_way(open_relaxers, cluster_crystal):
    ended = []

    def run(batch):
        while not batch.results.abandoned:
            threading.Event().wait(0.01)
        ended.append(True)
        raise StoppedError("abandoned")

    opened, _ = open_relaxers(run)
    with pytest.raises(ValueError, match="of the search"), opened as relax:
        relax.reference(works(cluster_crystal, "a"))
        raise ValueError("of the search")
    assert ended == [True]


def in_two_folders(tmp_path):
    """Two folders with one archive."""
    folders = [WorkFolder(tmp_path / name, shared_archive=tmp_path / "archive") for name in ("one", "other")]
    for folder in folders:
        folder.path.mkdir()
    return folders


def test_a_request_to_stop_one_folder_leaves_others_on_the_archive_alone(open_relaxers, cluster_crystal, tmp_path):
    one, other = in_two_folders(tmp_path)
    over = {}

    def run(batch):
        over[batch.works[0].unit.label] = batch.over
        batch.results.put(batch.works[0].unit.name, made_up(batch.works[0], -1.0))

    open_relaxers(run)
    one.request_stop()
    for folder, label in ((one, "a"), (other, "b")):
        with relaxers(folder, WorkerSettings()) as relax:
            collected(relax.reference(works(cluster_crystal, label)))
    assert over == {"a": True, "b": False}


def test_flows_inside_a_flow_end_with_it_and_spend_of_its_allowance(open_relaxers, cluster_crystal, tmp_path):
    outer, inner = in_two_folders(tmp_path)
    allowance, seen, ended = Allowance(tmp_path / "spent.json", relaxations=None, core_hours=None), [], []

    def run(batch):
        seen.append((batch.pool, batch.allowance, batch.priority, batch.over))
        batch.results.put(batch.works[0].unit.name, made_up(batch.works[0], -1.0))

    _, runs = open_relaxers(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relaxing, "relax_with_surrogate", Surrogate(runs))
        given = {"allowance": allowance, "priority": 1, "ended": lambda: ended.append(True)}
        with (
            relaxers(outer, WorkerSettings(), **given),
            relaxers(inner, WorkerSettings(), priority=-1) as relax,
        ):
            collected(relax.reference(works(cluster_crystal, "a")))
            collected(relax.surrogate(SurrogateSettings())(works(cluster_crystal, "b")))
            outer.request_stop()
            collected(relax.reference(works(cluster_crystal, "c")))
    assert seen == [
        ("reference", allowance, 1, False),
        ("surrogate", None, 1, False),
        ("reference", allowance, 1, True),
    ]
    assert len(ended) == 3


class Surrogate:
    """In place of the flow of the surrogate level, one of the reference level."""

    def __init__(self, runs):
        self._runs = runs

    def with_options(self, *, task_runner):
        self._runs.with_options(task_runner=task_runner)
        return lambda batch, root, _settings: self._runs(batch, root)


def test_for_what_the_allowance_has_no_room_no_worker_is_asked(open_relaxers, cluster_crystal, tmp_path, caplog):
    allowance = Allowance(tmp_path / "spent.json", relaxations=1, core_hours=None)
    (first, second) = works(cluster_crystal, "a", "b")
    assert allowance.begin(first.unit, 1)
    allowance.end(first.unit)

    def run(batch):
        for work in batch.works:
            batch.results.put(work.unit.name, made_up(work, -1.0))

    _, runs = open_relaxers(run)
    with caplog.at_level("INFO"), relaxers(WorkFolder(tmp_path), WorkerSettings(), allowance=allowance) as relax:
        assert dict(relax.reference([second])) == {second.unit.name: None}
        assert runs.batches == []
        assert set(collected(relax.reference([first, second]))) == {first.unit.name}
    assert runs.batches == [["a"]]
    assert "in the archive" not in caplog.text
    assert WorkFolder(tmp_path).archive.failures() == ()


@pytest.mark.parametrize(("try_again", "asked"), [(True, [["a", "b"]]), (False, [["b"]])])
def test_what_broke_in_an_earlier_flow_is_tried_again_if_that_is_wanted(
    open_relaxers, cluster_crystal, tmp_path, try_again, asked
):
    (broken, other) = works(cluster_crystal, "a", "b")
    WorkFolder(tmp_path).archive.record_failure(broken.unit, ReferenceRunError("no energy"))

    def run(batch):
        for work in batch.works:
            batch.results.put(work.unit.name, made_up(work, -1.0))

    _, runs = open_relaxers(run)
    with relaxers(WorkFolder(tmp_path), WorkerSettings(), try_again=try_again) as relax:
        found = dict(relax.reference([broken, other]))
    assert runs.batches == asked
    assert (found[broken.unit.name] is not None) == try_again
    assert found[other.unit.name] is not None
