"""The index in a real PostgreSQL: what SQLite holds, shared by archives and processes, lost and found again."""

import dataclasses
import math
import multiprocessing
import shutil
import socket
import time

import postgres
import pytest
from ase.db import connect
from postgres import PostgreSQL

from defect_surrogate.archive import (
    Archive,
    count_rows,
    find_rows,
    index,
    index_postgresql,
    indexed_structure,
    reindex,
    update_index,
)
from defect_surrogate.errors import ServiceError
from defect_surrogate.relaxation import Unit
from tests.units import publish

VARIABLE = "DEFECT_SURROGATE_INDEX"


@pytest.fixture(scope="module")
def server():
    with PostgreSQL() as one:
        yield one


@pytest.fixture
def url(server, request, monkeypatch):
    """Of an empty database that the environment names."""
    url = server.create_database(request.node.name[:60])
    monkeypatch.setenv(VARIABLE, url)
    return url


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method")


def publish_several(archive, unit):
    for host in ("CdTe", "cdTe", "Cd4Te4", "InF", "100 %"):
        publish(archive, dataclasses.replace(unit, host=host))
    diverged = dataclasses.replace(unit, defect="v_Te_0", level="surrogate")
    publish(archive, diverged, energy=math.nan, converged=False, reason="diverged")
    return 6


def everything(archive, unit):
    """What the index answers to queries of all kinds."""
    filters = (
        {},
        *({"host": host} for host in ("CdTe", "Cd4Te4", "InF", "100 %", "inf", "none")),
        {"defect": "v_Te_0"},
        {"level": "reference", "host": "CdTe"},
        {"converged": True},
        {"converged": False},
        {"limit": 2},
        {"limit": 2, "offset": 3},
        {"offset": 99},
    )
    rows = [find_rows(archive.root, **one) for one in filters]
    counts = [count_rows(archive.root, **one) for one in filters if not one.keys() & {"limit", "offset"}]
    return rows, counts, indexed_structure(archive.root, unit.key), indexed_structure(archive.root, "none")


def add_in_process(archive, barrier, added):
    barrier.wait()
    added.put(update_index(archive))


def update_at_once(*archives):
    """Update indices in processes of their own at the same time, and return how many units each added."""
    fork = multiprocessing.get_context("fork")
    barrier, added = fork.Barrier(len(archives)), fork.Queue()
    processes = [fork.Process(target=add_in_process, args=(one, barrier, added)) for one in archives]
    for process in processes:
        process.start()
    counts = [added.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    return sorted(counts)


@pytest.mark.parametrize("change", [update_index, reindex])
def test_answers_are_those_of_sqlite(archive, unit, url, monkeypatch, change):
    count = publish_several(archive, unit)
    with monkeypatch.context() as patch:
        patch.delenv(VARIABLE)
        assert change(archive) == count
        expected = everything(archive, unit)
    assert everything(archive, unit) == ([[]] * 14, [0] * 11, None, None)
    assert change(archive) == count
    assert everything(archive, unit) == expected
    (row,) = expected[0][3]
    assert row.host == "InF"
    assert expected[2] is not None


def test_only_what_is_new_is_read_and_what_is_gone_leaves(archive, unit, url, monkeypatch):
    publish_several(archive, unit)
    assert update_index(archive) == 6
    read, read_record = [], index.read_record
    monkeypatch.setattr(index, "read_record", lambda path, **more: read.append(path) or read_record(path, **more))
    new = dataclasses.replace(unit, label="Rattled", method="other")
    publish(archive, new)
    shutil.rmtree(archive.root / "units" / "InF")
    assert update_index(archive) == 1
    assert read == [archive.path(new)]
    assert count_rows(archive.root) == 6
    assert count_rows(archive.root, host="InF") == 0
    assert update_index(archive) == 0


def test_archives_in_one_database_keep_to_themselves(archive, unit, url, tmp_path):
    other = Archive(tmp_path / "other")
    publish_several(archive, unit)
    publish(other, unit, energy=-99.0)
    assert (update_index(archive), update_index(other)) == (6, 1)
    assert [row.energy for row in find_rows(other.root)] == [-99.0]
    before = find_rows(archive.root)
    shutil.rmtree(other.root / "units" / "CdTe")
    assert update_index(other) == 0
    assert reindex(other) == 0
    assert count_rows(other.root) == 0
    assert indexed_structure(other.root, unit.key) is None
    assert find_rows(archive.root) == before
    publish(other, unit)
    assert reindex(archive) == 6
    assert update_index(other) == 1
    assert find_rows(archive.root) == before


def test_two_processes_at_once_add_each_unit_once(archive, unit, url, tmp_path):
    """Two of one archive and two of another: the first round makes the tables, too."""
    other = Archive(tmp_path / "other")
    for number in range(3):
        for i in range(10):
            one = dataclasses.replace(unit, label=f"Bond_Distortion_{number}{i}.0%", method=f"{number}{i}")
            publish(archive, one)
            publish(other, one)
        assert update_at_once(archive, archive, other, other) == [0, 0, 10, 10]
        for one in (archive, other):
            rows = find_rows(one.root)
            assert len({row.directory for row in rows}) == len(rows) == 10 * (number + 1)
            for row in rows:
                assert row.directory == f"units/CdTe/v_Cd_0/{row.label}/reference/{row.key[:16]}"


def test_while_an_index_is_made_anew_readers_have_the_old_one(archive, unit, url, monkeypatch):
    publish_several(archive, unit)
    reindex(archive)
    before, seen, read_all = find_rows(archive.root), [], archive.records

    def records():
        for record in read_all():
            seen.append(find_rows(archive.root))
            yield record

    monkeypatch.setattr(archive, "records", records)
    assert reindex(archive) == 6
    assert seen == [before] * 6


def test_what_is_broken_off_leaves_the_index_as_it_was(archive, unit, url, monkeypatch):
    publish_several(archive, unit)
    update_index(archive)
    before, read_all = find_rows(archive.root), archive.records

    def records():
        yield next(read_all())
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "records", records)
    with pytest.raises(KeyboardInterrupt):
        reindex(archive)
    assert find_rows(archive.root) == before


@pytest.mark.parametrize("immediate", [False, True])
def test_a_lost_server_is_told_and_made_up_for(server, archive, unit, url, immediate):
    publish(archive, unit)
    assert update_index(archive) == 1
    new = dataclasses.replace(unit, label="Rattled", method="other")
    publish(archive, new)
    server.stop(immediate=immediate)
    try:
        for use in (update_index, reindex, lambda one: find_rows(one.root), lambda one: count_rows(one.root)):
            began = time.monotonic()
            with pytest.raises(ServiceError) as error:
                use(archive)
            assert time.monotonic() - began < 3
            assert f"127.0.0.1:{server.port}" in str(error.value)
            assert "reindex" in str(error.value)
            assert server.password not in str(error.value)
        assert archive.find(unit).converged
        assert len(list(archive.records())) == 2
    finally:
        server.start()
    assert update_index(archive) == 1
    assert [row.label for row in find_rows(archive.root)] == ["Dimer", "Rattled"]


def test_a_server_lost_in_the_midst_of_an_update_leaves_no_half(server, archive, unit, url, monkeypatch):
    publish_several(archive, unit)
    read_record, read = index.read_record, []

    def stop_at_the_third(path, **more):
        read.append(path)
        if len(read) == 3:
            server.stop(immediate=True)
        return read_record(path, **more)

    try:
        with monkeypatch.context() as patch, pytest.raises(ServiceError, match=f"127.0.0.1:{server.port}"):
            patch.setattr(index, "read_record", stop_at_the_third)
            update_index(archive)
    finally:
        server.start()
    assert count_rows(archive.root) == 0
    assert update_index(archive) == 6


def test_a_server_that_says_nothing_is_not_waited_for(archive, unit, monkeypatch):
    publish(archive, unit)
    monkeypatch.setattr(index_postgresql, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(VARIABLE, f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/database")
        began = time.monotonic()
        with pytest.raises(ServiceError, match="timeout expired"):
            update_index(archive)
        assert time.monotonic() - began < 5


def test_a_writer_that_does_not_end_is_not_waited_for(archive, unit, url, monkeypatch):
    publish(archive, unit)
    update_index(archive)
    monkeypatch.setattr(index_postgresql, "LOCK_SECONDS", 1)
    with index_postgresql.writing(url, shown="", archive=index.archive_name(archive.root)):
        with pytest.raises(ServiceError, match="lock timeout"):
            update_index(archive)
        assert count_rows(archive.root) == 1


def test_what_the_server_refuses_is_told(server, archive, unit, monkeypatch):
    monkeypatch.setenv(VARIABLE, server.url("nowhere"))
    with pytest.raises(ServiceError, match=f'127.0.0.1:{server.port}/nowhere.*database "nowhere" does not exist'):
        update_index(archive)
    monkeypatch.setenv(VARIABLE, server.url().replace(server.password, "wrong-word"))
    with pytest.raises(ServiceError, match="password authentication failed") as error:
        find_rows(archive.root)
    assert "wrong-word" not in str(error.value)


@pytest.mark.parametrize("damaged", ["postgresql://me:Se%cret@there/db", "postgresql://there/db?password=Se%cret"])
def test_an_address_that_cannot_be_read_is_refused_without_its_password(archive, monkeypatch, damaged):
    monkeypatch.setenv(VARIABLE, damaged)
    with pytest.raises(ServiceError, match="no address of a PostgreSQL database") as error:
        update_index(archive)
    assert "cret" not in str(error.value)


def test_the_password_can_stand_in_a_file(server, archive, unit, url, monkeypatch, tmp_path):
    (tmp_path / "pgpass").write_text(f"127.0.0.1:{server.port}:*:{postgres.USER}:{server.password}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    monkeypatch.setenv(VARIABLE, url.replace(f":{server.password}", ""))
    publish(archive, unit)
    assert update_index(archive) == 1
    assert count_rows(archive.root) == 1


HOSTILE = (
    *("host=CdTe", "CdTe,level=reference", "' OR '1'='1", '" OR ""="', "'; DROP TABLE systems; --", "CdTe' --"),
    *(
        "%",
        "%s",
        "%(x)s",
        "?",
        "??",
        "\\",
        "\\'",
        "_____",
        "$1",
        ":x",
        "{}",
        "null",
        "true",
        "True",
        "nan",
        "-inf",
        "1e999",
    ),
    *("1", "1.0", "0x1", "1_0", "", " ", "CdTe ", "a\0b", "\0", "\ud800", "Å→𝔘", "\x01\x7f", "x" * 100_000, "9" * 5000),
)


def test_hostile_strings_find_nothing_and_harm_nothing(archive, unit, url):
    publish_several(archive, unit)
    update_index(archive)
    before = find_rows(archive.root)
    for text in HOSTILE:
        assert find_rows(archive.root, host=text) == find_rows(archive.root, host="CdTe", defect=text) == []
        assert count_rows(archive.root, level=text) == 0
        assert indexed_structure(archive.root, text) is None
    assert find_rows(archive.root) == before


def test_queries_need_no_right_to_write(server, archive, unit, url, request, monkeypatch):
    publish(archive, unit)
    update_index(archive)
    server.execute("CREATE ROLE page LOGIN PASSWORD 'page'")
    for what in ("SELECT ON ALL TABLES", "USAGE, SELECT ON ALL SEQUENCES"):
        server.execute(f"GRANT {what} IN SCHEMA public TO page", database=request.node.name[:60])
    monkeypatch.setenv(VARIABLE, url.replace(f"{postgres.USER}:{server.password}", "page:page"))
    assert count_rows(archive.root) == len(find_rows(archive.root)) == 1
    publish(archive, dataclasses.replace(unit, label="Rattled"))
    with pytest.raises(ServiceError, match="permission denied"):
        update_index(archive)


def test_a_user_with_a_schema_of_their_own_has_the_index_there(server, archive, unit, url, request):
    """ASE would look for its tables in another one, and make them again."""
    server.execute(f"CREATE SCHEMA {postgres.USER}", database=request.node.name[:60])
    for label in ("Dimer", "Rattled"):
        publish(archive, dataclasses.replace(unit, label=label))
        assert update_index(archive) == 1
    assert count_rows(archive.root) == 2


def test_tables_that_ase_made_are_taken(archive, unit, url):
    connect(url).write(unit.structure.to_ase_atoms(), host="CdTe", directory="units/elsewhere")
    publish(archive, unit)
    assert update_index(archive) == 1
    assert [row.label for row in find_rows(archive.root)] == ["Dimer"]
    assert reindex(archive) == 1
    assert len(list(connect(url).select("host=CdTe"))) == 2
