"""A small dataset and predictions whose errors are known."""

import numpy as np
import pytest

from defect_surrogate.dataset.frames import BULK, Dataset, LabelledFrame
from defect_surrogate.surrogates import Predictions

CD, SE, TE = 48, 34, 52


def frame(host, defect, label, energy, *, numbers, stress=True, step=0):
    """A frame without forces and with no stress to speak of."""
    n = len(numbers)
    return LabelledFrame(
        host=host,
        defect=defect,
        label=label,
        step=step,
        last=True,
        composition=host,
        source="ab" * 32,
        numbers=np.array(numbers),
        positions=np.arange(3.0 * n).reshape(n, 3),
        cell=10 * np.eye(3),
        energy=energy,
        forces=np.zeros((n, 3)),
        stress=np.zeros((3, 3)) if stress else None,
    )


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Two hosts with a bulk each; a defect of four configurations, and one of two that cannot be ranked."""
    return Dataset(
        "HSE06 (VASP)",
        (
            frame("CdSe", BULK, "Host", -8.0, numbers=[CD, CD, SE, SE], stress=False),
            frame("CdSe", "v_Cd_0", "Dimer", -6.0, numbers=[CD, SE, SE]),
            frame("CdSe", "v_Cd_0", "Unperturbed", -5.0, numbers=[CD, SE, SE]),
            frame("CdTe", BULK, "Strained_00", -6.0, numbers=[CD, CD, TE, TE]),
            frame("CdTe", BULK, "Strained_01", -2.8, numbers=[CD, TE]),
            frame("CdTe", BULK, "Strained_02", -9.0, numbers=[CD, CD, CD, TE]),
            frame("CdTe", "v_Cd_0", "Bond_Distortion_-10.0%", -2.0, numbers=[CD, TE, TE]),
            frame("CdTe", "v_Cd_0", "Bond_Distortion_-20.0%", -1.0, numbers=[CD, TE, TE]),
            frame("CdTe", "v_Cd_0", "Dimer", -4.0, numbers=[CD, TE, TE]),
            frame("CdTe", "v_Cd_0", "Rattled", 2.0, numbers=[CD, TE, TE]),
        ),
    )


@pytest.fixture
def predict_with(dataset):
    """Makes predictions from those of the reference: errors of the energies (eV), by index of the frame."""

    def make(errors=(), *, force=0.0, stress=0.0):
        energies = np.array([frame.energy for frame in dataset.frames])
        for index, error in dict(errors).items():
            energies[index] += error
        return Predictions(
            potential="tuned",
            digest="cd" * 32,
            level_of_theory="M3GNet tuned",
            energies=energies,
            forces=tuple(frame.forces + force for frame in dataset.frames),
            stresses=np.full((len(dataset), 3, 3), stress),
        )

    return make
