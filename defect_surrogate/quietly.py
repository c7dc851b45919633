"""Libraries kept from talking to the user: what they print, and their warnings."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator

_LOCK = threading.RLock()


@contextlib.contextmanager
def quietly() -> Iterator[io.StringIO]:
    """Keep what a library prints, and its warnings, from the user.

    Standard streams are those of the whole process: of threads that redirected them at the same time the last one would leave
    them redirected for ever, and the results of a command would go nowhere. So one thread at a time.

    Yields
    ------
    io.StringIO
        What is printed meanwhile, by this thread or another.
    """
    printed = io.StringIO()
    with (
        _LOCK,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("ignore")
        yield printed
