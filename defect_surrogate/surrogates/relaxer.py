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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pymatgen.core import Structure
from torch import Tensor

from defect_surrogate.errors import PotentialError
from defect_surrogate.relaxation import Provenance, Reason, Relaxation, digest
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.capacity import Capacity, is_out_of_memory, structures_at_once
from defect_surrogate.surrogates.flight import Flight, Run
from defect_surrogate.surrogates.optimisers import Optimiser
from defect_surrogate.surrogates.potentials import Potential
from defect_surrogate.surrogates.unfinished import Unfinished, read_unfinished, write_unfinished
from defect_surrogate.surrogates.verdicts import STRAYED, Measures, lost_atom, measure, verdict

logger = logging.getLogger(__name__)

Ended = tuple[int, Relaxation | Exception]
"""Place of a structure among those to be relaxed, and its relaxation, or what the force field raised for it alone."""

KEEP_EVERY = 60.0
"""Seconds between two writings of what is in flight (our choice: a minute is what a killed worker may lose)."""


def surrogate_method(potential: Potential, settings: SurrogateSettings) -> str:
    """Digest of all that decides the result of a surrogate relaxation besides the starting structure.

    Parameters
    ----------
    potential
        The force field, which enters by the digest of its weights.
    settings
        Its convergence.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return digest(
        {
            "potential": potential.digest,
            "optimiser": settings.optimiser,
            "force_criterion": settings.force_criterion,
            "force_tolerance": settings.force_tolerance,
            "max_steps": settings.max_steps,
        }
    )


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

    Yields
    ------
    tuple of int and Relaxation or Exception
        In the order in which they end.
    """
    yield from _Relaxer(
        structures, potential, settings=settings, unfinished=unfinished, keep_every=keep_every, stopped=stopped
    ).run()


class _Relaxer:
    """The state of one call of ``relaxations``."""

    def __init__(
        self,
        structures: Iterable[Structure],
        potential: Potential,
        *,
        settings: SurrogateSettings,
        unfinished: Callable[[int], Path] | None,
        keep_every: float,
        stopped: Callable[[], bool],
    ) -> None:
        self._queue = enumerate(structures)
        self._waiting: deque[Run] = deque()
        self._potential, self._settings = potential, settings
        self._unfinished, self._keep_every, self._stopped = unfinished, keep_every, stopped
        self._method = surrogate_method(potential, settings)
        device = potential.force_field.device
        self._flight = Flight(Optimiser(by_curvature=settings.optimiser != "FIRE"), device)
        self._capacity = Capacity(structures_at_once(settings), device)

    def run(self) -> Iterator[Ended]:
        """Yield what has ended, until the queue is empty."""
        kept = time.monotonic()
        while True:
            self._fill()
            if not self._flight.runs:
                return
            if self._stopped():
                self._keep()
                yield from self._stop()
                return
            yield from self._advance()
            if time.monotonic() - kept > self._keep_every:
                self._keep()
                kept = time.monotonic()

    def _fill(self) -> None:
        """Let waiting relaxations enter, as many as there is room for."""
        entering: list[Run] = []
        atoms = sum(len(run.start) for run in self._flight.runs)
        while (run := self._next()) is not None:
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
        left = None if self._unfinished is None else read_unfinished(self._unfinished(index), atoms=len(structure))
        if left is not None:
            logger.info("structure %d goes on at step %d", index, left.steps)
        return Run(index, structure, left or Unfinished())

    def _advance(self) -> Iterator[Ended]:
        """Take one step with all in flight."""
        flight, began = self._flight, time.perf_counter()
        batch = flight.batch()
        self._capacity.begin()
        evaluated = self._evaluate(batch)
        if isinstance(evaluated, Exception):
            yield from self._without_what_broke(evaluated)
            return
        energies, per_atom = evaluated
        self._capacity.succeeded(batch)
        forces = flight.rows(per_atom)
        measures = measure(energies, forces, flight.displacements(), flight.sizes())
        ended = self._record(measures, forces)
        relaxed = [(flight.runs[row].index, self._relaxation(flight.runs[row], *why)) for row, why in ended.items()]
        seconds = (time.perf_counter() - began) / len(batch.numbers)
        for run in flight.runs:
            run.progress.seconds += seconds * len(run.numbers)
        if ended:
            forces = forces.index_select(0, flight.drop(list(ended)))[:, : flight.width]
        if flight.runs:
            flight.move(forces)
            for run in flight.runs:
                run.progress.steps += 1
        yield from relaxed

    def _evaluate(self, batch: Batch) -> tuple[Tensor, Tensor] | Exception:
        """Evaluate, or return what was raised, without the frames of its traceback, which keep a GPU's memory."""
        try:
            return self._potential.force_field.evaluate(batch)
        except Exception as error:
            return error.with_traceback(None)

    def _record(self, measures: Measures, forces: Tensor) -> dict[int, tuple[Reason, str]]:
        """Judge each relaxation, keep the frames that are due, and return which have ended, and why."""
        ended, rows = {}, None
        for row, run in enumerate(self._flight.runs):
            progress = run.progress
            progress.evaluations += 1
            if progress.steps == 0:
                progress.start_energy = float(measures.energies[row])
            reason, detail = verdict(
                measures,
                row,
                start_energy=progress.start_energy,
                atoms=len(run.numbers),
                steps=progress.steps,
                settings=self._settings,
            )
            if measures.finite[row] and (reason is not None or progress.steps % self._settings.frame_interval == 0):
                if rows is None:
                    rows = self._flight.positions().cpu().numpy(), forces.cpu().numpy()
                positions, force = (part[row, : run.positions.size].reshape(-1, 3).copy() for part in rows)
                progress.positions.append(positions)
                progress.energies.append(float(measures.energies[row]))
                progress.forces.append(force)
                if measures.displacements[row] > STRAYED:
                    lost = lost_atom(run.start.lattice, run.numbers, run.positions, positions)
                    if lost is not None:
                        symbol = run.start[lost].specie.symbol
                        reason = "diverged"
                        detail = f"lost atom {lost} ({symbol}): no neighbour left after {progress.steps} steps"
            if reason is not None:
                ended[row] = reason, detail
        return ended

    def _without_what_broke(self, error: Exception) -> Iterator[Ended]:
        """Go on with half of the batch after it did not fit into memory or broke, until a structure does so alone."""
        short, runs = is_out_of_memory(error), self._flight.runs
        if len(runs) > 1:
            self._capacity.halve(len(runs))
            self._waiting.extendleft(reversed(self._flight.leave(range(len(runs) // 2, len(runs)))))
            if short:
                logger.warning("%d structures do not fit into memory; going on with fewer", len(runs))
            return
        (run,) = self._flight.leave([0])
        if short:
            error = PotentialError(f"{run.start.formula}: {len(run.start)} atoms do not fit into memory: {error}")
        yield run.index, error

    def _stop(self) -> Iterator[Ended]:
        for run in self._flight.leave(range(len(self._flight.runs))):
            yield run.index, self._relaxation(run, "stopped", f"stopped after {run.progress.steps} steps")

    def _keep(self) -> None:
        """Write what is in flight, for another process to go on from."""
        if self._unfinished is not None:
            try:
                for row, run in enumerate(self._flight.runs):
                    write_unfinished(self._unfinished(run.index), run.progress, self._flight.state(row))
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
                level_of_theory=self._potential.level_of_theory,
                method=self._method,
                seconds=progress.seconds,
                evaluations=progress.evaluations,
                versions=self._potential.versions,
            ),
            frames=frames,
        )
