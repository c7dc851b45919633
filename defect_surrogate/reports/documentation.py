"""The reference pages: of ``campaign.json``, with its JSON Schema, from the docstrings of the schema; of all settings.

``python -m defect_surrogate.reports.documentation docs/reference`` writes all; a test holds them up to date.
"""

import dataclasses
import inspect
import json
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter

from defect_surrogate.reports import alloy_schema, schema
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.results import RESULT_COLUMNS, RESULTS_FILE
from defect_surrogate.reports.settings_documentation import code, settings_pages

PAGE_NAME = "campaign-json.md"
SCHEMA_NAME = "campaign.schema.json"
ALLOY_PAGE_NAME = "alloy-json.md"

ALLOY_CLASSES: tuple[type, ...] = (
    alloy_schema.AlloyReport,
    alloy_schema.CompositionReport,
    alloy_schema.StatisticReport,
    alloy_schema.EnvironmentReport,
)
"""In the order of the page: from the whole to its parts."""

CLASSES: tuple[type, ...] = (
    schema.CampaignReport,
    schema.CampaignComparisonReport,
    schema.HostReport,
    schema.VacancyReport,
    schema.MinimumReport,
    schema.BondReport,
    schema.ComparisonReport,
    schema.RelaxationReport,
    schema.MethodReport,
    schema.FailureReport,
)
"""In the order of the page: from the whole to its parts."""

_PLAIN_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

_INTRODUCTION = f"""\
# `{CAMPAIGN_FILE}` and `{RESULTS_FILE}`

<!-- Made by `python -m defect_surrogate.reports.documentation docs/reference`; edit the docstrings, not this file. -->

Schema version {schema.SCHEMA_VERSION}. Energies are in eV per supercell, lengths in Å, times in s. A value that does not
exist or was not computed is null; no number is NaN or infinite. The same as JSON Schema: [`{SCHEMA_NAME}`]({SCHEMA_NAME}).
"""

_ALLOY_INTRODUCTION = f"""\
# `alloy.json`

<!-- Made by `python -m defect_surrogate.reports.documentation docs/reference`; edit the docstrings, not this file. -->

Schema version {alloy_schema.ALLOY_SCHEMA_VERSION}. Energies are in eV per supercell, times in s. A value that does not exist or
was not computed is null. Besides the fields below, `rows` lists the rows of all compositions, each with its `x` and
`composition`. What was found for each vacancy in full is in `compositions/<name>/campaign.json`
([schema]({PAGE_NAME})).
"""


def field_descriptions(cls: type) -> dict[str, str]:
    """Read the ``Attributes`` section of a NumPy docstring.

    Parameters
    ----------
    cls
        A documented class.

    Returns
    -------
    dict of str to str
        Attribute → description, on one line.
    """
    descriptions: dict[str, list[str]] = {}
    lines = inspect.cleandoc(cls.__doc__ or "").partition("Attributes\n----------\n")[2].splitlines()
    name = ""
    for line in lines:
        if line and not line.startswith(" "):
            name = line
            descriptions[name] = []
        elif line.strip():
            descriptions[name].append(line.strip())
    return {one: " ".join(words) for names, words in descriptions.items() for one in names.split(", ")}


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema of ``campaign.json``.

    Returns
    -------
    dict
        Draft 2020-12, every field with its description.
    """
    document = TypeAdapter(schema.CampaignReport).json_schema()
    by_name = {cls.__name__: cls for cls in CLASSES}
    for name, definition in [("CampaignReport", document), *document["$defs"].items()]:
        if name in by_name:
            definition["description"] = _first_line(by_name[name])
            for field, text in field_descriptions(by_name[name]).items():
                definition["properties"][field]["description"] = code(text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | document


def reference_page() -> str:
    """Make the reference page.

    Returns
    -------
    str
        Markdown: a table of fields for each object of ``campaign.json``, and the columns of ``results.csv``.
    """
    parts = [_INTRODUCTION, *_class_tables(CLASSES)]
    parts += [f"## `{RESULTS_FILE}`\n", "One row for each vacancy. Unknown values are empty.\n"]
    parts += ["| column | meaning |\n| --- | --- |"]
    parts += [f"| `{column}` | {meaning} |" for column, meaning in RESULT_COLUMNS.items()]
    return "\n".join(parts) + "\n"


def alloy_page() -> str:
    """Make the reference page of ``alloy.json``.

    Returns
    -------
    str
        Markdown: a table of fields for each object.
    """
    return "\n".join([_ALLOY_INTRODUCTION, *_class_tables(ALLOY_CLASSES)])


def write_documentation(folder: Path) -> None:
    """Write the reference pages and the JSON Schema.

    Parameters
    ----------
    folder
        Where to; it must exist.
    """
    (folder / PAGE_NAME).write_text(reference_page(), encoding="utf-8")
    (folder / ALLOY_PAGE_NAME).write_text(alloy_page(), encoding="utf-8")
    for name, page in settings_pages().items():
        (folder / name).write_text(page, encoding="utf-8")
    (folder / SCHEMA_NAME).write_text(
        json.dumps(json_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


def _class_tables(classes: Sequence[type]) -> list[str]:
    """Return the lines of a table of fields for each class."""
    lines = []
    for cls in classes:
        lines += [f"## {cls.__name__}\n", f"{_first_line(cls)}\n", "| field | type | meaning |\n| --- | --- | --- |"]
        descriptions = field_descriptions(cls)
        hints = typing.get_type_hints(cls)
        lines += [
            f"| `{field.name}` | {_type_name(hints[field.name])} | {code(descriptions[field.name])} |"
            for field in dataclasses.fields(cls)
        ]
        lines.append("")
    return lines


def _first_line(cls: type) -> str:
    return code(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " "))


def _type_name(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type_name(argument) for argument in arguments)
    if origin is dict:
        return "object" if arguments[1] is JsonValue else f"object of {_type_name(arguments[1])}"
    if origin is tuple:
        names = [_type_name(argument) for argument in arguments if argument is not Ellipsis]
        return f"array of {names[0]}" if Ellipsis in arguments else f"[{', '.join(names)}]"
    return _PLAIN_TYPES.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"


if __name__ == "__main__":
    write_documentation(Path(sys.argv[1]))
