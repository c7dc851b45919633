"""One process at a time works in a folder; looking whether it is free disturbs nobody."""

import multiprocessing
import os
import signal
import threading

import pytest

from defect_surrogate.errors import HeldError, InputError
from flows import lock as module
from flows.lock import is_free, locked


def test_a_held_folder_is_refused_with_its_process_and_is_free_afterwards(tmp_path):
    with locked(tmp_path / "run"):
        assert not is_free(tmp_path / "run")
        with pytest.raises(HeldError, match=rf"run: runs already \(process {os.getpid()}\)"), locked(tmp_path / "run"):
            pass
    assert is_free(tmp_path / "run")
    with locked(tmp_path / "run"):
        pass


def test_an_error_frees_the_folder(tmp_path):
    with pytest.raises(ValueError, match="inside"), locked(tmp_path):
        raise ValueError("inside")
    assert is_free(tmp_path)


def hold(path, ready):
    with locked(path):
        ready.send(True)
        signal.pause()


def test_a_process_that_is_killed_holds_nothing(tmp_path):
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, its))
    process.start()
    assert mine.recv()
    assert not is_free(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locked(tmp_path):
        pass


def test_of_many_at_once_one_holds_it(tmp_path):
    inside, answers, start = threading.Event(), [], threading.Barrier(5)

    def work():
        start.wait()
        try:
            with locked(tmp_path):
                answers.append("held")
                inside.wait(10)
        except HeldError:
            answers.append("refused")
            if answers.count("refused") == 4:
                inside.set()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["held"] + ["refused"] * 4


def test_a_folder_that_was_never_held_is_free_and_left_alone(tmp_path):
    assert is_free(tmp_path)
    assert is_free(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_a_look_needs_no_right_to_write(tmp_path, monkeypatch):
    with locked(tmp_path):
        pass
    opened = []
    real = module.Path.open
    monkeypatch.setattr(module.Path, "open", lambda self, mode="r": opened.append(mode) or real(self, mode))
    assert is_free(tmp_path)
    assert opened == ["r"]


def test_those_who_only_look_do_not_keep_anybody_out(tmp_path):
    over = threading.Event()

    def look():
        while not over.is_set():
            is_free(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    with locked(tmp_path):
        pass
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with locked(tmp_path):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_file_cannot_be_held(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be the folder of a run"), locked(tmp_path / "file"):
        pass
