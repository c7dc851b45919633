import numpy as np
import pytest

from defect_surrogate.dataset.cleaning import DroppedFrames, drop_high_energies


def energies(dataset) -> dict[str, list[float]]:
    return {defect: [frame.energy for frame in frames] for (_, defect), frames in dataset.by_defect().items()}


def test_positive_and_high_energies_are_dropped_and_counted(labelled, dataset_of):
    given = {"v_Cd_0": [-200.0, -185.0, -184.9, 5.0], "v_Te_0": [-100.0, -99.0], "bulk": [-300.0, -280.0, 0.1]}
    frames = [
        labelled(f"CdTe/{defect}/Dimer/{step}", energy=energy)
        for defect, values in given.items()
        for step, energy in enumerate(values)
    ]
    cleaned = drop_high_energies(dataset_of(*frames))
    assert energies(cleaned.dataset) == {"v_Cd_0": [-200.0, -185.0], "v_Te_0": [-100.0, -99.0], "bulk": [-300.0]}
    assert cleaned.dropped == (DroppedFrames("CdTe", "bulk", 1, 1), DroppedFrames("CdTe", "v_Cd_0", 1, 1))
    assert str(cleaned.dropped[0]) == "CdTe/bulk: dropped 1 with a positive energy, 1 far above the lowest"
    assert len(cleaned.dataset) + sum(one.positive + one.high for one in cleaned.dropped) == len(frames)
    assert drop_high_energies(cleaned.dataset).dropped == ()


@pytest.mark.parametrize(("window", "kept"), [(0.5, 1), (1.0, 2), (100.0, 3)])
def test_the_window_is_an_energy_above_the_lowest(labelled, dataset_of, window, kept):
    frames = [labelled(f"CdTe/v_Cd_0/Dimer/{step}", energy=-9.0 + step) for step in (0, 1, 8)]
    assert len(drop_high_energies(dataset_of(*frames), window=window).dataset) == kept


def test_cells_of_another_size_have_energies_of_their_own(labelled, dataset_of):
    large = labelled("CdTe/bulk/Host/0", energy=-300.0, numbers=np.array([48, 48, 52, 52]))
    small = labelled("CdTe/bulk/Host/1", energy=-150.0)
    assert len(drop_high_energies(dataset_of(large, small)).dataset) == 2


def test_a_defect_of_positive_energies_alone_vanishes(labelled, dataset_of):
    cleaned = drop_high_energies(dataset_of(labelled(energy=3.0), labelled("CdTe/v_Te_0/Dimer/0")))
    assert [frame.defect for frame in cleaned.dataset.frames] == ["v_Te_0"]
    assert cleaned.dropped == (DroppedFrames("CdTe", "v_Cd_0", 1, 0),)
