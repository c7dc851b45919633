"""Energies of the elements that are planted are found again; where frames cannot tell them apart, the nearest to the start."""

import dataclasses

import numpy as np
import pytest

from defect_surrogate.errors import DatasetError
from defect_surrogate.training.reference_energies import fitted, isolated

ELEMENTS = ("Br", "Cl", "K", "Na")
PLANTED = np.array([-2.5, -3.0, -1.0, -1.5])


def counted(frame, rest=0.0):
    """The frame with an energy of planted energies alone, and a rest."""
    energy = sum(PLANTED[ELEMENTS.index(symbol)] for symbol in frame.symbols)
    return dataclasses.replace(frame, energy=float(energy + rest))


@pytest.fixture
def vacancies(frame):
    """One vacancy frame of each of four salts: four elements in four proportions."""
    cations = {"KBr": "K", "KCl": "K", "NaBr": "Na", "NaCl": "Na"}
    return [counted(frame(f"{host}/v_{cation}_0/Dimer/0")) for host, cation in cations.items()]


@pytest.fixture
def bulks(frame):
    return [counted(frame(f"{host}/bulk/Strained_00/0")) for host in ("KBr", "KCl", "NaBr", "NaCl")]


def test_planted_energies_are_recovered(vacancies, bulks):
    np.testing.assert_allclose(fitted(vacancies + bulks, elements=ELEMENTS), PLANTED, atol=1e-9)


def test_the_order_is_that_of_the_elements_asked_for(vacancies, bulks):
    order = ("Na", "Cl", "K", "Br")
    expected = [PLANTED[ELEMENTS.index(symbol)] for symbol in order]
    np.testing.assert_allclose(fitted(vacancies + bulks, elements=order), expected, atol=1e-9)


def test_what_the_network_says_of_interactions_is_left_out(vacancies, bulks):
    frames = vacancies + bulks
    rests = np.linspace(-4.0, 4.0, len(frames))
    bound = [dataclasses.replace(one, energy=one.energy + rest) for one, rest in zip(frames, rests, strict=True)]
    np.testing.assert_allclose(fitted(bound, elements=ELEMENTS, interactions=rests), PLANTED, atol=1e-9)
    assert np.abs(fitted(bound, elements=ELEMENTS) - PLANTED).max() > 0.01


@pytest.mark.parametrize("start", [None, np.array([-9.0, -2.0, 5.0, -4.0])])
def test_elements_that_always_come_together_stay_closest_to_the_start(bulks, start):
    """1:1 NaCl fixes the sum of Na and Cl alone: both move from the start by the same amount. Br and K do not move."""
    found = fitted([bulks[3]], elements=ELEMENTS, start=start)
    before = np.zeros(4) if start is None else start
    shift = (PLANTED[[1, 3]].sum() - before[[1, 3]].sum()) / 2
    np.testing.assert_allclose(found, before + np.array([0.0, shift, 0.0, shift]), atol=1e-9)


def test_a_fit_that_cannot_tell_elements_apart_says_so(bulks, vacancies, caplog):
    """Na and Cl always 1:1: removing an Na would cost the mean of both."""
    fitted([bulks[3]], elements=ELEMENTS)
    assert "2 elements (Cl, Na) from frames of only 1 independent compositions" in caplog.text
    caplog.clear()
    fitted([bulks[3]], elements=ELEMENTS, start=PLANTED)
    fitted(vacancies + bulks, elements=ELEMENTS)
    assert not caplog.text


def test_frames_count_by_atom_and_not_by_cell(frame, salt):
    """Two cells of one compound that disagree by 0.2 eV per atom; the fit lies between, however large one of them is."""
    low = counted(frame("NaCl/bulk/Strained_00/0"))
    atoms = salt() * (2, 1, 1)
    high = counted(frame("NaCl/bulk/Strained_01/0", atoms=atoms), rest=0.2 * len(atoms))
    found = fitted([low, high], elements=ELEMENTS)
    assert found[[1, 3]].sum() / 2 == pytest.approx(PLANTED[[1, 3]].sum() / 2 + 0.1)


def test_without_frames_or_with_a_strange_element_there_is_no_fit(vacancies):
    with pytest.raises(DatasetError, match="no frame to fit them to"):
        fitted([], elements=ELEMENTS)
    with pytest.raises(DatasetError, match=r"KBr/v_K_0/Dimer/0: Br, K is none of the model's elements Na, Cl"):
        fitted(vacancies, elements=("Na", "Cl"))


def test_isolated_atoms_are_ordered_and_missing_ones_named():
    energies = {"Na": -0.2, "Cl": -0.3, "K": -0.1}
    np.testing.assert_array_equal(isolated(energies, elements=("Cl", "Na")), [-0.3, -0.2])
    with pytest.raises(DatasetError, match="isolated_atoms: no energy of Br, Rb"):
        isolated(energies, elements=("Br", "Cl", "Rb"))
