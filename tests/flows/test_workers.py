"""Real Dask workers that die: what is reported, and what survives."""

import uuid
from collections import deque

import distributed
import pytest
from distributed.client import Future
from prefect_dask.task_runners import PrefectDaskFuture

from defect_surrogate.errors import ReferenceRunError, ServiceError
from defect_surrogate.relaxation import Unit
from flows.hosts import Work
from flows.workers import local_workers, outcomes


def groups(cluster_crystal, *labels):
    return deque((Work(Unit("CdTe", "v_Cd_0", label, "reference", cluster_crystal, "method")),) for label in labels)


def label(outcome):
    (work,) = outcome.group
    return work.unit.label


@pytest.fixture(scope="module")
def client():
    runner = local_workers(2, deaths_allowed=1)
    with (
        distributed.LocalCluster(**runner.cluster_kwargs) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def submit_to(client, function):
    def submit(group):
        future: Future = client.submit(function, *(work.unit.label for work in group), pure=False)
        return PrefectDaskFuture(wrapped_future=future, task_run_id=uuid.uuid4())

    return submit


def test_unit_that_kills_its_workers_is_given_up_and_takes_no_other_down(client, cluster_crystal):
    def relax(label):
        import os
        import time

        if label == "poison":
            os.kill(os.getpid(), 9)
        time.sleep(0.2)
        return label

    labels = ["poison", *(f"Rattled_{i}" for i in range(8))]
    ended = {
        label(one): one.error
        for one in outcomes(groups(cluster_crystal, *labels), submit_to(client, relax), in_flight=2)
    }
    error = ended.pop("poison")
    assert isinstance(error, ServiceError)
    assert "CdTe/v_Cd_0/poison/reference: its worker process died" in str(error)
    assert ended == dict.fromkeys(labels[1:])


def test_error_of_a_unit_is_its_outcome_and_the_others_go_on(client, cluster_crystal):
    def relax(label):
        from defect_surrogate.errors import ReferenceRunError

        if label == "Dimer":
            raise ReferenceRunError("truncated vasprun.xml")
        return label

    one, other = outcomes(groups(cluster_crystal, "Dimer", "Unperturbed"), submit_to(client, relax), in_flight=1)
    assert isinstance(one.error, ReferenceRunError)
    assert (label(other), other.error) == ("Unperturbed", None)


def test_never_more_in_flight_than_workers(client, cluster_crystal):
    submitted, ended = [], []
    submit = submit_to(client, lambda label: label)

    def counted(group):
        submitted.append(group)
        assert len(submitted) - len(ended) <= 2
        return submit(group)

    for outcome in outcomes(groups(cluster_crystal, *"abcdef"), counted, in_flight=2):
        ended.append(outcome)
    assert len(ended) == 6


def test_what_is_added_while_they_run_is_submitted_too(client, cluster_crystal):
    waiting = deque([tuple(group[0] for group in groups(cluster_crystal, *"abc"))])
    ended = []
    for outcome in outcomes(waiting, submit_to(client, lambda *labels: labels), in_flight=2):
        ended.append(len(outcome.group))
        if len(outcome.group) > 1:
            waiting.extend((work,) for work in outcome.group)
    assert ended == [3, 1, 1, 1]


def test_workers_are_single_threaded_and_on_the_loopback(client):
    def threads():
        import torch

        return torch.get_num_threads()

    assert set(client.run(threads).values()) == {1}
    assert all(address.startswith("tcp://127.0.0.1") for address in client.scheduler_info()["workers"])
