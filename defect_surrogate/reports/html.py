"""What the pages have in common: plotly's JavaScript inside, a policy that forbids all loads, figures as JSON.

Nothing is fetched: plotly's JavaScript is in the page, once, and a content security policy forbids all loads and every script
but the two of this software.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from defect_surrogate.reports.statements import in_ev


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Attributes
    ----------
    title
        What it shows.
    description
        The same for those who do not see it.
    height
        Pixels.
    json
        Plotly's JSON of it, safe inside a script element.
    """

    title: str
    description: str
    height: int
    json: Markup


def figure_of(title: str, description: str, figure: go.Figure) -> Figure:
    """Make a figure for a page.

    Parameters
    ----------
    title, description
        Of the figure.
    figure
        Drawn by plotly, with its height set, in pixels.

    Returns
    -------
    Figure
        For the template.
    """
    content = figure.to_plotly_json()
    content["layout"].pop("template", None)
    text = json.dumps(content, allow_nan=False)
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Figure(title, description, int(figure.layout.height), Markup(escaped))  # noqa: S704  (no markup is left in it)


def render(template: str, *, name: str, created: str, versions: Mapping[str, str], **content: object) -> str:
    """Render a page.

    Parameters
    ----------
    template
        Name of a file of this package, which extends ``base.html``.
    name
        What the vacancies are of.
    created
        When the report was made.
    versions
        Of the libraries, by name.
    content
        What the template shows besides.

    Returns
    -------
    str
        HTML, about 5 MB, most of it plotly.
    """
    environment = Environment(
        loader=PackageLoader("defect_surrogate", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ev": in_ev, "time": _time}
    package = files("defect_surrogate.reports")
    scripts = (
        get_plotlyjs().replace("</script", r"<\/script"),
        package.joinpath("page.js").read_text(encoding="utf-8"),
    )
    return environment.get_template(template).render(
        style=Markup(package.joinpath("page.css").read_text(encoding="utf-8")),  # noqa: S704  (our own file)
        scripts=[Markup(script) for script in scripts],  # noqa: S704  (plotly's and our own file)
        script_sources=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        name=name,
        created=created,
        versions=versions,
        **content,
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
