"""A relaxation on its way, written and read."""

import numpy as np
import pytest

from defect_surrogate.surrogates.unfinished import Unfinished, read_unfinished, write_unfinished

STATE = {"positions": np.arange(6.0), "near": np.array(True), "steps": np.ones((4, 6))}
ROW = {name: array.shape for name, array in STATE.items()}


def half_way():
    return Unfinished(
        steps=12,
        evaluations=14,
        seconds=1.5,
        start_energy=-3.25,
        positions=[np.zeros((2, 3)), np.ones((2, 3))],
        energies=[-3.25, -3.5],
        forces=[np.full((2, 3), 0.1), np.full((2, 3), 0.05)],
    )


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "CdTe" / "key"
    write_unfinished(path, half_way(), STATE)
    found = read_unfinished(path, row=ROW)
    assert (found.steps, found.evaluations, found.seconds, found.start_energy) == (12, 14, 1.5, -3.25)
    assert found.energies == [-3.25, -3.5]
    for name in ("positions", "forces"):
        np.testing.assert_array_equal(getattr(found, name), getattr(half_way(), name))
    assert {name: array.tolist() for name, array in found.state.items()} == {
        name: array.tolist() for name, array in STATE.items()
    }
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_before_the_first_step_there_are_no_frames(tmp_path):
    write_unfinished(tmp_path / "key", Unfinished(), STATE)
    found = read_unfinished(tmp_path / "key", row=ROW)
    assert (found.steps, found.positions, found.energies) == (0, [], [])
    assert np.isnan(found.start_energy)


def test_no_file_is_nothing(tmp_path):
    assert read_unfinished(tmp_path / "key", row=ROW) is None


@pytest.mark.parametrize("cut", [0, 1, 100, 700, -1])
def test_a_file_that_is_not_whole_is_nothing_and_said(tmp_path, cut, caplog):
    path = tmp_path / "key"
    write_unfinished(path, half_way(), STATE)
    path.write_bytes(path.read_bytes()[:cut])
    assert read_unfinished(path, row=ROW) is None
    assert "begins anew" in caplog.text


def test_a_file_of_another_structure_is_nothing(tmp_path, caplog):
    write_unfinished(tmp_path / "key", half_way(), STATE)
    assert read_unfinished(tmp_path / "key", row=ROW | {"positions": (9,)}) is None
    assert "not of 3 atoms" in caplog.text


@pytest.mark.parametrize("change", [{"steps": (5, 6)}, {"curvature": (6,)}])
def test_a_file_of_another_optimiser_is_nothing(tmp_path, caplog, change):
    write_unfinished(tmp_path / "key", half_way(), STATE)
    assert read_unfinished(tmp_path / "key", row=ROW | change) is None
    assert "another version of the optimiser" in caplog.text


def test_positions_that_are_not_finite_are_nothing(tmp_path):
    write_unfinished(tmp_path / "key", half_way(), STATE | {"positions": np.full(6, np.nan)})
    assert read_unfinished(tmp_path / "key", row=ROW) is None


def test_pickled_content_is_not_run(tmp_path):
    np.savez(tmp_path / "key.npz", counts=np.array([print], dtype=object))
    (tmp_path / "key.npz").rename(tmp_path / "key")
    assert read_unfinished(tmp_path / "key", row=ROW) is None
