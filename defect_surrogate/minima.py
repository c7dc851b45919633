"""Distinct local minima among relaxed structures, told apart by the SOAP fingerprint of the defect site.

The atoms around the (empty) site are expanded in a smooth overlap of atomic positions (SOAP, doi:10.1103/PhysRevB.87.184115),
computed by dscribe (doi:10.1016/j.cpc.2019.106949). The vector does not change under rotation of the crystal, nor under
exchange of atoms of one element. Two relaxed structures are one minimum when the cosine distance of their vectors is below a
threshold and their energies agree. Parameters are those of the paper (doi:10.1038/s41524-024-01303-9); it gives no threshold,
so that is our choice: in hybrid-DFT structures of the Cd vacancy in CdTe the distance is about 1e-6 within a basin and 6e-3
between the dimer and the tetrahedral structure. The vector does not see beyond its cutoff, and in a soft crystal relaxed
structures 0.3 eV apart had the same site; within a basin the energy differs by the noise of a relaxation.

Clusters are the connected components of the graph of pairs below the threshold (single linkage), so they do not depend on the
order of the input. The price is chaining: a row of structures, each close to the next in both, is one minimum.

A relaxed supercell may have moved as a whole: the rattle of ShakeNBreak shifts the mean of 63 atoms by about 0.1 Å, and nothing
pulls it back. The lattice site is therefore moved along with the atoms, by the median of their displacements from the ideal
structure; the median is blind to the few atoms that reconstruct.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dscribe.descriptors import SOAP
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.sparse.csgraph import connected_components

from defect_surrogate.errors import DefectSurrogateError, InputError
from defect_surrogate.ideal_sites import rigid_drift
from defect_surrogate.relaxation import Relaxation
from defect_surrogate.settings import MinimaSettings


@dataclass(frozen=True)
class LocalMinimum:
    """A basin that one or more relaxations ended in.

    Attributes
    ----------
    label
        Distortion whose relaxation has the lowest energy; it represents the basin.
    labels
        Every distortion that ended here, sorted.
    relaxation
        The representative.
    fingerprint
        SOAP vector of the defect site, shape (d,), dimensionless, of unit norm.
    """

    label: str
    labels: tuple[str, ...]
    relaxation: Relaxation
    fingerprint: NDArray[np.float64]


def find_minima(
    relaxations: Mapping[str, Relaxation],
    site: Sequence[float] | NDArray[np.float64],
    settings: MinimaSettings,
    *,
    ideal: Structure | None = None,
) -> tuple[LocalMinimum, ...]:
    """Group relaxations of one defect into distinct minima.

    Parameters
    ----------
    relaxations
        Relaxations of one level of theory by distortion label. Diverged ones are left out.
    site
        Fractional coordinates of the defect site in the ideal structure, shape (3,).
    settings
        SOAP parameters, threshold of the cosine distance (dimensionless) and tolerance of the energy (eV).
    ideal
        Ideal structure, its n sites in the order of the relaxed structures, from which a drift of the whole crystal is
        measured. Without it no drift is assumed.

    Returns
    -------
    tuple of LocalMinimum
        Ascending in energy, ties by label; empty when no relaxation can be ranked. It does not depend on the order of
        ``relaxations``.

    Raises
    ------
    InputError
        If the relaxations are of both levels of theory, or a structure does not have the sites of ``ideal``.
    DefectSurrogateError
        If no atom is near the site in one of the structures.
    """
    ranked = _rankable(relaxations)
    fingerprints = _fingerprints(ranked, site, settings, ideal=ideal)
    labels = list(ranked)
    minima = []
    for cluster in _components(ranked, fingerprints, settings):
        lowest = min(cluster, key=lambda i: (ranked[labels[i]].energy, labels[i]))
        minima.append(
            LocalMinimum(
                label=labels[lowest],
                labels=tuple(sorted(labels[i] for i in cluster)),
                relaxation=ranked[labels[lowest]],
                fingerprint=fingerprints[lowest],
            )
        )
    return tuple(sorted(minima, key=lambda minimum: (minimum.relaxation.energy, minimum.label)))


def sensitivity(
    relaxations: Mapping[str, Relaxation],
    site: Sequence[float] | NDArray[np.float64],
    settings: MinimaSettings,
    *,
    thresholds: Sequence[float] = (),
    tolerances: Sequence[float] = (),
    ideal: Structure | None = None,
) -> tuple[tuple[tuple[float, int], ...], tuple[tuple[float, int], ...]]:
    """Count the distinct minima for other thresholds of the cosine distance, and for other tolerances of the energy.

    Parameters
    ----------
    relaxations, site, settings, ideal
        As for ``find_minima``, fractional, shape (3,).
    thresholds, tolerances
        Cosine distances (dimensionless) and energies (eV), each above 0.

    Returns
    -------
    tuple of two tuples of (float, int)
        Threshold and number of minima, then tolerance and number of minima, in the order given.

    Raises
    ------
    InputError, DefectSurrogateError
        As ``find_minima``.
    """
    ranked = _rankable(relaxations)
    fingerprints = _fingerprints(ranked, site, settings, ideal=ideal)

    def count(**changed: float) -> int:
        return len(_components(ranked, fingerprints, settings.model_copy(update=changed)))

    return (
        tuple((value, count(distance_threshold=value)) for value in thresholds),
        tuple((value, count(energy_tolerance=value)) for value in tolerances),
    )


def site_fingerprint(
    structure: Structure,
    position: Sequence[float] | NDArray[np.float64],
    settings: MinimaSettings,
    *,
    species: Sequence[str],
) -> NDArray[np.float64]:
    """SOAP vector of the surroundings of a point.

    Parameters
    ----------
    structure
        Periodic structure, without the defect atom if the site is empty.
    position
        Fractional coordinates of the point, shape (3,).
    settings
        SOAP parameters.
    species
        Symbols of all elements that may occur; fingerprints are comparable only for the same species.

    Returns
    -------
    ndarray
        Shape (d,), dimensionless, unit norm.

    Raises
    ------
    DefectSurrogateError
        If no atom is near the point.
    """
    soap = SOAP(
        species=sorted(set(species)),
        r_cut=settings.soap_cutoff,
        n_max=settings.soap_n_max,
        l_max=settings.soap_l_max,
        sigma=settings.soap_sigma,
        periodic=True,
    )
    centre = structure.lattice.get_cartesian_coords(np.asarray(position, dtype=float))
    vector = np.asarray(soap.create(_atoms(structure), centers=[centre])[0], dtype=np.float64)
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0:
        raise DefectSurrogateError(
            f"{structure.formula}: no atom within {settings.soap_cutoff} Å of the site {np.round(position, 4).tolist()}"
        )
    return vector / norm


def cosine_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Cosine distance of two vectors.

    Parameters
    ----------
    a, b
        Shape (d,), not zero.

    Returns
    -------
    float
        1 − a·b/(|a||b|), between 0 and 2.
    """
    return float(np.clip(1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), 0.0, 2.0))


def _rankable(relaxations: Mapping[str, Relaxation]) -> dict[str, Relaxation]:
    levels = sorted({relaxation.level for relaxation in relaxations.values()})
    if len(levels) > 1:
        raise InputError(f"relaxations of different levels of theory cannot be ranked together: {levels}")
    return {
        label: relaxations[label]
        for label in sorted(relaxations)
        if relaxations[label].rankable and np.isfinite(relaxations[label].energy)
    }


def _fingerprints(
    relaxations: Mapping[str, Relaxation],
    site: Sequence[float] | NDArray[np.float64],
    settings: MinimaSettings,
    *,
    ideal: Structure | None,
) -> list[NDArray[np.float64]]:
    species = {atom.specie.symbol for relaxation in relaxations.values() for atom in relaxation.structure}
    fingerprints = []
    for label, relaxation in relaxations.items():
        try:
            drift = 0.0 if ideal is None else rigid_drift(relaxation.structure, ideal=ideal)
            position = np.asarray(site, dtype=float) + drift
            fingerprints.append(site_fingerprint(relaxation.structure, position, settings, species=sorted(species)))
        except DefectSurrogateError as error:
            raise type(error)(f"{label}: {error}") from error
    return fingerprints


def _components(
    relaxations: Mapping[str, Relaxation], fingerprints: Sequence[NDArray[np.float64]], settings: MinimaSettings
) -> list[list[int]]:
    if not fingerprints:
        return []
    energies = np.array([relaxation.energy for relaxation in relaxations.values()])
    distances = np.array([[cosine_distance(a, b) for b in fingerprints] for a in fingerprints])
    near = np.abs(np.subtract.outer(energies, energies)) <= settings.energy_tolerance
    close = near & (distances < settings.distance_threshold)
    count, membership = connected_components(close, directed=False)
    return [np.flatnonzero(membership == component).tolist() for component in range(count)]


def _atoms(structure: Structure) -> object:
    return AseAtomsAdaptor.get_atoms(structure.copy().remove_oxidation_states(), msonable=False)
