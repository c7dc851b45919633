"""``reindex``, ``pack`` and ``unpack``: where the archive is, what is said, and the exit codes."""

import tarfile
from io import BytesIO

import pytest
from ase.db import connect
from typer.testing import CliRunner

from defect_surrogate.archive import Archive
from defect_surrogate.relaxation import Provenance, Relaxation, Unit
from flows.campaigns.folder import ServiceFolder
from flows.cli import app
from flows.run_folder import create_run


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def unit(cluster_crystal):
    return Unit("Cd4Te4", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method")


def publish(archive, unit, energy=-1.0):
    provenance = Provenance("GFN1-xTB (stand-in)", "method", 1.5, 3, ())
    archive.publish(unit, Relaxation("reference", unit.structure, energy, 2, True, "converged", "", provenance))


@pytest.fixture
def bundle(tmp_path, unit):
    publish(Archive(tmp_path / "run" / "archive"), unit)
    result = run("pack", tmp_path / "run", "--out", tmp_path / "b.tar.xz")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"1 units in {tmp_path / 'b.tar.xz'}, ")
    return tmp_path / "b.tar.xz"


@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_every_command_has_help_with_its_exit_codes(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


def test_an_archive_packs_as_its_run_does(tmp_path, bundle):
    assert run("pack", tmp_path / "run" / "archive", "--out", tmp_path / "again.tar.xz").exit_code == 0
    assert (tmp_path / "again.tar.xz").read_bytes() == bundle.read_bytes()


def test_a_new_folder_becomes_a_run_and_an_archive_stays_one(tmp_path, bundle, unit):
    Archive(tmp_path / "archive")
    for out, root in (("new", "new/archive"), ("archive", "archive")):
        result = run("unpack", bundle, bundle, "--out", tmp_path / out)
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            f"{bundle}: 1 units new, 0 there already, 0 refused",
            f"{bundle}: 0 units new, 1 there already, 0 refused",
        ]
        assert Archive(tmp_path / root).find(unit).converged


def test_another_result_is_named(tmp_path, bundle, unit):
    publish(Archive(tmp_path / "other"), unit, energy=-2.0)
    result = run("unpack", bundle, "--out", tmp_path / "other")
    assert result.exit_code == 0
    assert f"kept the result that was there, which is another one: {unit.name}" in result.stdout


def test_refused_units_and_files_are_bad_input(tmp_path, bundle, unit):
    with tarfile.open(bundle, "r:xz") as tar:
        every = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(bundle, "w:xz") as tar:
        for member, content in every:
            tar.addfile(member, BytesIO(content.replace(b"-1.0", b"-9.0")))
    result = run("unpack", bundle, "--out", tmp_path / "new")
    assert (result.exit_code, result.stdout) == (2, f"{bundle}: 0 units new, 0 there already, 1 refused\n")
    assert f"refused: {bundle}: units/{unit.name}/" in result.stderr
    assert "error: 1 units refused" in result.stderr
    bundle.write_bytes(bundle.read_bytes()[:-30])
    result = run("unpack", bundle, "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert f"error: {bundle}: damaged" in result.stderr


def test_what_is_no_archive_is_not_packed_and_stays_as_it_is(tmp_path):
    result = run("pack", tmp_path / "nowhere", "--out", tmp_path / "b.tar.xz")
    assert result.exit_code == 2
    assert "neither an archive nor the folder of a run" in result.stderr
    assert list(tmp_path.iterdir()) == []


def index_rows(root):
    with connect(root / "index.db") as database:
        return [row.directory for row in database.select()]


@pytest.mark.parametrize("where", ["run/archive", "run", "campaign", "host"])
def test_an_archive_is_reindexed_by_whatever_has_it(tmp_path, unit, where, host_file, settings):
    place = ServiceFolder(tmp_path / "run")
    publish(Archive(tmp_path / "run" / "archive"), unit)
    folder = place.campaign("tellurides")
    folder.history.mkdir(parents=True)
    run_folder = create_run(folder.host("CdTe"), str(host_file), settings, shared_archive=folder.archive.root)
    source = {"campaign": folder.path, "host": run_folder.path}.get(where, tmp_path / where)
    result = run("reindex", source)
    assert (result.exit_code, result.stdout) == (0, f"1 units in {tmp_path / 'run' / 'archive' / 'index.db'}\n")
    (directory,) = index_rows(tmp_path / "run" / "archive")
    assert directory.startswith(f"units/{unit.name}/")


@pytest.mark.parametrize("command", [("reindex",), ("pack", "--out", "b.tar.xz")])
def test_what_has_no_archive_is_refused_and_left_as_it_is(tmp_path, command):
    result = run(command[0], tmp_path, *command[1:])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{tmp_path}: neither an archive nor the folder of a run" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_index_elsewhere_is_named_without_its_password(tmp_path, unit, monkeypatch):
    publish(Archive(tmp_path), unit)
    monkeypatch.setenv("DEFECT_SURROGATE_INDEX", "postgresql://group:secret@127.0.0.1:9/index")
    result = run("reindex", tmp_path)
    assert result.exit_code == 3
    assert "127.0.0.1" in result.stderr
    assert "secret" not in result.stdout + result.stderr
