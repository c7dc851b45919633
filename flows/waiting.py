"""Groups of units that wait for a worker, or for the result of another campaign on the same archive that has begun them."""

import time
from collections import deque
from collections.abc import Iterable

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.relaxation import Relaxation
from flows.cluster.crew import Demand
from flows.work import Work

Group = tuple[Work, ...]
"""Units that one worker relaxes together, in one task."""

ASKED_EVERY = 5.0
"""Seconds between two looks for what other campaigns have finished (our choice)."""


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
    """

    def __init__(self, groups: Iterable[Group], archive: Archive, driver: Driver, demand: Demand) -> None:
        self._groups, self._elsewhere = deque(groups), deque[Work]()
        self._archive, self._driver, self._demand = archive, driver, demand
        self._asked = 0.0

    def __bool__(self) -> bool:
        return bool(self._groups or self._elsewhere)

    @property
    def elsewhere(self) -> int:
        """How many units another campaign has begun."""
        return len(self._elsewhere)

    def take(self) -> Group | None:
        """Take a group for a worker that is free; None if none is, or if others have begun all that is left."""
        if not self._groups or not self._demand.take():
            return None
        while self._groups:
            mine: list[Work] = []
            for work in self._groups.popleft():
                (mine if self._driver.claim(work.unit) else self._elsewhere).append(work)
            if mine:
                return tuple(mine)
            self._demand.change(-1)
        self._demand.spare()
        return None

    def ended(self, group: Group, *, lost: bool) -> None:
        """Say that the work on a group has ended, or its worker was lost."""
        for work in group:
            self._driver.release(work.unit)
        self._demand.ended(lost=lost)

    def again(self, groups: Iterable[Group]) -> None:
        """Add what is to be tried again."""
        before = len(self._groups)
        self._groups.extend(groups)
        self._demand.change(len(self._groups) - before)

    def found(self) -> list[tuple[Work, Relaxation]]:
        """Look for what others have begun: return what is finished; what they have left is waiting for a worker again."""
        if not self._elsewhere or time.monotonic() - self._asked < ASKED_EVERY:
            return []
        self._asked = time.monotonic()
        finished, left = [], []
        for _ in range(len(self._elsewhere)):
            work = self._elsewhere.popleft()
            relaxation = self._archive.find(work.unit)
            if relaxation is not None:
                finished.append((work, relaxation))
            elif self._driver.claim(work.unit):
                left.append((work,))
            else:
                self._elsewhere.append(work)
        self.again(left)
        return finished

    def clear(self) -> None:
        """Give nothing out any more."""
        self._demand.change(-len(self._groups))
        self._groups.clear()
        self._elsewhere.clear()
