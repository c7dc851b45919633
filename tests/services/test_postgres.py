"""The PostgreSQL of the tests ends when they do, however they end."""

import glob
import tempfile

import psutil
import psycopg2
import pytest
from postgres import PostgreSQL


def test_a_stopped_cluster_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError), PostgreSQL() as one:
        assert one.execute("SELECT 1") == [(1,)]
        process = psutil.Process(int((one.root / "data" / "postmaster.pid").read_text().split()[0]))
        everyone = [process, *process.children(recursive=True)]
        assert len(everyone) > 3
        raise ZeroDivisionError
    assert not any(each.is_running() for each in everyone)
    assert not one.root.exists()
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(one.url())


def test_without_postgresql_the_test_fails_and_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(glob, "glob", lambda _: [])
    with pytest.raises(pytest.fail.Exception, match="Debian package postgresql"), PostgreSQL():
        pass
    assert list(tmp_path.iterdir()) == []
