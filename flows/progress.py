"""What a person sees while units are relaxed: a bar on a terminal and in Prefect's dashboard, and a line for each unit.

On a terminal both go to standard error; standard output is for results, the table of them too.
"""

import contextlib
import contextvars
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast
from uuid import UUID

from rich import box
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from defect_surrogate.relaxation import Relaxation

logger = logging.getLogger(__name__)

console = Console(stderr=True)

WIDTH = 150
"""Columns of the table where there is no terminal."""

POSTED_EVERY = 5.0
"""Seconds between two looks of Prefect's dashboard at how far it is (our choice)."""
LAST_POST = 10.0
"""Longest wait for the last of them; a server that does not answer keeps nothing waiting for longer (our choice)."""

PACKAGES = ("defect_surrogate", "tasks", "flows")
"""Loggers whose lines are for the user."""


def show_own_lines() -> None:
    """Let the lines of our own packages through to Prefect, whose root logger stops all below a warning."""
    for name in PACKAGES:
        package = logging.getLogger(name)
        if package.level == logging.NOTSET:
            package.setLevel(logging.INFO)


def log_to_terminal(level: int) -> None:
    """Send the lines of our own packages to standard error, above the bar if there is one.

    Parameters
    ----------
    level
        Least level shown, e.g. ``logging.INFO``.
    """
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, highlighter=NullHighlighter())
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    for name in PACKAGES:
        package = logging.getLogger(name)
        package.setLevel(level)
        package.handlers = [handler]
        package.propagate = False


class _Bars:
    """One display for all bars, since a terminal has room for one; shown while there is any."""

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0
        self.display = self._new()

    @staticmethod
    def _new() -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, console=console, transient=True)

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self.display = self._new()
                self.display.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self.display.stop()


_bars = _Bars()


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show how far units are: a bar, if standard error is a terminal, and an artifact of the flow run, if there is one.

    Parameters
    ----------
    title
        What is being done.
    total
        Number of units.

    Yields
    ------
    callable
        Call it at the end of each unit, or with the number of units that have ended.
    """
    if not total:
        yield lambda _count=1: None
        return
    with _bar(title, total) as shown, _artifact(title, total) as posted:

        def advance(count: int = 1) -> None:
            shown(count)
            posted(count)

        yield advance


@contextlib.contextmanager
def _artifact(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar in Prefect's dashboard; a thread posts it, so that a server that does not answer delays nothing."""
    from prefect.artifacts import create_progress_artifact, update_progress_artifact  # noqa: PLC0415  (the command line
    from prefect.runtime import flow_run  # noqa: PLC0415  imports this module before Prefect may read its environment)

    if flow_run.get_id() is None:
        yield lambda _count: None
        return
    over, done = threading.Event(), 0

    def count(more: int) -> None:
        nonlocal done
        done += more

    def post() -> None:
        artifact, before, pause = None, -1, 0.0
        while True:
            last = over.wait(pause)
            if (now := done) != before:
                words = f"{title}: {now} of {total}"
                with contextlib.suppress(Exception):  # posted again soon
                    if artifact is None:
                        artifact = cast(UUID, create_progress_artifact(100 * now / total, description=words))
                    else:
                        update_progress_artifact(artifact, 100 * now / total, description=words)
                    before = now
            pause = POSTED_EVERY
            if last:
                return

    thread = threading.Thread(target=contextvars.copy_context().run, args=(post,), daemon=True)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join(LAST_POST)


@contextlib.contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar below those of others."""
    if not console.is_terminal:
        yield lambda _count: None
        return
    with _bars:
        task = _bars.display.add_task(title, total=total)
        try:
            yield lambda count: _bars.display.advance(task, count)
        finally:
            _bars.display.remove_task(task)


def finished_line(name: str, relaxation: Relaxation, *, done: int, total: int) -> str:
    """Say how a unit ended.

    Parameters
    ----------
    name
        Name of the unit.
    relaxation
        Its result.
    done, total
        Units ended so far, and all of them.

    Returns
    -------
    str
        E.g. ``CdTe/v_Cd_0/Dimer/surrogate converged, -142.215 eV, 212 steps, 3 of 15``.
    """
    energy = f"{relaxation.energy:.3f} eV" if math.isfinite(relaxation.energy) else "no energy"
    return f"{name} {relaxation.reason}, {energy}, {relaxation.steps} steps, {done} of {total}"


def show_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table to standard output: one row for each mapping, or one column on a narrow terminal.

    Parameters
    ----------
    rows
        Column → text, all with the same columns; text is shown as it is, never taken for markup or control characters.
    """
    if not rows:
        return
    output = Console(highlight=False)
    if not output.is_terminal:
        output.width = WIDTH
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    if output.width < WIDTH:
        lines = [list(column) for column in zip(*lines, strict=True)]
    table = Table(box=box.SIMPLE, show_header=output.width >= WIDTH)
    for heading in lines[0]:
        table.add_column(heading, overflow="fold", no_wrap=heading == lines[0][0])
    for line in lines[1:] if table.show_header else lines:
        table.add_row(*(Text(printable(cell)) for cell in line))
    output.print(table)


def printable(text: str) -> str:
    """Show control characters of text from outside, so that a terminal does not obey them."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
