"""Relax many structures with a force field as one, cells fixed.

All structures in flight take each step together, as one batch on the device of the force field; each has its own lattice, size,
step and verdict. What has converged leaves and what waits enters, so that the batch stays full until the queue is empty, and
memory is that of the batch, whatever waits. A structure that breaks ends alone.

The criterion is the mean over atoms of the force norms, as in Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9), or the
maximum. A structure that leaves the range in which the force field means anything ends as ``diverged`` and is never ranked.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path

from pymatgen.core import Structure
from torch import Tensor

from defect_surrogate.errors import PotentialError
from defect_surrogate.relaxation import Provenance, Reason, Relaxation
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.basins import Basins
from defect_surrogate.surrogates.capacity import Capacity, structures_at_once
from defect_surrogate.surrogates.faults import OutOfMemoryError, evaluate
from defect_surrogate.surrogates.flight import Flight, Run
from defect_surrogate.surrogates.optimisers import NEAR, Optimiser
from defect_surrogate.surrogates.potentials import Potential, check_structure, surrogate_method
from defect_surrogate.surrogates.unfinished import Unfinished, read_unfinished, write_unfinished
from defect_surrogate.surrogates.verdicts import STRAYED, Measures, lost_atom, measure, verdict

logger = logging.getLogger(__name__)

Ended = tuple[int, Relaxation | Exception]
"""Place of a structure among those to be relaxed, and its relaxation, or what the force field raised for it alone."""

KEEP_EVERY = 60.0
"""Seconds between two writings of what is in flight (our choice: a minute is what a killed worker may lose)."""


def relax(structures: Sequence[Structure], potential: Potential, *, settings: SurrogateSettings) -> list[Relaxation]:
    """Relax structures with a force field, each in its fixed cell.

    Parameters
    ----------
    structures
        Starts; sizes, lattices and species may differ.
    potential
        The force field.
    settings
        Optimiser, criterion, tolerance (eV/Å), most steps, how many frames are kept, and how many are relaxed at once.

    Returns
    -------
    list of Relaxation
        In the order of ``structures``.

    Raises
    ------
    Exception
        What the force field raised for one of them.
    """
    found: dict[int, Relaxation] = {}
    for index, ended in relaxations(structures, potential, settings=settings):
        if isinstance(ended, Exception):
            raise ended
        found[index] = ended
    return [found[index] for index in range(len(structures))]


def relaxations(
    structures: Iterable[Structure],
    potential: Potential,
    *,
    settings: SurrogateSettings,
    unfinished: Callable[[int], Path] | None = None,
    keep_every: float = KEEP_EVERY,
    stopped: Callable[[], bool] = lambda: False,
    elsewhere: Callable[[int], Iterable[Relaxation]] = lambda _: (),
) -> Iterator[Ended]:
    """Relax structures with a force field, each in its fixed cell, and give each away as soon as it has ended.

    Parameters
    ----------
    structures
        Starts, taken one by one as places become free; sizes, lattices and species may differ.
    potential
        The force field.
    settings
        Optimiser, criterion, tolerance (eV/Å), most steps, how many frames are kept, and how many are relaxed at once.
    unfinished
        From the place of a structure to the file that its relaxation is kept in while it is on its way, and from which it goes
        on if another process left it there; whoever takes the result removes it. Nothing is kept when absent.
    keep_every
        Seconds between two writings.
    stopped
        Asked before each step; the relaxations in flight end as ``stopped`` once it says so, and what waits is left alone.
    elsewhere
        From the place of a structure to relaxations of the same defect that have ended elsewhere since it was asked last, into
        whose basins that of the structure may fall; not asked unless the settings have basins merged.

    Yields
    ------
    tuple of int and Relaxation or Exception
        In the order in which they end.
    """
    yield from _Relaxer(structures, potential, settings, unfinished, keep_every, stopped, elsewhere).run()


@dataclass(eq=False)
class _Relaxer:
    """The state of one call of ``relaxations``, whose arguments it has."""

    structures: InitVar[Iterable[Structure]]
    potential: Potential
    settings: SurrogateSettings
    unfinished: Callable[[int], Path] | None
    keep_every: float
    stopped: Callable[[], bool]
    elsewhere: InitVar[Callable[[int], Iterable[Relaxation]]]

    def __post_init__(self, structures: Iterable[Structure], elsewhere: Callable[[int], Iterable[Relaxation]]) -> None:
        self._queue = enumerate(structures)
        self._waiting: deque[Run] = deque()
        self._basins = Basins(elsewhere)
        self._method = surrogate_method(self.potential, self.settings)
        device = self.potential.force_field.device
        self._flight = Flight(Optimiser(by_curvature=self.settings.optimiser != "FIRE"), device)
        self._capacity = Capacity(structures_at_once(self.settings), device)

    def run(self) -> Iterator[Ended]:
        """Yield what has ended, until the queue is empty."""
        kept = time.monotonic()
        try:
            while True:
                self._clock = time.perf_counter()
                yield from self._fill()
                if not self._flight.runs:
                    return
                if self.stopped():
                    break
                yield from self._advance()
                if time.monotonic() - kept > self.keep_every:
                    self._keep()
                    kept = time.monotonic()
        except (Exception, GeneratorExit):
            self._keep()
            raise
        self._keep()
        yield from self._stop()

    def _fill(self) -> Iterator[Ended]:
        """Let waiting relaxations enter, as many as there is room for, and give away what cannot be relaxed."""
        entering: list[Run] = []
        atoms = sum(len(run.start) for run in self._flight.runs)
        while (run := self._next()) is not None:
            try:
                check_structure(self.potential, run.start)
            except PotentialError as error:
                yield run.index, error
                continue
            atoms += len(run.start)
            if not self._capacity.admits(len(self._flight.runs) + len(entering) + 1, atoms):
                self._waiting.appendleft(run)
                break
            entering.append(run)
        self._flight.enter(entering)

    def _next(self) -> Run | None:
        if self._waiting:
            return self._waiting.popleft()
        index, structure = next(self._queue, (0, None))
        if structure is None:
            return None
        left = None
        if self.unfinished is not None:
            left = read_unfinished(self.unfinished(index), row=self._flight.shapes(len(structure)))
        if left is not None:
            logger.info("structure %d goes on at step %d", index, left.steps)
        return Run(index, structure, left or Unfinished())

    def _advance(self) -> Iterator[Ended]:
        """Take one step with all in flight."""
        flight = self._flight
        batch = flight.batch()
        self._capacity.begin()
        try:
            energies, per_atom, broken = evaluate(self.potential.force_field, batch)
        except OutOfMemoryError as error:
            yield from self._with_fewer(error)
            return
        self._capacity.succeeded(batch)
        forces = flight.rows(per_atom)
        measures = measure(energies, forces, flight.displacements(), flight.sizes())
        ended = self._record(measures, forces, broken)
        self._charge()
        relaxed: list[Ended] = [(flight.runs[row].index, error) for row, error in broken.items()]
        relaxed += [(flight.runs[row].index, self._relaxation(flight.runs[row], *why)) for row, why in ended.items()]
        if relaxed:
            forces = forces.index_select(0, flight.drop([*broken, *ended]))[:, : flight.width]
        if flight.runs:
            flight.move(forces)
            for run in flight.runs:
                run.progress.steps += 1
        self._charge()
        yield from relaxed

    def _charge(self) -> None:
        """Share the time since the last call out to what is in flight, by atoms."""
        now, atoms = time.perf_counter(), sum(len(run.numbers) for run in self._flight.runs)
        for run in self._flight.runs:
            run.progress.seconds += (now - self._clock) * len(run.numbers) / atoms
        self._clock = now

    def _record(self, measures: Measures, forces: Tensor, broken: Container[int]) -> dict[int, tuple[Reason, str]]:
        """Judge each relaxation, keep the frames that are due, and return which have ended, and why."""
        ended, rows, settings = {}, None, self.settings
        for row, run in enumerate(self._flight.runs):
            if row in broken:
                continue
            progress, energy = run.progress, float(measures.energies[row])
            progress.evaluations += 1
            if progress.steps == 0:
                progress.start_energy = energy
            reason, detail = verdict(
                measures,
                row,
                start_energy=progress.start_energy,
                atoms=len(run.numbers),
                steps=progress.steps,
                settings=settings,
            )
            due = reason is not None or progress.steps % settings.frame_interval == 0
            may_merge = settings.merge_basins and reason is None and measures.max_forces[row] < NEAR
            if measures.finite[row] and (due or may_merge):
                if rows is None:
                    rows = self._flight.positions().cpu().numpy(), forces.cpu().numpy()
                positions, force = (part[row, : run.positions.size].reshape(-1, 3).copy() for part in rows)
                lost = measures.displacements[row] > STRAYED and lost_atom(run.start, positions)
                if lost:
                    reason, detail = "diverged", f"{lost} after {progress.steps} steps"
                elif may_merge and (basin := self._basins.around(run, positions, energy, force)) is not None:
                    reason, detail = "merged", f"{basin} after {progress.steps} steps"
                if due or reason is not None:
                    progress.keep(positions, energy, force)
                if reason == "converged":
                    self._basins.add(run.start, positions, energy)
            if reason is not None:
                ended[row] = reason, detail
        return ended

    def _with_fewer(self, error: Exception) -> Iterator[Ended]:
        """Go on with half of a batch that did not fit into memory; a structure that does not alone is given up."""
        runs = self._flight.runs
        if len(runs) > 1:
            logger.warning("%d structures do not fit into memory; going on with fewer", len(runs))
            self._capacity.halve(len(runs))
            self._waiting.extendleft(reversed(self._flight.leave(range(len(runs) // 2, len(runs)))))
            return
        (run,) = self._flight.leave([0])
        yield run.index, PotentialError(f"{run.start.formula}: {len(run.start)} atoms do not fit into memory: {error}")

    def _stop(self) -> Iterator[Ended]:
        begun = [run for run in self._waiting if run.progress.state]
        for run in [*self._flight.leave(range(len(self._flight.runs))), *begun]:
            yield run.index, self._relaxation(run, "stopped", f"stopped after {run.progress.steps} steps")

    def _keep(self) -> None:
        """Write what is in flight, and what waits to go on, for another process to go on from."""
        if self.unfinished is None:
            return
        flying = [(run, self._flight.state(row)) for row, run in enumerate(self._flight.runs)]
        try:
            for run, state in [*flying, *((run, run.progress.state) for run in self._waiting if run.progress.state)]:
                write_unfinished(self.unfinished(run.index), run.progress, state)
        except OSError as error:
            logger.warning("relaxations on their way are not kept, and would begin anew: %s", error)

    def _relaxation(self, run: Run, reason: Reason, detail: str) -> Relaxation:
        progress, frames = run.progress, run.progress.frames(run.start)
        return Relaxation(
            level="surrogate",
            structure=frames[-1].structure if frames else run.start,
            energy=frames[-1].energy if frames else float("nan"),
            steps=progress.steps,
            converged=reason == "converged",
            reason=reason,
            detail=detail,
            provenance=Provenance(
                level_of_theory=self.potential.level_of_theory,
                method=self._method,
                seconds=progress.seconds,
                evaluations=progress.evaluations,
                versions=self.potential.versions,
            ),
            frames=frames,
        )
