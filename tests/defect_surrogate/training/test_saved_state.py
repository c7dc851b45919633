"""The file of a training: whole or the one before it, every fault told, and nothing in it ever run."""

import pickle
from pathlib import Path

import pytest
import torch

from defect_surrogate.errors import ArchiveError, TrainingError
from defect_surrogate.training.saved_state import STATE_FILE, save_state, saved_state

CPU = torch.device("cpu")


def content(size=1000):
    return {"identity": "one", "state": {"epoch": 2, "losses": [0.5]}, "parameters": [torch.arange(float(size))]}


def read(folder, identity="one"):
    with saved_state(folder, identity=identity, device=CPU) as found:
        return found


@pytest.fixture
def saved(tmp_path):
    """The file of a state."""
    save_state(tmp_path / "state", content())
    return tmp_path / "state" / STATE_FILE


def test_a_state_is_read_as_it_was_saved_and_none_is_none(saved, tmp_path):
    found = read(saved.parent)
    assert found["state"] == content()["state"]
    assert torch.equal(found["parameters"][0], content()["parameters"][0])
    assert read(tmp_path / "absent") is None
    assert [path.name for path in saved.parent.iterdir()] == [STATE_FILE]


def test_the_state_of_another_training_is_refused(saved):
    with pytest.raises(TrainingError, match=f"{saved}: the state of a training with other data or settings"):
        read(saved.parent, identity="another")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_state_is_named(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TrainingError, match=f"{saved}: cannot be continued, and can be deleted to start anew"):
        read(saved.parent)


def test_a_state_with_a_flipped_bit_in_a_weight_is_named(saved):
    """torch reads it without complaint."""
    whole, weight = saved.read_bytes(), torch.tensor([500.0, 501.0]).numpy().tobytes()
    assert whole.count(weight) == 1
    saved.write_bytes(whole.replace(weight, weight[:1] + bytes([weight[1] ^ 1]) + weight[2:]))
    assert torch.load(saved, weights_only=True)["parameters"][0][500] != 500
    with pytest.raises(TrainingError, match=f"{saved}: cannot be continued, .*: .* is damaged"):
        read(saved.parent)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [lambda value, path: path.write_bytes(pickle.dumps(value)), torch.save])
@pytest.mark.parametrize("place", ["whole", "inside"])
def test_code_in_a_state_is_never_run(saved, tmp_path, write, place):
    mark = tmp_path / "was-here"
    evil = Malicious(mark)
    write(evil if place == "whole" else content() | {"average": evil}, saved)
    with pytest.raises(TrainingError, match=f"{saved}: cannot be continued"):
        read(saved.parent)
    assert not mark.exists()


def test_a_content_that_cannot_be_used_is_a_fault_of_the_file(saved):
    with (
        pytest.raises(TrainingError, match=f"{saved}: cannot be continued"),
        saved_state(saved.parent, identity="one", device=CPU) as found,
    ):
        found["average"]


def test_a_full_disk_leaves_the_last_state_whole(small_disk):
    """A disk of 400 kB with room for a state of 150 kB, and not for one of 300 kB beside it."""
    disk = small_disk("400k")
    save_state(disk, content(40_000))
    before = (disk / STATE_FILE).read_bytes()
    with pytest.raises(ArchiveError, match=f"{STATE_FILE}: the state of the training is not saved: .*No space left"):
        save_state(disk, content(80_000))
    assert (disk / STATE_FILE).read_bytes() == before
    assert [path.name for path in disk.iterdir()] == [STATE_FILE]
    save_state(disk, content(30_000))
    assert len(read(disk)["parameters"][0]) == 30_000
