"""Where the index is, as the environment has it, and what is refused."""

import sys

import pytest

from defect_surrogate.archive import Archive, count_rows, find_rows, index_location, reindex, update_index
from defect_surrogate.errors import InputError

VARIABLE = "DEFECT_SURROGATE_INDEX"


@pytest.fixture(autouse=True)
def no_database(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


def test_an_address_in_the_environment_is_where_the_index_is(archive, monkeypatch):
    assert index_location(archive.root) == str(archive.root / "index.db")
    monkeypatch.setenv(VARIABLE, "")
    assert index_location(archive.root) == str(archive.root / "index.db")
    monkeypatch.setenv(VARIABLE, "postgresql://user@host:5432/database")
    assert index_location(archive.root) == "postgresql://user@host:5432/database"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("index.db", "index.db"),
        ("mysql://me:secret@host/db", "mysql://me:***@host/db"),
        ("postgresql+asyncpg://me:secret@host/db", "postgresql+asyncpg://me:***@host/db"),
        ("postgresql://me:secret/slash@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s@e:secret@host:port/db", "postgresql://me:***@host:port/db"),
        ("host=there password='my secret' user=me", "host=there password=*** user=me"),
        ("postgresql://host:0/db?password=secret", "postgresql://host:0/db?password=***"),
        ("me:secret@host/db", "me:***@host/db"),
    ],
)
def test_another_address_is_refused_without_its_password(archive, monkeypatch, value, shown):
    monkeypatch.setenv(VARIABLE, value)
    for use in (index_location, find_rows, count_rows, lambda _: update_index(archive), lambda _: reindex(archive)):
        with pytest.raises(InputError) as refusal:
            use(archive.root)
        assert f"{VARIABLE}={shown}: not the address of a PostgreSQL database" in str(refusal.value)
        assert "secret" not in str(refusal.value)
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_what_postgresql_needs_is_named(archive, monkeypatch):
    monkeypatch.setenv(VARIABLE, "postgresql://user@host:5432/database")
    monkeypatch.delitem(sys.modules, "defect_surrogate.archive.index_postgresql", raising=False)
    monkeypatch.delattr("defect_surrogate.archive.index_postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(InputError, match=r"pip install 'defect-surrogate\[postgresql\]'"):
        find_rows(archive.root)
