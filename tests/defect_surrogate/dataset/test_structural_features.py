from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from defect_surrogate.dataset.structural_features import CUTOFF, SPACING, structural_features


@pytest.fixture
def frame(labelled, zincblende_cdte):
    """Rattled CdTe, 16 atoms."""

    def make(structure=None, seed=1):
        structure = structure or (zincblende_cdte * (2, 2, 2)).perturb(0.1, seed=seed)
        return replace(
            labelled(),
            numbers=np.array(structure.atomic_numbers),
            positions=structure.cart_coords,
            cell=structure.lattice.matrix,
        )

    return make


def features(frame) -> np.ndarray:
    return structural_features([frame])[0]


def test_motions_and_names_that_change_nothing_change_nothing(frame):
    one = frame()
    rotation = Rotation.from_euler("xyz", [0.3, -1.0, 2.0]).as_matrix()
    order = np.random.default_rng(0).permutation(len(one.numbers))
    same = {
        "rotated": replace(one, positions=one.positions @ rotation.T, cell=one.cell @ rotation.T),
        "moved": replace(one, positions=one.positions + np.array([0.3, 5.0, -7.0])),
        "exchanged": replace(one, positions=one.positions[order], numbers=one.numbers[order]),
        "repeated": frame(one.structure * (2, 1, 1)),
    }
    for name, other in same.items():
        np.testing.assert_allclose(features(other), features(one), atol=1e-9, err_msg=name)


def test_structure_and_elements_are_told_apart(frame, zincblende_cdte):
    bulk = zincblende_cdte * (2, 2, 2)
    vacancy = bulk.copy()
    vacancy.remove_sites([0])
    selenide = bulk.copy()
    selenide.replace_species({"Te": "Se"})
    vectors = structural_features([frame(s) for s in (bulk, vacancy, selenide, bulk.copy().scale_lattice(900))])
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    assert (distances + np.eye(4) > 0.01).all()


def test_in_a_perfect_crystal_of_one_element_all_atoms_are_alike(frame):
    values = features(frame(Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]]) * (2, 2, 2)))
    mean, deviation = np.split(values, 2)
    np.testing.assert_allclose(deviation, 0, atol=1e-12)
    rdf = mean[: len(mean) // 3]
    grid = np.arange(SPACING, CUTOFF, SPACING)
    shells = [(3.0, 6), (3.0 * 2**0.5, 12), (3.0 * 3**0.5, 8)]
    expected = sum(
        count * 0.5 * (1 + np.cos(np.pi * r / CUTOFF)) * np.exp(-0.5 * ((r - grid) / SPACING) ** 2)
        for r, count in shells
    ) / (SPACING * (2 * np.pi) ** 0.5)
    np.testing.assert_allclose(rdf, expected, atol=1e-9)
