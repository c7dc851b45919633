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
    return deque((Work(Unit("CdTe", "v_Cd_0", label, "reference", cluster_crystal, "method")),) for label in labels)


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


class Free:
    """Workers that are free for a campaign: as many as there are, less those it has."""

    def __init__(self, client, most=2):
        self._client, self._most, self.taken, self.lost = client, most, 0, 0

    def take(self):
        if self.taken >= min(self._most, len(self._client.scheduler_info()["workers"])):
            return False
        self.taken += 1
        return True

    def ended(self, *, lost):
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
    labels, free = ["poison", *(f"Rattled_{i}" for i in range(8))], Free(client)
    found = outcomes(groups(cluster_crystal, *labels), submit_to(client, relax), free)
    ended = {label(one): one for one in found if one is not None}
    poison = ended.pop("poison")
    assert isinstance(poison.error, WorkerLostError)
    assert poison.worker in names
    assert "CdTe/v_Cd_0/poison/reference: its worker" in str(poison.error)
    assert {name: one.error for name, one in ended.items()} == dict.fromkeys(labels[1:])
    assert (free.taken, free.lost) == (0, 1)


def test_error_of_a_unit_is_its_outcome_and_the_others_go_on(client, cluster_crystal):
    def relax(label):
        from defect_surrogate.errors import ReferenceRunError

        if label == "Dimer":
            raise ReferenceRunError("truncated vasprun.xml")
        return label

    found = outcomes(groups(cluster_crystal, "Dimer", "Unperturbed"), submit_to(client, relax), Free(client, 1))
    one, other = (outcome for outcome in found if outcome is not None)
    assert isinstance(one.error, ReferenceRunError)
    assert (label(other), other.error) == ("Unperturbed", None)


def test_never_more_in_flight_than_free_workers(client, cluster_crystal):
    free, submit = Free(client), submit_to(client, lambda label: label)

    def counted(group):
        assert free.taken <= 2
        return submit(group)

    assert len([one for one in outcomes(groups(cluster_crystal, *"abcdef"), counted, free) if one is not None]) == 6


def test_where_no_worker_is_free_it_says_so_and_submits_nothing(client, cluster_crystal):
    waiting = groups(cluster_crystal, "a")
    found = outcomes(waiting, lambda _: pytest.fail("submitted"), Free(client, 0))
    assert next(found) is None
    assert next(found) is None
    waiting.clear()
    assert list(found) == []


def test_what_is_added_while_they_run_is_submitted_too(client, cluster_crystal):
    waiting = deque([tuple(group[0] for group in groups(cluster_crystal, *"abc"))])
    ended = []
    for outcome in outcomes(waiting, submit_to(client, lambda *labels: labels), Free(client)):
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
        free, submit = Free(client), submit_to(client, lambda _: __import__("time").sleep(2))

        def submit_and_lose(group):
            future = submit(group)
            client.cancel(future.wrapped_future, force=True)
            return future

        with pytest.raises(ClusterLostError, match="CdTe/v_Cd_0/a/reference: the connection"):
            list(outcomes(groups(cluster_crystal, "a", "b"), submit_and_lose, free))
        assert free.taken == 0
