"""Results of units as they come: put by the flow that relaxes them, taken by the search that asked for them."""

import queue
from collections.abc import Iterator

from defect_surrogate.relaxation import Relaxation
from flows.work import Result


class Results:
    """What becomes of the units of one call of a relaxer.

    Attributes
    ----------
    abandoned
        Whether nobody takes them any more, so that the work on them is to end.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Result | BaseException | None] = queue.SimpleQueue()
        self._put: set[str] = set()
        self.abandoned = False

    def put(self, name: str, relaxation: Relaxation | None) -> None:
        """Say what has become of a unit: None if it has no result."""
        self._put.add(name)
        self._queue.put((name, relaxation))

    def has(self, name: str) -> bool:
        """Whether it has been said what became of a unit."""
        return name in self._put

    def end(self, error: BaseException | None = None) -> None:
        """Say that there will be no more, or what it broke with."""
        self._queue.put(error)

    def __iter__(self) -> Iterator[Result]:
        while True:
            try:
                one = self._queue.get(timeout=1)  # for ever, Ctrl-C would not interrupt
            except queue.Empty:
                continue
            if one is None:
                return
            if isinstance(one, BaseException):
                raise one
            yield one
