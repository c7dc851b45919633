"""Which driver has given a unit out, whether it lives, and what is left of one that does not."""

import multiprocessing
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.archive import drivers as module
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Unit


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method")


@pytest.fixture
def root(tmp_path):
    return Archive(tmp_path).root


def test_a_unit_is_one_drivers_until_it_is_released(root, unit):
    with Driver(root) as one, Driver(root) as other:
        assert one.claim(unit)
        assert one.claim(unit)
        assert not other.claim(unit)
        other.release(unit)  # not its own
        assert not other.claim(unit)
        one.release(unit)
        assert other.claim(unit)


def test_what_a_driver_holds_is_free_with_its_end(root, unit):
    with Driver(root) as other:
        with Driver(root) as one:
            assert one.claim(unit)
        assert other.claim(unit)
    assert list((root / "claims").iterdir()) == list((root / "drivers").iterdir()) == []


def test_of_many_that_claim_at_once_one_does(root, cluster_crystal):
    units = [Unit("CdTe", "v_Cd_0", f"U{i}", "reference", cluster_crystal, f"method {i}") for i in range(40)]
    drivers = [Driver(root) for _ in range(4)]
    with drivers[0], drivers[1], drivers[2], drivers[3], ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(lambda driver: [driver.claim(unit) for unit in units], drivers))
    assert [sum(of_unit) for of_unit in zip(*claimed, strict=True)] == [1] * 40


def hold(root, unit, ready):
    with Driver(root) as driver:
        driver.claim(unit)
        ready.send(driver.name)
        signal.pause()


def test_a_driver_that_was_killed_holds_nothing_and_its_work_ends(root, unit):
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(root, unit, its))
    process.start()
    name = mine.recv()
    with Driver(root) as other:
        assert not other.claim(unit)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not Archive(root).stop_requested(name)  # its worker may as well go on while nobody else is at it
        assert other.claim(unit)
        assert Archive(root).stop_requested(name)


def test_files_of_killed_drivers_are_cleared_and_others_left(root):
    dead = root / "drivers" / f"{socket.gethostname()}-{2**22 + 1}-0123abcd"
    Driver(root).__enter__().__exit__(None, None, None)
    dead.touch()
    (root / "drivers" / "@eaDir").mkdir()  # of a file server
    with Driver(root) as driver:
        assert {path.name for path in (root / "drivers").iterdir()} == {driver.name, "@eaDir"}


def test_a_claim_of_a_driver_that_was_first_is_put_back(root, unit, monkeypatch):
    """Both find the claim of a dead driver; one takes it between the other's look and its rename."""
    with Driver(root) as one, Driver(root) as other:
        claim = one._claim_of(unit)
        claim.symlink_to("dead-1-0123abcd")
        take_from = one._take_from

        def late(path, owner):
            if not other.is_elsewhere(unit):
                assert other.claim(unit)
            take_from(path, owner)

        monkeypatch.setattr(one, "_take_from", late)
        monkeypatch.setattr(other, "is_elsewhere", lambda _: os.readlink(claim) == other.name)
        assert not one.claim(unit)
        assert os.readlink(claim) == other.name
        assert [path for path in (root / "claims").iterdir() if path != claim] == []


def test_a_driver_that_was_asleep_is_there_again_when_it_gives_something_out(root, unit):
    archive = Archive(root)
    with Driver(root) as driver:
        (root / "drivers" / driver.name).unlink()  # taken for dead
        assert archive.stop_requested(driver.name)
        assert driver.claim(unit)
        assert not archive.stop_requested(driver.name)


def test_a_driver_of_another_machine_is_dead_when_it_has_been_silent_for_long(root, unit):
    with Driver(root) as driver:
        far = root / "drivers" / "elsewhere-1-0123abcd"
        driver._claim_of(unit).symlink_to(far.name)
        far.touch()
        assert not driver.claim(unit)
        seen = far.stat().st_mtime
        os.utime(far, (seen, seen - module.SILENT_SECONDS - 60))
        assert driver.claim(unit)
        assert not far.exists()  # what its workers do, ends


def test_a_driver_shows_that_it_lives(root, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)
    with Driver(root) as driver:
        file = root / "drivers" / driver.name
        os.utime(file, (0, 0))
        for _ in range(200):
            if file.stat().st_mtime > 0:
                break
            module.threading.Event().wait(0.02)
        assert file.stat().st_mtime > 0


def test_work_ends_with_its_driver(root):
    archive = Archive(root)
    with Driver(root) as driver:
        assert not archive.stop_requested(driver.name)
        assert not archive.stop_requested()
    assert archive.stop_requested(driver.name)
    assert not archive.stop_requested()


def test_where_nothing_can_be_claimed_it_is_computed_all_the_same(root, unit, caplog):
    with Driver(root) as driver:
        (root / "claims").rmdir()
        assert driver.claim(unit)
    assert "not claimed" in caplog.text


def test_an_archive_that_cannot_be_written_is_told(root):
    (root / "drivers").write_text("in the way")
    with pytest.raises(ArchiveError, match="a driver cannot be noted"), Driver(root):
        pass


def test_a_driver_that_retires_ends_what_it_has_given_out_and_others_may_take_it(root, unit):
    archive = Archive(root)
    with Driver(root) as one, Driver(root) as other:
        assert one.claim(unit)
        assert other.is_elsewhere(unit)
        one.retire()
        one.retire()
        assert archive.stop_requested(one.name)
        assert not archive.stop_requested(other.name)
        assert not other.is_elsewhere(unit)
        assert other.claim(unit)
        one.release(unit)
        assert other.claim(unit)


def test_a_driver_that_has_retired_does_not_come_back(root, unit, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Driver(root) as driver:
        file = root / "drivers" / driver.name
        driver.retire()
        driver.claim(unit)
        module.threading.Event().wait(0.1)  # beats, if there were any
        assert not file.exists()
    assert list((root / "claims").iterdir()) == []


def test_a_driver_that_was_taken_for_dead_is_not_brought_back_by_its_beat(root, monkeypatch):
    """Others may have its units by now."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Driver(root) as driver:
        file = root / "drivers" / driver.name
        file.unlink()
        module.threading.Event().wait(0.1)
        assert not file.exists()
