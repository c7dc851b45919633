"""Searches side by side, of which one that is lost does not end the others."""

import contextvars
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from defect_surrogate.errors import StoppedError

logger = logging.getLogger(__name__)


def side_by_side(
    names: Sequence[str],
    search: Callable[[str], object],
    *,
    what: str,
    at_once: int,
    request_stop: Callable[[], None],
) -> dict[str, str]:
    """Search what has names, so many at once.

    Parameters
    ----------
    names
        Of what is searched, in the order in which they begin.
    search
        Searches one.
    what
        What one is, for the log, e.g. ``composition``.
    at_once
        Most that are searched at the same time.
    request_stop
        Asks those that run to end; called when one of them was stopped or this process is interrupted.

    Returns
    -------
    dict of str to str
        What those that were lost broke with, by name.

    Raises
    ------
    StoppedError
        If one was stopped on request; nothing new is begun then.
    """
    lost: dict[str, str] = {}
    stopping = threading.Event()
    done = 0

    def one(name: str) -> None:
        nonlocal done
        if stopping.is_set():
            return
        try:
            search(name)
        except StoppedError:
            stopping.set()
            raise
        except Exception as error:
            logger.error("%s: lost: %s", name, error)
            lost[name] = f"{type(error).__name__}: {error}"
        done += 1
        logger.info("%s: %s %d of %d", name, what, done, len(names))

    if at_once == 1:  # in this thread, which Ctrl-C interrupts
        for name in names:
            one(name)
        return lost
    with ThreadPoolExecutor(max_workers=at_once) as threads:
        running = [threads.submit(contextvars.copy_context().run, one, name) for name in names]
        try:
            for each in running:
                each.result()
        except BaseException:
            logger.warning("stopping: relaxations end at their next step, and what they have done is kept")
            stopping.set()
            request_stop()
            threads.shutdown(wait=True, cancel_futures=True)
            raise
    return lost
