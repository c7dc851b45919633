"""What relaxes the units of a search: Dask workers of two classes, each call a flow run of its own, side by side.

A relaxer begins at once with what it is given, and its results are taken as they come: so the reference relaxations of one
vacancy run while the surrogate is still at another, and neither level waits for the other.
"""

import contextlib
import contextvars
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prefect.settings import get_current_settings

from defect_surrogate.archive import Driver
from defect_surrogate.errors import ClusterLostError, ServiceError, StoppedError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SurrogateSettings, WorkerSettings
from flows.allowance import Allowance
from flows.around import AROUND, Around
from flows.batches import Batch
from flows.cancel import cancellable
from flows.cluster.check import findings, worker_report
from flows.cluster.connection import open_cluster
from flows.cluster.profile import ClusterProfile, Jobs, Level, ResourceClass
from flows.cluster.serve import MORE_MEMORY
from flows.reference_level import relax_with_reference
from flows.stream import Results
from flows.surrogate_level import relax_with_surrogate
from flows.work import Relax, Result, Work
from flows.work_folder import WorkFolder

logger = logging.getLogger(__name__)

LOSSES = 5
"""Dask schedulers that may be lost one after the other without a new result (our choice)."""

RETRY_SECONDS = 1.0
"""Seconds after the loss of a scheduler before another is asked for, doubled at each loss (our choice)."""


class Relaxers:
    """The relaxers of one flow.

    Parameters
    ----------
    folder
        Whose archive units are looked up in, and published to.
    around
        Its workers, and what it may spend.
    retries
        Further tries of a unit that broke by no fault of its own.
    """

    def __init__(self, folder: WorkFolder, around: Around, retries: int) -> None:
        self._folder, self._around, self._retries = folder, around, retries
        self._cluster = around.cluster
        self._calls: list[tuple[threading.Thread, Results]] = []
        self._broke: set[tuple[str, str]] = set()
        self._checked: set[str] = set()
        self._checking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def surrogate(self, settings: SurrogateSettings) -> Relax:
        """Return what relaxes units with a force field."""
        root = self._folder.archive.root

        def run(batch: Batch) -> tuple[str, ...]:
            self._check_worker(batch, ())
            runner = self._cluster.crew(batch.pool).task_runner
            return relax_with_surrogate.with_options(task_runner=runner)(batch, root, settings)

        return lambda works: self._begin(works, "surrogate", run)

    @property
    def reference(self) -> Relax:
        """What relaxes units with VASP or its stand-in."""
        root = self._folder.archive.root

        def run(batch: Batch) -> tuple[str, ...]:
            commands = {work.method.command for work in batch.works if work.method is not None}
            self._check_worker(batch, tuple(command[0] for command in commands))
            runner = self._cluster.crew(batch.pool).task_runner
            return relax_with_reference.with_options(task_runner=runner)(batch, root)

        return lambda works: self._begin(works, "reference", run)

    def end(self, *, abandon: bool) -> None:
        """Wait for what has been begun.

        Parameters
        ----------
        abandon
            End it now; what is finished is kept.
        """
        for _, results in self._calls:
            results.abandoned = results.abandoned or abandon
        for thread, _ in self._calls:
            thread.join()

    def _stopped(self) -> bool:
        return self._folder.stop_requested() or self._around.stopped()

    def _allowance(self, pool: str) -> Allowance | None:
        return None if pool == "surrogate" else self._around.allowance

    def _is_wanted(self, unit: Unit, pool: str) -> bool:
        """Whether a unit without a result is asked for: no worker need come for one that must not begin."""
        allowance = self._allowance(pool)
        if (unit.name, unit.key) in self._broke:
            return False
        if not self._around.try_again and self._folder.archive.failure(unit) is not None:
            return False
        return allowance is None or allowance.has_room(unit)

    def _give_up(self, works: Sequence[Work], results: Results, error: ServiceError) -> None:
        for work in works:
            logger.error("%s broke: %s", work.unit.name, error)
            self._folder.archive.record_failure(work.unit, error)
            results.put(work.unit.name, None)

    def _check_worker(self, batch: Batch, programs: Sequence[str]) -> None:
        """Refuse, before work is given to a cluster, what would break each unit of it."""
        if self._cluster.profile.is_local:
            return
        with self._checking[batch.pool]:
            if batch.pool in self._checked:
                return
            url = get_current_settings().api.url
            report = worker_report(
                self._cluster,
                batch.pool,
                programs=programs,
                prefect=None if url is None else str(url),
                wanted=len(batch.works),
                stopped=lambda: batch.over,
            )
            if report is None:
                raise StoppedError(f"{batch.pool}: stopped on request while it waited for a worker")
            level: Level = "surrogate" if batch.pool == "surrogate" else "reference"
            faults = [one.words for one in findings(self._cluster.profile, level, report, programs) if not one.ok]
            if faults:
                raise ServiceError(f"{batch.pool}: {'; '.join(faults)}")
            self._checked.add(batch.pool)

    def _begin(self, works: Sequence[Work], pool: str, run: Callable[[Batch], tuple[str, ...]]) -> Iterator[Result]:
        """Begin a call, in a thread of its own; what broke before in this flow is not asked for again."""
        self._folder.note_units(work.unit for work in works)
        results, there = Results(), 0
        missing = []
        for work in works:
            relaxation = self._folder.archive.find(work.unit)
            if relaxation is None and self._is_wanted(work.unit, pool):
                missing.append(work)
            else:
                there += relaxation is not None
                results.put(work.unit.name, relaxation)
        if there:
            logger.info("%s: %d of %d units in the archive", pool, there, len(works))
        if not missing:
            results.end()
            return iter(results)
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._call, missing, pool, run, results), daemon=True)
        self._calls.append((thread, results))
        thread.start()
        return self._noting(results, works)

    def _noting(self, results: Results, works: Sequence[Work]) -> Iterator[Result]:
        keys = {work.unit.name: work.unit.key for work in works}
        for name, relaxation in results:
            self._around.ended()
            if relaxation is None:
                self._broke.add((name, keys[name]))
            yield name, relaxation

    def _call(
        self, missing: Sequence[Work], pool: str, run: Callable[[Batch], tuple[str, ...]], results: Results
    ) -> None:
        """Run flows until nothing is missing: again if the workers are lost, and with more memory what needs it."""
        losses, left = 0, list(missing)
        try:
            while left:
                try:
                    with Driver(self._folder.archive.root) as driver:  # whose runs end with it, if Dask loses them
                        batch = Batch(
                            works=tuple(left),
                            retries=self._retries,
                            pool=pool,
                            cluster=self._cluster,
                            driver=driver,
                            results=results,
                            stopped=self._stopped,
                            priority=self._around.priority,
                            allowance=self._allowance(pool),
                        )
                        hungry = run(batch)
                except ClusterLostError as error:
                    still = [work for work in left if not results.has(work.unit.name)]
                    losses = losses + 1 if len(still) == len(left) else 1
                    if losses > LOSSES or results.abandoned:
                        raise
                    logger.warning("%s; %d units go on", error, len(still))
                    left = still
                    time.sleep(RETRY_SECONDS * 2.0**losses)
                    continue
                except ServiceError as error:
                    if pool != MORE_MEMORY:
                        raise
                    self._give_up(left, results, error)  # a job that large may not be had; all else goes on
                    break
                left, pool = [work for work in left if work.unit.name in hungry], MORE_MEMORY
            results.end()
        except BaseException as error:
            results.end(error)


@contextlib.contextmanager
def relaxers(
    folder: WorkFolder,
    workers: WorkerSettings,
    *,
    allowance: Allowance | None = None,
    priority: int = 0,
    ended: Callable[[], None] = lambda: None,
    try_again: bool = True,
) -> Iterator[Relaxers]:
    """Have workers for the duration of a flow: those of the flow around it, else those that the settings name.

    Parameters
    ----------
    folder
        Whose archive units are looked up in, and published to.
    workers
        Which they are, and how often broken work is tried again.
    allowance
        What may be spent at the reference level; unlimited when None. This and what follows are of the outermost flow, for
        all in it.
    priority
        Of its work, before or after that of other campaigns on the same workers; larger goes first.
    ended
        Is called whenever a unit has ended.
    try_again
        Whether what broke in an earlier flow is tried again.

    Yields
    ------
    Relaxers
        Workers start when the first unit is for them, and end with the flow, however that ends.
    """
    around = AROUND.get()
    place = None if workers.cluster is None else Path(workers.cluster)
    if around is None:
        cluster = open_cluster(place, local=this_machine(workers), folder=folder.path / "workers")
        inside = Around(cluster, folder.stop_requested, allowance, priority, ended, try_again)
    else:
        cluster, inside = around.cluster, around
    token = AROUND.set(inside)
    own, finished = Relaxers(folder, inside, workers.retries), False
    try:
        with cancellable(folder.request_stop) if around is None else contextlib.nullcontext():
            yield own
        finished = True
    finally:
        own.end(abandon=not finished)
        AROUND.reset(token)
        if around is None:
            cluster.close()


def this_machine(workers: WorkerSettings) -> ClusterProfile:
    """Return the profile of this machine.

    Parameters
    ----------
    workers
        How many processes of each class.

    Returns
    -------
    ClusterProfile
        Without a batch system.
    """
    return ClusterProfile(
        scheduler="local",
        surrogate=ResourceClass(jobs=Jobs(maximum=workers.surrogate)),
        reference=ResourceClass(jobs=Jobs(maximum=workers.reference)),
    )
