"""Pages of the report server: templates without scripts, in the look of the reports."""

import base64
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from defect_surrogate.report_server.access import address, file_address
from defect_surrogate.reports.statements import in_ev


def page(
    template: str, content: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a page.

    Parameters
    ----------
    template
        Name of a file of this package.
    content
        What it shows, by name.
    status
        HTTP status.
    headers
        Of the answer, besides its policy.

    Returns
    -------
    Response
        HTML that may load nothing but images of this server, and whose forms lead only there.
    """
    environment, style = _environment(), _style()
    html = environment.get_template(template).render(
        style=Markup(style),  # noqa: S704  (our own files)
        now=datetime.now(UTC),
        **content,
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return Response(
        html.encode("utf-8"),
        status_code=status,
        headers={"Content-Security-Policy": policy, **(headers or {})},
        media_type="text/html; charset=utf-8",
    )


def message_page(status: int, title: str, text: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a page that says one thing.

    Parameters
    ----------
    status
        HTTP status.
    title, text
        What it says, plain text.
    headers
        Of the answer, besides its policy.

    Returns
    -------
    Response
        HTML.
    """
    return page("message.html", {"title": title, "text": text}, status=status, headers=headers)


def in_words(seconds: float) -> str:
    """Write how long ago something was.

    Parameters
    ----------
    seconds
        Time since, s.

    Returns
    -------
    str
        E.g. ``5 min ago``.
    """
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            number = int(seconds / length)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("defect_surrogate", "report_server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.globals |= {"address": address, "file_address": file_address}
    environment.filters |= {"ev": _ev, "utc": _utc, "ago": lambda moment: in_words(time.time() - moment)}
    return environment


@cache
def _style() -> str:
    reports = files("defect_surrogate.reports").joinpath("page.css").read_text(encoding="utf-8")
    return reports + files("defect_surrogate.report_server").joinpath("server.css").read_text(encoding="utf-8")


def _visible(value: object) -> object:
    """Replace characters of a text from outside that are not seen or that change the direction of writing."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(char if char.isprintable() or char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in value)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _ev(energy: float | None) -> str:
    """Write an energy difference for a column whose heading has the unit."""
    return "–" if energy is None else in_ev(energy).removesuffix(" eV")


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")
