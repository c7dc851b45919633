"""A campaign's hold on workers that it shares with others."""

import json
import threading
from types import SimpleNamespace

import pytest

from defect_surrogate.errors import ServiceError
from flows.cluster import connection, process
from flows.cluster.connection import Cluster
from flows.cluster.profile import ClusterProfile


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Cluster:
    """Shared workers, to which nobody connects."""

    def crew(name, address, _place):
        return SimpleNamespace(name=name, address=address, lost=True, close=lambda: None)

    monkeypatch.setattr(connection, "Crew", crew)
    return Cluster(ClusterProfile(), tmp_path, shared=True)


def start(folder, address):
    (folder / "cluster.json").write_text(json.dumps({"addresses": {"surrogate": address}}))


def test_shared_workers_that_nobody_started_are_told_at_once(shared):
    with pytest.raises(ServiceError, match="no workers run there: defect-surrogate cluster start PROFILE --folder"):
        shared.crew("surrogate")


def test_shared_workers_that_are_started_again_are_waited_for(shared):
    start(shared.folder, "tls://old")
    assert shared.crew("surrogate").address == "tls://old"
    (shared.folder / "cluster.json").unlink()
    later = threading.Timer(0.3, start, (shared.folder, "tls://new"))
    later.start()
    assert shared.crew("surrogate").address == "tls://new"
    later.join()


def test_shared_workers_that_do_not_come_back_are_told(shared, monkeypatch):
    start(shared.folder, "tls://old")
    shared.crew("surrogate")
    (shared.folder / "cluster.json").unlink()
    monkeypatch.setattr(process, "START_SECONDS", 0.2)
    with pytest.raises(ServiceError, match="did not start; see"):
        shared.crew("surrogate")
