"""Groups of units that wait for a worker, or for the result of another campaign on the same archive that has begun them."""

import time
from collections import deque
from collections.abc import Callable, Iterable

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.relaxation import Relaxation
from flows.allowance import Allowance
from flows.cluster.crew import Demand
from flows.work import Work

Group = tuple[Work, ...]
"""Units that one worker relaxes together, in one task."""

ASKED_EVERY = 5.0
"""Seconds between two looks for units that other campaigns have begun (our choice)."""
LOOKED_EVERY = 60.0
"""Seconds between two looks for units that wait for a worker, and may have been finished by others (our choice)."""


class Waiting:
    """What is left of a batch to be given out.

    Parameters
    ----------
    groups
        Of units.
    archive
        Where their results are.
    driver
        Of this campaign.
    demand
        Gives workers for them.
    allowance
        That what is given out is counted against; unlimited when None.
    cores
        Of the job of each.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        archive: Archive,
        driver: Driver,
        demand: Demand,
        *,
        allowance: Allowance | None = None,
        cores: int = 1,
    ) -> None:
        self._groups, self._elsewhere, self._refused = deque(groups), deque[Group](), list[Work]()
        self._allowance, self._cores = allowance, cores
        self._archive, self._driver, self._demand = archive, driver, demand
        self._asked = self._looked = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._groups or self._elsewhere or self._refused)

    @property
    def only_elsewhere(self) -> bool:
        """Whether other campaigns have begun all that is left."""
        return bool(self._elsewhere) and not self._groups and not self._refused

    def take(self) -> Group | None:
        """Take a group for a worker that is free; None if none is, or if others have begun all that is left."""
        self._leave_what_has_no_room()
        if not self._groups or not self._demand.take():
            return None
        while self._groups:
            mine, theirs = _parted(self._groups.popleft(), lambda work: self._driver.claim(work.unit))
            if theirs:
                self._elsewhere.append(theirs)
            allowed, refused = _parted(mine, self._may_begin)
            self._refuse(refused)
            if allowed:
                return allowed
            self._demand.change(-1)
        self._demand.spare()
        return None

    def ended(self, group: Group, *, lost: bool) -> None:
        """Say that the work on a group has ended, or its worker was lost."""
        for work in group:
            self._driver.release(work.unit)
            if self._allowance is not None:
                self._allowance.end(work.unit)
        self._demand.ended(lost=lost)

    def again(self, groups: Iterable[Group]) -> None:
        """Add what is to be tried again."""
        before = len(self._groups)
        self._groups.extend(groups)
        self._demand.change(len(self._groups) - before)

    def found(self) -> list[tuple[Work, Relaxation]]:
        """Return what other campaigns have finished meanwhile; what they have left waits for a worker again."""
        now, finished = time.monotonic(), list[tuple[Work, Relaxation]]()
        if self._elsewhere and now - self._asked > ASKED_EVERY:
            self._asked, before = now, list(self._elsewhere)
            self._elsewhere.clear()
            for group in (self._unfinished(group, finished) for group in before):
                theirs, left = _parted(group, lambda work: self._driver.is_elsewhere(work.unit))
                if theirs:
                    self._elsewhere.append(theirs)
                if left:
                    self.again([left])
        if self._groups and now - self._looked > LOOKED_EVERY:
            self._looked, queued = now, list(self._groups)
            self._groups.clear()
            self._groups.extend(left for group in queued if (left := self._unfinished(group, finished)))
            self._demand.change(len(self._groups) - len(queued))
        return finished

    def refused(self) -> list[Work]:
        """Return what the allowance has no room for, once."""
        refused, self._refused = self._refused, []
        return refused

    def _may_begin(self, work: Work) -> bool:
        return self._allowance is None or self._allowance.begin(work.unit, self._cores)

    def _leave_what_has_no_room(self) -> None:
        """Ask for no workers on account of what must not begin."""
        allowance = self._allowance
        if allowance is None or allowance.has_room():
            return
        parts = [_parted(group, lambda work: allowance.has_room(work.unit)) for group in self._groups]
        self._demand.change(-sum(not allowed for allowed, _ in parts))
        self._groups = deque(allowed for allowed, _ in parts if allowed)
        for _, refused in parts:
            self._refuse(refused)

    def _refuse(self, works: Group) -> None:
        for work in works:
            self._driver.release(work.unit)
        self._refused.extend(works)

    def _unfinished(self, group: Group, finished: list[tuple[Work, Relaxation]]) -> Group:
        """Return what is left of a group, and add to a list what is not."""
        left = []
        for work in group:
            there = self._archive.path(work.unit).is_dir()  # a look-up proper costs a hundred times as much
            relaxation = self._archive.find(work.unit) if there else None
            if relaxation is None:
                left.append(work)
            else:
                finished.append((work, relaxation))
        return tuple(left)

    def clear(self) -> None:
        """Give nothing out any more."""
        self._demand.change(-len(self._groups))
        self._groups.clear()
        self._elsewhere.clear()


def _parted(group: Group, condition: Callable[[Work], bool]) -> tuple[Group, Group]:
    """Part a group by a condition: those of which it is true, and those of which it is not."""
    parts: tuple[list[Work], list[Work]] = [], []
    for work in group:
        parts[not condition(work)].append(work)
    return tuple(parts[0]), tuple(parts[1])
