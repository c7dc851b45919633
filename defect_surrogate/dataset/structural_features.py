"""Fixed-length features of whole frames, for choosing among them: who is how far from whom.

Radial distribution functions of each atom, weighted by properties of the two atoms (atomic-property-weighted RDF, Fernandez et
al., doi:10.1021/jp404287t), tell distances and, through the weights, elements; their length does not grow with the number of
elements. Mean and standard deviation over the atoms make features of the frame: a defect changes few atoms, which the standard
deviation sees. They do not change under rotation, translation, exchange of like atoms, or repetition of the cell.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from pymatgen.optimization.neighbors import find_points_in_spheres

from defect_surrogate.dataset.frames import LabelledFrame

CUTOFF = 6.0
"""Å. Second neighbours and beyond in most crystals; our choice, as is the spacing."""

SPACING = 0.3
"""Å. Between the centres of the Gaussians, and their width."""


def structural_features(frames: Sequence[LabelledFrame]) -> NDArray[np.float64]:
    """Features of frames.

    Parameters
    ----------
    frames
        n_frames frames, each with a cell that is periodic in three directions.

    Returns
    -------
    ndarray
        Shape (n_frames, n_features): mean, then standard deviation over atoms, of the RDFs weighted with 1, with the product of
        Pauling electronegativities, and with the product of atomic radii in Å; per atom, per Å.
    """
    return np.array([_features(frame) for frame in frames])


def _features(frame: LabelledFrame) -> NDArray[np.float64]:
    positions = np.ascontiguousarray(frame.positions, dtype=np.float64)
    cell = np.ascontiguousarray(frame.cell, dtype=np.float64)
    centres, others, _, distances = find_points_in_spheres(
        all_coords=positions, center_coords=positions, r=CUTOFF, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
    )
    pairs = distances > 1e-8
    centres, others, distances = centres[pairs], others[pairs], distances[pairs]
    grid = np.arange(SPACING, CUTOFF, SPACING)
    fade = 0.5 * (1.0 + np.cos(np.pi * distances / CUTOFF)) / (SPACING * np.sqrt(2.0 * np.pi))
    gaussians = np.exp(-0.5 * ((distances[:, None] - grid) / SPACING) ** 2) * fade[:, None]
    per_atom = []
    for weights in _weights(frame.numbers):
        rdf = np.zeros((len(positions), len(grid)))
        np.add.at(rdf, centres, gaussians * (weights[centres] * weights[others])[:, None])
        per_atom.append(rdf)
    table = np.hstack(per_atom)
    return np.concatenate([table.mean(axis=0), table.std(axis=0)])


def _weights(numbers: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    elements = {int(number): Element.from_Z(int(number)) for number in np.unique(numbers)}
    electronegativity = {number: np.nan_to_num(float(element.X)) for number, element in elements.items()}
    radius = {number: float(element.atomic_radius or 0.0) for number, element in elements.items()}
    return (
        np.ones(len(numbers)),
        np.array([electronegativity[int(number)] for number in numbers]),
        np.array([radius[int(number)] for number in numbers]),
    )
