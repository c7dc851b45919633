import dataclasses
from pathlib import Path

import pytest

from defect_surrogate.reports.documentation import (
    ALLOY_CLASSES,
    ALLOY_PAGE_NAME,
    CLASSES,
    PAGE_NAME,
    SCHEMA_NAME,
    field_descriptions,
    json_schema,
    reference_page,
    write_documentation,
)
from defect_surrogate.reports.settings_documentation import build_page, settings_pages, sweep_page, train_page

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", [PAGE_NAME, SCHEMA_NAME, ALLOY_PAGE_NAME, *settings_pages()])
def test_committed_documentation_is_up_to_date(tmp_path, name):
    write_documentation(tmp_path)
    committed, made = ((folder / name).read_text(encoding="utf-8") for folder in (REFERENCE, tmp_path))
    assert committed == made, "run: python -m defect_surrogate.reports.documentation docs/reference"


@pytest.mark.parametrize("cls", CLASSES + ALLOY_CLASSES)
def test_every_field_is_described(cls):
    assert list(field_descriptions(cls)) == [field.name for field in dataclasses.fields(cls)]
    assert all(field_descriptions(cls).values())


def test_schema_describes_every_object():
    definitions = json_schema()["$defs"]
    for cls in CLASSES[1:]:
        assert all("description" in value for value in definitions[cls.__name__]["properties"].values())


def test_page_says_types_in_words():
    page = reference_page()
    assert "| `energy_lowering` | number or null |" in page
    assert "| `site` | [number, number, number] |" in page
    assert "| `hosts` | array of [HostReport](#hostreport) |" in page
    assert '| `level` | `"surrogate"` or `"reference"` |' in page


def test_settings_pages_name_every_key_and_its_default():
    train = train_page()
    assert "| `data` | `required` | Folders of datasets" in train
    assert "| `base` | `absent` | Checkpoint to start from" in train
    assert "| `batch_size` | `4` |" in train
    build = build_page()
    assert "## `bulk`" in build
    assert "| `isolated_atoms` | `false` |" in build
    assert "[`reference`](settings.md#reference)" in build
    assert "## `reference`" not in build
    sweep = sweep_page()
    assert "| `end_members` | `required` |" in sweep
    assert "## `transfer`" in sweep
    assert "[`minima`](settings.md#minima)" in sweep
