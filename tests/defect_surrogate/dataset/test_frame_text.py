import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.dataset.frame_text import check_frame, format_frame, parse_frames
from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.errors import DatasetError

LEVEL = "PBE hybrid (AEXX = 0.3, HFSCREEN = 0.2) (VASP)"
SOURCE = Path("CdTe.extxyz")


def parsed(text):
    return list(parse_frames(io.StringIO(text), source=SOURCE))


def test_ase_finds_energy_forces_and_stress_where_it_looks_for_them(labelled, tmp_path):
    frame = labelled("CdTe/v_Cd_0/Bond_Distortion_-30.0%/7", last=True)
    (tmp_path / "a.extxyz").write_text(format_frame(frame, level_of_theory=LEVEL) * 2)
    first, second = read(tmp_path / "a.extxyz", index=":")
    assert first.get_chemical_symbols() == ["Cd", "Te"]
    assert first.pbc.all()
    assert first.get_potential_energy() == pytest.approx(frame.energy, abs=1e-8)
    np.testing.assert_allclose(first.positions, frame.positions, atol=1e-8)
    np.testing.assert_allclose(first.cell.array, frame.cell, atol=1e-8)
    np.testing.assert_allclose(first.get_forces(), frame.forces, atol=1e-8)
    np.testing.assert_allclose(second.get_stress(voigt=False), frame.stress, atol=1e-8)
    assert first.info == {
        "host": "CdTe",
        "defect": "v_Cd_0",
        "label": "Bond_Distortion_-30.0%",
        "step": 7,
        "last": True,
        "composition": "CdTe",
        "source": frame.source,
        "level_of_theory": LEVEL,
    }


@pytest.mark.parametrize("stress", [True, False])
def test_a_frame_comes_back(labelled, stress):
    frame = labelled() if stress else labelled(stress=None)
    ((read_back, level),) = parsed(format_frame(frame, level_of_theory=LEVEL))
    assert level == LEVEL
    assert (read_back.name, read_back.source, read_back.composition) == (frame.name, frame.source, frame.composition)
    assert (read_back.stress is None) is not stress
    np.testing.assert_array_equal(read_back.numbers, frame.numbers)
    np.testing.assert_allclose(read_back.forces, frame.forces, atol=0.51e-8)


@settings(deadline=None)
@given(
    numbers=st.lists(st.floats(-1e4, 1e4), min_size=6, max_size=6),
    name=st.text("ab1 -+.%()=[]{}'", min_size=1, max_size=12),
)
def test_the_digest_survives_the_text(labelled, numbers, name):
    values = np.array(numbers)
    frame = labelled(
        energy=values[0], positions=np.outer([1, -1], values[:3]), forces=np.outer([1, 0.5], values[3:]), source=name
    )
    ((read_back, _),) = parsed(format_frame(frame, level_of_theory=LEVEL))
    assert Dataset(LEVEL, (read_back,)).digest == Dataset(LEVEL, (frame,)).digest
    assert read_back.source == name


def test_numbers_in_the_middle_between_two_decimals_keep_the_digest(labelled):
    halves = (np.arange(6).reshape(2, 3) + 0.5) * 1e-8
    frame = labelled(forces=halves, positions=-halves)
    ((read_back, _),) = parsed(format_frame(frame, level_of_theory=LEVEL))
    assert Dataset(LEVEL, (read_back,)).digest == Dataset(LEVEL, (frame,)).digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(":forces:R:3", ""), "missing forces"),
        (lambda text: text.replace("Cd ", "Xx "), "unknown element 'Xx'"),
        (lambda text: text[:-30], "truncated"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "truncated"),
        (lambda text: text.replace("energy=-", "energy=nan #"), "energy not finite"),
        (lambda text: text.replace("energy=", "enthalpy="), "no 'energy' in its comment line"),
        (lambda text: text.replace("Te ", "Te nan "), "columns of 2 atoms"),
        (lambda text: text.replace("2\n", "two\n", 1), "invalid literal"),
        (lambda text: text.replace("2\n", "0\n", 1), "0 atoms"),
        (lambda text: text.replace("last=F", "last=maybe"), "'maybe'"),
    ],
)
def test_text_that_is_not_a_frame_is_refused_by_its_number(labelled, change, message):
    text = format_frame(labelled(), level_of_theory=LEVEL)
    with pytest.raises(DatasetError, match=f"CdTe.extxyz: frame 2: .*{message}"):
        parsed(text + change(text))


@settings(deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_gives_whole_frames_or_is_refused(labelled, share):
    text = format_frame(labelled(), level_of_theory=LEVEL) * 2
    cut = text[: int(share * len(text))]
    try:
        frames = parsed(cut)
    except DatasetError:
        return
    whole = parsed(text)[0][0].forces[:, :2]
    assert all(np.allclose(frame.forces[:, :2], whole) for frame, _ in frames)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_another_exception(text):
    try:
        assert parsed(text) == []
    except DatasetError as error:
        assert "CdTe.extxyz: frame 1" in str(error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": float("nan")}, "CdTe/v_Cd_0/Dimer/0: energy not finite"),
        ({"energy": float("-inf")}, "energy not finite"),
        ({"forces": np.full((2, 3), np.inf)}, "forces not finite"),
        ({"stress": np.full((3, 3), np.nan)}, "stress not finite"),
        ({"forces": np.zeros((0, 3))}, r"forces of shape \(0, 3\) for 2 atoms"),
        ({"positions": np.zeros((3, 3))}, r"2 atoms, positions of shape \(3, 3\)"),
        ({"label": 'a"b'}, "label .* cannot be written"),
        ({"composition": ""}, "composition '' cannot be written"),
        ({"source": "a\nb"}, "source .* cannot be written"),
    ],
)
def test_a_frame_that_teaches_nothing_is_refused(labelled, changes, message):
    with pytest.raises(DatasetError, match=message):
        check_frame(replace(labelled(), **changes))
