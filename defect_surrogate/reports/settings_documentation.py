"""The reference pages of all settings, from the descriptions of their fields."""

import inspect
import json

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.settings import DEFECT_INCAR, HOST_INCAR, BuildSettings, ReferenceSearchSettings, SearchSettings
from defect_surrogate.training.settings import TrainSettings

SETTINGS_PAGE_NAME = "settings.md"
BUILD_PAGE_NAME = "build-dataset-settings.md"
TRAIN_PAGE_NAME = "train-settings.md"
SWEEP_PAGE_NAME = "sweep-settings.md"

_SETTINGS_INTRODUCTION = """\
# {title}

<!-- Made by `python -m defect_surrogate.reports.documentation docs/reference`; edit the descriptions, not this file. -->

A settings file is YAML with the keys below{required}: `{command}`.
Unknown keys are refused. Unless said otherwise a default is that of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9),
Methods.
"""


def settings_pages() -> dict[str, str]:
    """Make the pages of all settings.

    Returns
    -------
    dict of str to str
        Markdown by name of the file.
    """
    return {
        SETTINGS_PAGE_NAME: settings_page(),
        BUILD_PAGE_NAME: build_page(),
        TRAIN_PAGE_NAME: train_page(),
        SWEEP_PAGE_NAME: sweep_page(),
    }


def settings_page() -> str:
    """Make the page of the settings of a search.

    Returns
    -------
    str
        Markdown: a table for each section, and the INCAR tags that the settings start from.
    """
    command = "defect-surrogate search CdTe.cif --settings search.yaml"
    introduction = _SETTINGS_INTRODUCTION.format(title="Settings", required=", all optional", command=command)
    parts = [introduction, *settings_tables(SearchSettings.model_fields)]
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
            *settings_tables({name: field for name, field in BuildSettings.model_fields.items() if name not in shared}),
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
    return "\n".join([introduction, *settings_tables(TrainSettings.model_fields)])


def sweep_page() -> str:
    """Make the page of the settings of ``sweep``.

    Returns
    -------
    str
        Markdown: a table for each section that a search has not; the others are named.
    """
    shared = SearchSettings.model_fields
    named = ", ".join(f"[`{name}`]({SETTINGS_PAGE_NAME}#{name})" for name in shared)
    introduction = _SETTINGS_INTRODUCTION.format(
        title="Settings of `sweep`",
        required="; of `alloy` the first three are required",
        command="defect-surrogate sweep cdsete.yaml --out run/",
    )
    return "\n".join(
        [
            introduction,
            f"{named} are those of a search; `host` is of the end members, which are named after their files.\n",
            *settings_tables({name: field for name, field in SweepSettings.model_fields.items() if name not in shared}),
        ]
    )


def code(text: str) -> str:
    """Turn the literals of a docstring into those of Markdown."""
    return text.replace("``", "`")


def settings_tables(fields: dict[str, FieldInfo]) -> list[str]:
    """Make a table for each section, and one for the keys outside of them if there are any.

    Parameters
    ----------
    fields
        Of a model of settings.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    head = "| key | default | meaning |\n| --- | --- | --- |"
    lines, plain = [], []
    for name, field in fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            rows = [_row(key, entry) for key, entry in section.model_fields.items()]
            lines += [f"## `{name}`\n", f"{code(inspect.cleandoc(section.__doc__ or ''))}\n", head, *rows, ""]
        else:
            plain.append(_row(name, field))
    return [*lines, "## Outside the sections\n", head, *plain, ""] if plain else lines


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else "absent" if field.default is None else json.dumps(field.default)
    return f"| `{key}` | `{default}` | {field.description} |"
