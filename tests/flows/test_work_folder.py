"""A folder in which units are computed: its archive, which may be others' too, its own request to stop, its units."""

import pytest

from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Unit
from flows.work_folder import WorkFolder


@pytest.fixture
def shared(tmp_path):
    """Two folders with one archive."""
    folders = [WorkFolder(tmp_path / name, shared_archive=tmp_path / "archive") for name in ("one", "other")]
    for folder in folders:
        folder.path.mkdir()
    return folders


def test_a_folder_of_its_own_has_its_archive_and_sampling_structures_in_it(tmp_path):
    folder = WorkFolder(tmp_path)
    assert folder.archive.root == tmp_path / "archive"
    assert folder.sampling == tmp_path / "sampling"
    folder.request_stop()
    assert folder.stop_requested()
    assert folder.archive.stop_requested()  # its workers look there
    folder.clear_stop_request()
    assert not folder.stop_requested()


def test_folders_that_share_an_archive_are_stopped_one_by_one(shared, tmp_path):
    one, other = shared
    assert one.archive.root == other.archive.root == tmp_path / "archive"
    assert one.sampling == tmp_path / "sampling"
    one.request_stop()
    assert one.stop_requested()
    assert not other.stop_requested()
    assert not one.archive.stop_requested()
    other.clear_stop_request()
    assert one.stop_requested()
    one.begin()
    assert not one.stop_requested()


def test_a_request_to_stop_the_archive_is_one_for_all_its_folders(shared):
    one, other = shared
    (one.archive.root / "STOP").touch()
    assert one.stop_requested()
    assert other.stop_requested()


@pytest.mark.parametrize("error", [OSError("stale file handle"), ArchiveError("cannot be made")])
def test_a_file_system_that_does_not_answer_is_no_request_to_stop(shared, monkeypatch, error):
    def away(*_):
        raise error

    monkeypatch.setattr(WorkFolder, "archive", property(away))
    assert not shared[0].stop_requested()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"a": 1}', b'{"a": ["b"]}', b"\xff"])
def test_damaged_units_are_as_good_as_none_and_made_anew(tmp_path, cluster_crystal, damage):
    folder = WorkFolder(tmp_path)
    (tmp_path / "units.json").write_bytes(damage)
    assert folder.units() == {}
    unit = Unit("CdTe", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "m")
    folder.note_units([unit])
    assert folder.units() == {unit.name: unit.key}


def test_of_what_broke_in_a_shared_archive_a_folder_has_its_own(tmp_path, cluster_crystal):
    folders = [WorkFolder(tmp_path / name, shared_archive=tmp_path / "archive") for name in ("one", "other")]
    units = [Unit(host, "bulk", "Host", "reference", cluster_crystal, "method") for host in ("CdTe", "CdSe")]
    for folder, unit in zip(folders, units, strict=True):
        folder.note_units([unit])
        folder.archive.record_failure(unit, RuntimeError("broke"))
        earlier = Unit(unit.host, "bulk", "Host", "reference", cluster_crystal, "another method")
        folder.archive.record_failure(earlier, RuntimeError("broke"))
    assert [(one.name, one.key) for one in folders[0].failures()] == [(units[0].name, units[0].key)]
    assert len(WorkFolder(tmp_path).failures()) == 4  # of an archive of its own all, those of earlier settings too
