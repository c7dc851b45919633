"""What a flow that relaxes units gives to the flows inside it."""

import contextvars
from collections.abc import Callable
from dataclasses import dataclass

from flows.allowance import Allowance
from flows.cluster.connection import Cluster


@dataclass(frozen=True)
class Around:
    """What flows have from the flow that they run in.

    Attributes
    ----------
    cluster
        Its workers.
    stopped
        Whether somebody asked it to end.
    allowance
        What may be spent at the reference level; unlimited when None.
    priority
        Of its work, before or after that of other campaigns on the same workers; larger goes first.
    ended
        Is called whenever a unit has ended.
    try_again
        Whether what broke in an earlier flow is tried again.
    """

    cluster: Cluster
    stopped: Callable[[], bool]
    allowance: Allowance | None
    priority: int
    ended: Callable[[], None]
    try_again: bool


AROUND: contextvars.ContextVar[Around | None] = contextvars.ContextVar("around", default=None)
