"""What the command line does when something goes wrong: one clear line, and an exit code."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

from defect_surrogate.errors import DefectSurrogateError, InputError, StoppedError

FAILURES, BAD_INPUT, BROKEN, INTERRUPTED = 1, 2, 3, 130


class Options:
    """Options that stand before a command."""

    debug = False


@contextlib.contextmanager
def errors(*, resume: Path | None) -> Iterator[None]:
    """Log to the terminal, and turn errors into one line and an exit code.

    Parameters
    ----------
    resume
        Folder that an interrupted command is resumed in; None if there is nothing to resume.

    Raises
    ------
    typer.Exit
        With the code of what went wrong.
    """
    from flows.progress import log_to_terminal  # noqa: PLC0415

    os.umask(os.umask(0o077) | 0o007)  # results are for the user, and perhaps the group
    log_to_terminal(logging.DEBUG if Options.debug else logging.INFO)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        hint = f"; what is finished is kept: defect-surrogate resume {resume}" if resume is not None else ""
        _fail(f"interrupted{hint}", INTERRUPTED)
    except StoppedError as error:
        _fail(str(error), INTERRUPTED)
    except InputError as error:
        _fail(f"error: {error}", BAD_INPUT, error)
    except DefectSurrogateError as error:
        _fail(f"error: {error}", BROKEN, error)
    except typer.Exit:
        raise
    except Exception as error:
        advice = "" if Options.debug else " (defect-surrogate --debug … shows where)"
        _fail(f"error: {type(error).__name__}: {error}{advice}", BROKEN, error)


def _fail(message: str, code: int, error: BaseException | None = None) -> NoReturn:
    if Options.debug and error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    typer.echo(message, err=True)
    raise typer.Exit(code)


def _interrupt(_signal: int, _frame: FrameType | Any) -> None:
    raise KeyboardInterrupt
