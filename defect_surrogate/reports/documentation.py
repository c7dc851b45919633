"""The reference pages: of ``campaign.json``, with its JSON Schema, from the docstrings of the schema; of all settings.

``python -m defect_surrogate.reports.documentation docs/reference`` writes all; a test holds them up to date.
"""

import dataclasses
import inspect
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

from defect_surrogate.reports import schema
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.results import RESULT_COLUMNS, RESULTS_FILE
from defect_surrogate.settings import DEFECT_INCAR, HOST_INCAR, BuildSettings, ReferenceSearchSettings, SearchSettings
from defect_surrogate.training.settings import TrainSettings

PAGE_NAME = "campaign-json.md"
SCHEMA_NAME = "campaign.schema.json"
SETTINGS_PAGE_NAME = "settings.md"
BUILD_PAGE_NAME = "build-dataset-settings.md"
TRAIN_PAGE_NAME = "train-settings.md"

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

_SETTINGS_INTRODUCTION = """\
# {title}

<!-- Made by `python -m defect_surrogate.reports.documentation docs/reference`; edit the descriptions, not this file. -->

A settings file is YAML with the keys below{required}: `{command}`.
Unknown keys are refused. Unless said otherwise a default is that of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9),
Methods.
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
    return {name: " ".join(words) for name, words in descriptions.items()}


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
                definition["properties"][field]["description"] = _code(text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | document


def reference_page() -> str:
    """Make the reference page.

    Returns
    -------
    str
        Markdown: a table of fields for each object of ``campaign.json``, and the columns of ``results.csv``.
    """
    parts = [_INTRODUCTION]
    for cls in CLASSES:
        parts += [f"## {cls.__name__}\n", f"{_first_line(cls)}\n", "| field | type | meaning |\n| --- | --- | --- |"]
        descriptions = field_descriptions(cls)
        hints = typing.get_type_hints(cls)
        parts += [
            f"| `{field.name}` | {_type_name(hints[field.name])} | {_code(descriptions[field.name])} |"
            for field in dataclasses.fields(cls)
        ]
        parts.append("")
    parts += [f"## `{RESULTS_FILE}`\n", "One row for each vacancy. Unknown values are empty.\n"]
    parts += ["| column | meaning |\n| --- | --- |"]
    parts += [f"| `{column}` | {meaning} |" for column, meaning in RESULT_COLUMNS.items()]
    return "\n".join(parts) + "\n"


def settings_page() -> str:
    """Make the page of the settings of a search.

    Returns
    -------
    str
        Markdown: a table for each section, and the INCAR tags that the settings start from.
    """
    command = "defect-surrogate search CdTe.cif --settings search.yaml"
    introduction = _SETTINGS_INTRODUCTION.format(title="Settings", required=", all optional", command=command)
    parts = [introduction, *_tables(SearchSettings.model_fields)]
    for title, incar in (("defects", DEFECT_INCAR), ("hosts", HOST_INCAR)):
        parts += [f"## INCAR of {title}\n", "```", *(f"{tag} = {value}" for tag, value in incar.items()), "```", ""]
    return "\n".join(parts)


def build_page() -> str:
    """Make the page of the settings of ``build-dataset``.

    Returns
    -------
    str
        Markdown: a table for each section that a search has not; the others are named.
    """
    command = "defect-surrogate build-dataset CdTe.cif ZnTe.cif --settings build.yaml --out built/"
    title = "Settings of `build-dataset`"
    shared = ReferenceSearchSettings.model_fields
    named = ", ".join(f"[`{name}`]({SETTINGS_PAGE_NAME}#{name})" for name in shared)
    return "\n".join(
        [
            _SETTINGS_INTRODUCTION.format(title=title, required=", all optional", command=command),
            f"The sections {named} are those of a search, but for `host.name`: hosts are named after their files.\n",
            *_tables({name: field for name, field in BuildSettings.model_fields.items() if name not in shared}),
        ]
    )


def train_page() -> str:
    """Make the page of the settings of a training.

    Returns
    -------
    str
        Markdown: a table for each section.
    """
    command = "defect-surrogate train train.yaml --out model/"
    introduction = _SETTINGS_INTRODUCTION.format(
        title="Settings of `train`", required=", all but `data` optional", command=command
    )
    return "\n".join([introduction, *_tables(TrainSettings.model_fields)])


def write_documentation(folder: Path) -> None:
    """Write the reference pages and the JSON Schema.

    Parameters
    ----------
    folder
        Where to; it must exist.
    """
    (folder / PAGE_NAME).write_text(reference_page(), encoding="utf-8")
    (folder / SETTINGS_PAGE_NAME).write_text(settings_page(), encoding="utf-8")
    (folder / BUILD_PAGE_NAME).write_text(build_page(), encoding="utf-8")
    (folder / TRAIN_PAGE_NAME).write_text(train_page(), encoding="utf-8")
    (folder / SCHEMA_NAME).write_text(
        json.dumps(json_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


def _tables(fields: dict[str, FieldInfo]) -> list[str]:
    """Return the lines of a table for each section, and of one for the keys outside of them."""
    head = "| key | default | meaning |\n| --- | --- | --- |"
    lines, plain = [], []
    for name, field in fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            rows = [_row(key, entry) for key, entry in section.model_fields.items()]
            lines += [f"## `{name}`\n", f"{_code(inspect.cleandoc(section.__doc__ or ''))}\n", head, *rows, ""]
        else:
            plain.append(_row(name, field))
    return [*lines, "## Outside the sections\n", head, *plain, ""]


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else "absent" if field.default is None else json.dumps(field.default)
    return f"| `{key}` | `{default}` | {field.description} |"


def _first_line(cls: type) -> str:
    return _code(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " "))


def _code(text: str) -> str:
    return text.replace("``", "`")


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
