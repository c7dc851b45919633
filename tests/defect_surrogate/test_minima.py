"""Minima of real hybrid-DFT relaxations, and what the fingerprint must not depend on."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from defect_surrogate.errors import DefectSurrogateError, InputError
from defect_surrogate.finished_search import FinishedSearch, read_finished_searches
from defect_surrogate.ideal_sites import rigid_drift
from defect_surrogate.minima import cosine_distance, find_minima, sensitivity, site_fingerprint
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.settings import MinimaSettings

SITE = (0.0, 0.0, 0.0)
SOAP = MinimaSettings()
SPECIES = ("Cd", "Te")


@pytest.fixture(scope="module")
def search(hse_search) -> FinishedSearch:
    bulk = Structure.from_file(hse_search / "bulk_POSCAR")
    return read_finished_searches(hse_search, bulk=bulk).searches[0]


@pytest.fixture(scope="module")
def dimer(search) -> Structure:
    return search.relaxations["Bond_Distortion_-55.0%"].structure


@pytest.fixture(scope="module")
def tetrahedral(search) -> Structure:
    return search.relaxations["Unperturbed"].structure


def relaxation(structure: Structure, energy: float = -1.0, **changes) -> Relaxation:
    result = Relaxation(
        level="surrogate",
        structure=structure,
        energy=energy,
        steps=1,
        converged=True,
        reason="converged",
        detail="",
        provenance=Provenance(level_of_theory="test", method="test", seconds=0.0, evaluations=1, versions=()),
    )
    return replace(result, **changes)


def fingerprint(structure: Structure, position=SITE) -> np.ndarray:
    return site_fingerprint(structure, position, SOAP, species=SPECIES)


def turned(structure: Structure, rotation: np.ndarray) -> Structure:
    lattice = Lattice(structure.lattice.matrix @ rotation.T)
    return Structure(lattice, structure.species, structure.frac_coords)


def test_exactly_two_minima_in_hybrid_dft(search):
    minima = find_minima(search.relaxations, SITE, SOAP, ideal=search.defect.ideal_structure)
    assert [(m.label, len(m.labels)) for m in minima] == [
        ("Bond_Distortion_-55.0%", 14),
        ("Bond_Distortion_-52.5%", 12),
    ]
    assert minima[0].relaxation.energy - minima[1].relaxation.energy == pytest.approx(-0.7496, abs=1e-4)
    assert "Unperturbed" in minima[1].labels
    assert sorted(minima[0].labels + minima[1].labels) == sorted(search.relaxations)
    assert np.linalg.norm(minima[0].fingerprint) == pytest.approx(1.0)


@pytest.mark.parametrize("with_ideal", [False, True])
def test_distances_within_and_between_the_basins(search, with_ideal):
    ideal = search.defect.ideal_structure if with_ideal else None
    dimers, tetrahedra = find_minima(search.relaxations, SITE, SOAP, ideal=ideal)
    vectors = {}
    for label, result in search.relaxations.items():
        drift = rigid_drift(result.structure, ideal=ideal) if ideal else np.zeros(3)
        vectors[label] = fingerprint(result.structure, SITE + drift)
    within = [cosine_distance(vectors[a], vectors[b]) for m in (dimers, tetrahedra) for a in m.labels for b in m.labels]
    between = [cosine_distance(vectors[a], vectors[b]) for a in dimers.labels for b in tetrahedra.labels]
    assert max(within) < (1.5e-6 if with_ideal else 6e-6)
    assert min(between) == pytest.approx(6e-3, abs=4e-4)
    assert max(between) == pytest.approx(6e-3, abs=6e-4)


def test_the_count_does_not_hang_on_threshold_or_tolerance(search):
    ideal, thresholds = search.defect.ideal_structure, (1e-12, 1e-5, 1e-4, 1e-3, 5e-3, 1e-2)
    by_threshold, by_tolerance = sensitivity(
        search.relaxations, SITE, SOAP, thresholds=thresholds, tolerances=(0.01, 0.05, 0.5, 5.0), ideal=ideal
    )
    assert by_threshold == tuple(zip(thresholds, (26, 2, 2, 2, 2, 2), strict=True))
    assert by_tolerance == ((0.01, 2), (0.05, 2), (0.5, 2), (5.0, 2))
    alone = SOAP.model_copy(update={"energy_tolerance": 1.0})
    by_threshold, _ = sensitivity(search.relaxations, SITE, alone, thresholds=(5e-3, 1e-2), ideal=ideal)
    assert by_threshold == ((5e-3, 2), (1e-2, 1))


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_minima_do_not_depend_on_the_order_of_relaxations(search, data):
    labels = data.draw(st.permutations(sorted(search.relaxations)))[: data.draw(st.integers(2, 8))]
    shuffled = {label: search.relaxations[label] for label in labels}
    ordered = {label: search.relaxations[label] for label in sorted(labels)}
    found, expected = find_minima(shuffled, SITE, SOAP), find_minima(ordered, SITE, SOAP)
    assert [(m.label, m.labels) for m in found] == [(m.label, m.labels) for m in expected]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_fingerprint_does_not_depend_on_the_order_of_sites(dimer, seed):
    order = np.random.default_rng(seed).permutation(len(dimer))
    shuffled = Structure.from_sites([dimer[i] for i in order])
    assert fingerprint(shuffled) == pytest.approx(fingerprint(dimer), abs=1e-9)


@given(quaternion=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
@settings(max_examples=10, deadline=None)
def test_fingerprint_does_not_turn_with_the_crystal(dimer, quaternion):
    rotated = turned(dimer, Rotation.from_quat(quaternion).as_matrix())
    assert fingerprint(rotated) == pytest.approx(fingerprint(dimer), abs=1e-6)


@given(shift=st.tuples(*[st.floats(-2, 2)] * 3))
@settings(max_examples=10, deadline=None)
def test_fingerprint_moves_with_the_crystal(dimer, shift):
    moved = Structure(dimer.lattice, dimer.species, dimer.frac_coords + shift)
    assert fingerprint(moved, np.asarray(SITE) + shift) == pytest.approx(fingerprint(dimer), abs=1e-6)


def test_a_drifted_crystal_is_the_same_minimum(search, dimer):
    drifted = dimer.copy().translate_sites(range(len(dimer)), [0.04, -0.05, 0.03], frac_coords=True)  # 0.9 Å
    ideal = search.defect.ideal_structure
    drift = rigid_drift(drifted, ideal=ideal) - rigid_drift(dimer, ideal=ideal)
    assert drift == pytest.approx([0.04, -0.05, 0.03], abs=1e-9)
    pair = {"a": relaxation(dimer), "b": relaxation(drifted)}
    assert len(find_minima(pair, SITE, SOAP, ideal=ideal)) == 1
    assert len(find_minima(pair, SITE, SOAP)) == 2


def test_all_relaxations_at_one_minimum_are_one_minimum(tetrahedral):
    (minimum,) = find_minima({label: relaxation(tetrahedral) for label in "abc"}, SITE, SOAP)
    assert (minimum.label, minimum.labels) == ("a", ("a", "b", "c"))


def test_one_site_at_two_energies_is_two_minima(tetrahedral):
    # what a soft crystal does beyond the cutoff of the descriptor
    energies = {"a": -1.0, "b": -1.04, "c": -1.08, "d": -1.3}
    found = find_minima({label: relaxation(tetrahedral, energy) for label, energy in energies.items()}, SITE, SOAP)
    assert [(m.label, m.labels) for m in found] == [("d", ("d",)), ("c", ("a", "b", "c"))]
    wide = SOAP.model_copy(update={"energy_tolerance": 0.3})
    assert (
        len(find_minima({label: relaxation(tetrahedral, energy) for label, energy in energies.items()}, SITE, wide))
        == 1
    )


def test_a_chain_of_close_structures_is_one_minimum_in_any_order(dimer, tetrahedral):
    # on the line from dimer to tetrahedron each structure is close to the next, the ends are far apart
    step = tetrahedral.frac_coords - dimer.frac_coords
    step -= np.round(step)
    path = {
        f"{i:02d}": relaxation(Structure(dimer.lattice, dimer.species, dimer.frac_coords + i / 12 * step))
        for i in range(13)
    }
    ends = {label: path[label] for label in ("00", "12")}
    assert len(find_minima(ends, SITE, SOAP)) == 2
    for labels in (sorted(path), sorted(path, reverse=True), ["06", "00", "12", *sorted(path)]):
        assert len(find_minima({label: path[label] for label in labels}, SITE, SOAP)) == 1


def test_diverged_relaxations_are_left_out(dimer, tetrahedral):
    relaxations = {
        "exploded": relaxation(dimer, -1e6, reason="diverged", converged=False),
        "lost": relaxation(dimer, math.nan, reason="stopped", converged=False),
        "step limit": relaxation(tetrahedral, -2.0, reason="step limit", converged=False),
    }
    (minimum,) = find_minima(relaxations, SITE, SOAP)
    assert minimum.labels == ("step limit",)
    assert find_minima({"exploded": relaxations["exploded"]}, SITE, SOAP) == ()
    assert find_minima({}, SITE, SOAP) == ()


def test_the_levels_of_theory_are_not_ranked_together(dimer):
    both = {"a": relaxation(dimer), "b": relaxation(dimer, level="reference")}
    with pytest.raises(InputError, match=r"\['reference', 'surrogate'\]"):
        find_minima(both, SITE, SOAP)


def test_another_order_of_sites_than_the_ideal_one_is_refused(search, dimer):
    backwards = Structure.from_sites(dimer.sites[::-1])
    with pytest.raises(InputError, match="Dimer: Cd31 Te32: site 0 is Te, in the ideal structure Cd"):
        find_minima({"Dimer": relaxation(backwards)}, SITE, SOAP, ideal=search.defect.ideal_structure)


def test_an_empty_neighbourhood_is_refused():
    lonely = Structure(Lattice.cubic(40), ["Te"], [[0.5, 0.5, 0.5]])
    with pytest.raises(DefectSurrogateError, match=r"Dimer: Te1: no atom within 5.0 Å of the site \[0.0, 0.0, 0.0\]"):
        find_minima({"Dimer": relaxation(lonely)}, SITE, SOAP)


def test_one_fingerprint_takes_less_than_50_ms(dimer):
    fingerprint(dimer)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        fingerprint(dimer)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
