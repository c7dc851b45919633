"""What campaigns tell Prefect as they go, for automations: that one began, came farther, ended."""

import threading
import time
from types import TracebackType
from typing import Self

from prefect.events import emit_event

from defect_surrogate.errors import HeldError, StoppedError

PREFIX = "defect-surrogate.campaign"
"""Of the names of events, and of the ids of campaigns as Prefect's resources."""
TOLD_EVERY = 60.0
"""Seconds between two signs of progress (our choice)."""


def tell(campaign: str, what: str, **payload: str | int) -> None:
    """Emit an event of a campaign.

    Parameters
    ----------
    campaign
        Its name.
    what
        ``began``, ``progress``, ``ended``, ``ended-with-failures`` or ``broke``.
    payload
        What else there is to say.
    """
    resource = {"prefect.resource.id": f"{PREFIX}.{campaign}", "prefect.resource.name": campaign}
    emit_event(event=f"{PREFIX}.{what}", resource=resource, payload=dict(payload))


class Progress:
    """Signs of progress of a campaign, from ``with`` to its end: at most one a minute, as units end.

    Parameters
    ----------
    campaign
        Its name.
    """

    def __init__(self, campaign: str) -> None:
        self._campaign, self._lock = campaign, threading.Lock()
        self._units, self._told = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, HeldError):  # which runs already, and tells itself
            what = "broke" if isinstance(error, Exception) and not isinstance(error, StoppedError) else "ended"
            tell(self._campaign, what, message=f"{type(error).__name__}: {error}", units=self._units)

    def unit(self) -> None:
        """Say that a unit has ended."""
        with self._lock:
            self._units += 1
            if time.monotonic() - self._told < TOLD_EVERY:
                return
            self._told = time.monotonic()
        tell(self._campaign, "progress", units=self._units)
