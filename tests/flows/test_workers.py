"""Real Dask workers that die, and a scheduler that is lost: what is reported, and what survives."""

import uuid
from collections import deque

import dask
import distributed
import pytest
from distributed.client import Future
from prefect_dask.task_runners import PrefectDaskFuture

from defect_surrogate.errors import ClusterLostError, ReferenceRunError, WorkerLostError
from defect_surrogate.relaxation import Unit
from flows.work import Work
from flows.workers import outcomes


def groups(cluster_crystal, *labels):
    return [(Work(Unit("CdTe", "v_Cd_0", label, "reference", cluster_crystal, "method")),) for label in labels]


def label(outcome):
    (work,) = outcome.group
    return work.unit.label


@pytest.fixture(scope="module")
def client():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Queue(deque):
    """Groups that are given out while there are workers: as many as there are, less those that have one."""

    def __init__(self, client, groups, most=2):
        super().__init__(groups)
        self._client, self._most, self.taken, self.lost = client, most, 0, 0

    def take(self):
        if not self or self.taken >= min(self._most, len(self._client.scheduler_info()["workers"])):
            return None
        self.taken += 1
        return self.popleft()

    def ended(self, _group, *, lost):
        self.taken -= 1
        self.lost += lost


def submit_to(client, function):
    def submit(group):
        future: Future = client.submit(function, *(work.unit.label for work in group), pure=False)
        return PrefectDaskFuture(wrapped_future=future, task_run_id=uuid.uuid4())

    return submit


def test_unit_that_kills_its_worker_is_told_with_the_worker_and_takes_no_other_down(client, cluster_crystal):
    def relax(label):
        import os
        import time

        if label == "poison":
            os.kill(os.getpid(), 9)
        time.sleep(0.2)
        return label

    names = {str(worker["name"]) for worker in client.scheduler_info()["workers"].values()}
    labels = ["poison", *(f"Rattled_{i}" for i in range(8))]
    waiting = Queue(client, groups(cluster_crystal, *labels))
    found = outcomes(waiting, submit_to(client, relax))
    ended = {label(one): one for one in found if one is not None}
    poison = ended.pop("poison")
    assert isinstance(poison.error, WorkerLostError)
    assert poison.worker in names
    assert "CdTe/v_Cd_0/poison/reference: its worker" in str(poison.error)
    assert {name: one.error for name, one in ended.items()} == dict.fromkeys(labels[1:])
    assert (waiting.taken, waiting.lost) == (0, 1)


def test_error_of_a_unit_is_its_outcome_and_the_others_go_on(client, cluster_crystal):
    def relax(label):
        from defect_surrogate.errors import ReferenceRunError

        if label == "Dimer":
            raise ReferenceRunError("truncated vasprun.xml")
        return label

    waiting = Queue(client, groups(cluster_crystal, "Dimer", "Unperturbed"), 1)
    found = outcomes(waiting, submit_to(client, relax))
    one, other = (outcome for outcome in found if outcome is not None)
    assert isinstance(one.error, ReferenceRunError)
    assert (label(other), other.error) == ("Unperturbed", None)


def test_never_more_in_flight_than_free_workers(client, cluster_crystal):
    waiting, submit = Queue(client, groups(cluster_crystal, *"abcdef")), submit_to(client, lambda label: label)

    def counted(group):
        assert waiting.taken <= 2
        return submit(group)

    assert len([one for one in outcomes(waiting, counted) if one is not None]) == 6


def test_where_no_worker_is_free_it_says_so_and_submits_nothing(client, cluster_crystal):
    waiting = Queue(client, groups(cluster_crystal, "a"), 0)
    found = outcomes(waiting, lambda _: pytest.fail("submitted"))
    assert next(found) is None
    assert next(found) is None
    waiting.clear()
    assert list(found) == []


def test_what_is_added_while_they_run_is_submitted_too(client, cluster_crystal):
    waiting = Queue(client, [tuple(group[0] for group in groups(cluster_crystal, *"abc"))])
    ended = []
    for outcome in outcomes(waiting, submit_to(client, lambda *labels: labels)):
        if outcome is None:
            continue
        ended.append(len(outcome.group))
        if len(outcome.group) > 1:
            waiting.extend((work,) for work in outcome.group)
    assert ended == [3, 1, 1, 1]


def test_loss_of_the_scheduler_is_told_as_that(cluster_crystal):
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        waiting = Queue(client, groups(cluster_crystal, "a", "b"))
        submit = submit_to(client, lambda _: __import__("time").sleep(2))

        def submit_and_lose(group):
            future = submit(group)
            client.cancel(future.wrapped_future, force=True)
            return future

        with pytest.raises(ClusterLostError, match="CdTe/v_Cd_0/a/reference: the connection"):
            list(outcomes(waiting, submit_and_lose))
        assert waiting.taken == 0
