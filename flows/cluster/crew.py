"""The workers of one pool, as a campaign sees them: how many there are, and how many of them have work of its own."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import dask
import distributed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from prefect_dask import DaskTaskRunner

from defect_surrogate.errors import ClusterLostError
from flows.cluster.jobs import LOGS, Place, quieten_distributed
from flows.cluster.pool import WANTED

quieten_distributed()
dask.config.set(LOGS)

LOST_SECONDS = 30.0
"""Longest wait for a Dask scheduler to come back (our choice)."""
LOOKED_EVERY = 0.5
"""Seconds between two counts of the workers there are (our choice)."""


class Crew:
    """The workers of one pool, as this campaign sees them.

    Parameters
    ----------
    name
        Of the pool.
    address
        Of its scheduler.
    place
        With the certificate.
    """

    def __init__(self, name: str, address: str, place: Place) -> None:
        self.name, self._address, self._place = name, address, place
        try:
            self._client = distributed.Client(
                address, security=place.security, set_as_default=False, timeout=LOST_SECONDS
            )
        except (OSError, TimeoutError) as error:
            raise ClusterLostError(f"{name}: no Dask scheduler answers at {address}: {error}") from error
        self._lock = threading.Lock()
        self._taken, self._waiting, self._workers, self._looked = 0, 0, 0, 0.0

    @property
    def task_runner(self) -> DaskTaskRunner:
        """What a flow submits its tasks with."""
        options = {"security": self._place.security, "timeout": LOST_SECONDS}
        return DaskTaskRunner(address=self._address, client_kwargs=options)

    @contextlib.contextmanager
    def work(self, count: int) -> Iterator["Demand"]:
        """Ask for workers while there is work.

        Parameters
        ----------
        count
            Groups of units that wait for a worker.

        Yields
        ------
        Demand
            Tells when a group may be submitted, and is told when one has ended.
        """
        demand = Demand(self, count)
        self._want(count)
        try:
            yield demand
        finally:
            self._want(-demand.left)

    def take(self) -> bool:
        """Take a worker that has no work of this campaign, if there is one."""
        with self._lock:
            if time.monotonic() - self._looked > LOOKED_EVERY:
                self._count()
            if self._taken >= self._workers:
                return False
            self._taken += 1
            return True

    def give(self, *, lost: bool) -> None:
        """Say that a worker has ended its work, or was lost with it."""
        with self._lock:
            self._taken -= 1
            if lost:
                self._count()

    def close(self) -> None:
        """Leave the workers to others."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)

    @property
    def workers(self) -> int:
        """How many there are now."""
        with self._lock:
            self._count()
            return self._workers

    @property
    def lost(self) -> bool:
        """Whether there is no connection to its scheduler any more."""
        return bool(self._client.status in ("closing", "closed"))

    def run(self, function: Any, *arguments: Any, patience: float) -> Any:
        """Run a function on a worker, and return what it returns; None if its worker was lost, or does not answer in time."""
        try:
            return self._client.submit(function, *arguments, pure=False).result(timeout=patience)
        except (KilledWorker, TimeoutError):
            return None
        except (CommClosedError, CancelledError, FutureCancelledError) as error:
            raise ClusterLostError(f"{self.name}: the connection to the Dask scheduler was lost: {error}") from error

    def _count(self) -> None:
        try:
            self._workers = len(self._client.sync(self._client.scheduler.ncores_running))
        except Exception as error:
            raise ClusterLostError(f"{self.name}: its Dask scheduler at {self._address} was lost: {error}") from error
        self._looked = time.monotonic()

    def _want(self, more: int) -> None:
        with self._lock, contextlib.suppress(Exception):  # that it is lost is noticed where work is lost
            self._waiting += more
            self._client.set_metadata([WANTED, self._client.id], max(0, self._waiting))


class Demand:
    """Work of one flow that waits for workers of a crew, or has them.

    Parameters
    ----------
    crew
        The workers.
    count
        Groups that wait.
    """

    def __init__(self, crew: Crew, count: int) -> None:
        self._crew, self.left = crew, count

    def take(self) -> bool:
        """Take a worker, if one is free."""
        return self._crew.take()

    def spare(self) -> None:
        """Give a worker back for which there is nothing to do."""
        self._crew.give(lost=False)

    def ended(self, *, lost: bool) -> None:
        """Say that a group has ended, or lost its worker."""
        self._crew.give(lost=lost)
        self.change(-1)

    def change(self, count: int) -> None:
        """Ask for more workers, or for fewer."""
        self.left += count
        self._crew._want(count)
