"""A campaign's hold on the workers of a cluster: started for it, or running already."""

import logging
import subprocess
import threading
from pathlib import Path
from typing import Any

from defect_surrogate.errors import ClusterLostError, ServiceError
from flows.cluster.batch_systems import BATCH_SYSTEMS
from flows.cluster.crew import Crew
from flows.cluster.jobs import Place, tail
from flows.cluster.process import end, read_state, start_process, wait_for
from flows.cluster.profile import ClusterProfile, read_profile
from flows.cluster.queue import job_state, state_in_log
from flows.cluster.serve import CONNECTION, PROFILE, write_profile

logger = logging.getLogger(__name__)


class Cluster:
    """The workers of a cluster, which start when the first unit is for them.

    Parameters
    ----------
    profile
        Of the cluster; of no use where workers are running already.
    folder
        Of certificate, logs and job ids; seen by all nodes.
    shared
        Whether ``defect-surrogate cluster start`` started the workers that are in the folder.
    """

    def __init__(self, profile: ClusterProfile, folder: Path, *, shared: bool = False) -> None:
        self.profile, self.folder, self.shared = profile, folder.absolute(), shared
        self._process: subprocess.Popen[bytes] | None = None
        self._crews: dict[str, Crew] = {}
        self._lock, self._was_there = threading.Lock(), False

    def crew(self, name: str) -> Crew:
        """Return the workers of a pool, which are started first if they have to be.

        Parameters
        ----------
        name
            A level of theory, or ``reference-more-memory``.

        Returns
        -------
        Crew
            The same until it is lost.

        Raises
        ------
        ServiceError
            If the process that holds them does not start, or is not there.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                logger.warning("%s: the process that holds the workers was lost; it is started again", self.folder)
                self._forget()
            if name in self._crews and self._crews[name].lost:
                self._crews.pop(name).close()
            if name not in self._crews:
                connection = self._connected()
                place = Place(self.folder)
                self._crews[name] = Crew(name, connection["addresses"][name], place)
            return self._crews[name]

    @property
    def has_more_memory(self) -> bool:
        """Whether there are jobs for units that ran out of memory."""
        return self.profile.reference.more_memory is not None

    def problem(self, name: str) -> str:
        """Say what is in the way of the workers of a pool; empty if nothing is.

        Raises
        ------
        ServiceError
            If none of its workers has ever been there, and nothing suggests that one will be.
        ClusterLostError
            If the process that holds them is gone.
        """
        if self._process is not None and self._process.poll() is not None:
            raise ClusterLostError(f"{name}: the process that holds the workers was lost")
        state = read_state(self.folder).get(name, {})
        if state.get("hopeless"):
            raise ServiceError(f"{name}: {state['problem']}; defect-surrogate cluster check shows the job scripts")
        return str(state.get("problem", ""))

    def fate(self, name: str, worker: str) -> str:
        """Say how the batch job of a worker that was lost has ended, e.g. ``TIMEOUT``; empty if that is not known.

        Parameters
        ----------
        name
            Of the pool.
        worker
            Of the worker.

        Returns
        -------
        str
            A state of Slurm's; ``RUNNING`` if the job is still there, so that the worker's process alone was lost.
        """
        job = str(read_state(self.folder).get(name, {}).get("job_ids", {}).get(worker, ""))
        system = BATCH_SYSTEMS.get(self.profile.scheduler)
        if system is None or not job:
            return ""
        state = job_state(system, job)
        return state_in_log(tail(self.folder / "logs", worker, job)) or state

    def close(self) -> None:
        """Leave the workers, and end them and their jobs unless they are shared."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        for crew in self._crews.values():
            crew.close()
        self._crews.clear()
        if self._process is not None:
            end(self._process)
            self._process = None

    def _connected(self) -> dict[str, Any]:
        if not self.shared and self._process is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_profile(self.profile, self.folder)
            (self.folder / CONNECTION).unlink(missing_ok=True)
            self._process = start_process(self.folder, detached=False)
        connection = wait_for(self.folder, self._process, patient=self._was_there)
        self._was_there = True
        return connection


def open_cluster(place: Path | None, *, local: ClusterProfile, folder: Path) -> Cluster:
    """Return the cluster that a campaign is to run on.

    Parameters
    ----------
    place
        File of a profile; folder of workers that ``defect-surrogate cluster start`` started; none for this machine.
    local
        Profile of this machine.
    folder
        Where workers that are started for the campaign have their files.

    Returns
    -------
    Cluster
        Nothing is started yet.

    Raises
    ------
    SettingsError
        If there is no valid profile.
    """
    if place is None:
        return Cluster(local, folder)
    if place.is_dir():
        return Cluster(read_profile(place / PROFILE), place, shared=True)
    return Cluster(read_profile(place), folder)
