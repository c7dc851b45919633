"""Sampling structures of a vacancy, made by ShakeNBreak (doi:10.21105/joss.04817, method: doi:10.1038/s41524-023-00973-1)."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from doped.core import DefectEntry
from doped.core import Vacancy as DopedVacancy
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from shakenbreak.distortions import distort_and_rattle
from shakenbreak.input import Distortions

from defect_surrogate.hosts import Host
from defect_surrogate.quietly import quietly
from defect_surrogate.settings import DistortionSettings
from defect_surrogate.vacancies import Vacancy

logger = logging.getLogger(__name__)

LARGEST_DISTORTION = 0.6
"""Bond distortions run from -60 % to +60 %, ShakeNBreak's range (doi:10.1038/s41524-023-00973-1)."""

UNPERTURBED = "Unperturbed"

RATTLE_OF_BOND = 0.1
"""Standard deviation of the rattle, as a fraction of the bulk bond length: ShakeNBreak's default."""

CLOSEST = 1.0
"""Distance of two atoms, in Å, below which a start is dropped: ShakeNBreak's."""

TRANSFERRED = "Transferred_"
"""Beginning of the label of a start that is a minimum of another environment of an alloy."""

FROM_SURROGATE = "_from_surrogate"
"""Ending of the label of a reference relaxation that starts from a surrogate minimum, ShakeNBreak's ``_from_`` convention."""


@dataclass(frozen=True)
class SamplingStructure:
    """One start of the search.

    Attributes
    ----------
    vacancy
        The vacancy it samples.
    label
        ShakeNBreak's name: ``Unperturbed``, ``Bond_Distortion_-30.0%``, ``Rattled`` or ``Dimer``.
    structure
        Distorted supercell, without oxidation states.
    seed
        Seed of the rattle; None for ``Unperturbed``.
    """

    vacancy: Vacancy
    label: str
    structure: Structure
    seed: int | None


@dataclass(frozen=True)
class SamplingSet:
    """All starts of one vacancy.

    Attributes
    ----------
    structures
        ``Unperturbed`` first, then the bond distortions ascending, then ``Dimer``.
    dropped
        Labels dropped because two atoms came closer than 1 Å.
    duplicates
        Labels left out because an earlier start is nearly the same.
    """

    structures: tuple[SamplingStructure, ...]
    dropped: tuple[str, ...]
    duplicates: tuple[str, ...] = ()


def sampling_set(vacancy: Vacancy, host: Host, settings: DistortionSettings) -> SamplingSet:
    """Make the sampling structures of a vacancy: 15 with the paper's settings.

    ShakeNBreak distorts as many neighbours as electrons are missing (8 - n above four) and rattles the rest of the cell. It
    is called once for each label, with a seed of its own: given one seed it would use the same rattle for all. A vacancy
    with no missing electrons gets ``Rattled`` in place of the bond distortions.

    Parameters
    ----------
    vacancy
        The vacancy.
    host
        Its host.
    settings
        Increment, dimer length, rattle and seed.

    Returns
    -------
    SamplingSet
        The structures, and the labels of those dropped for an interatomic distance below 1 Å.
    """
    entry = _defect_entry(vacancy, host)
    count = _steps(settings)
    factors = [round(i * settings.increment, 3) for i in range(-count, count + 1)]
    requests: list[float | str] = ["Rattled"] if vacancy.missing_electrons == 0 else [*factors]
    structures = [SamplingStructure(vacancy, UNPERTURBED, vacancy.ideal_structure, None)]
    dropped = []
    for request in [*requests, *([] if settings.dimer_bond_length is None else ["Dimer"])]:
        label = request if isinstance(request, str) else f"Bond_Distortion_{request + 0.0:.1%}"
        seed = _seed(settings.seed, vacancy, label)
        structure = _distorted(
            entry, host, settings, request=0.0 if request == "Rattled" else request, label=label, seed=seed
        )
        if structure is None:
            dropped.append(label)
        else:
            structures.append(SamplingStructure(vacancy, label, structure, seed))
    if dropped:
        logger.warning("%s/%s: dropped, atoms closer than 1 Å: %s", host.name, vacancy.label, ", ".join(dropped))
    return SamplingSet(tuple(structures), tuple(dropped))


def sampling_size(missing_electrons: int | None, settings: DistortionSettings) -> int:
    """Count the sampling structures of a vacancy without making them.

    Parameters
    ----------
    missing_electrons
        Of the vacancy; None when not known.
    settings
        Increment and dimer.

    Returns
    -------
    int
        As many as ``sampling_set`` makes, if it drops none.
    """
    requests = 1 if missing_electrons == 0 else 2 * _steps(settings) + 1
    return 1 + requests + (settings.dimer_bond_length is not None)


def _steps(settings: DistortionSettings) -> int:
    """Count the bond distortions on either side of none."""
    return int(LARGEST_DISTORTION / settings.increment + 1e-9)


def distort_sites(
    vacancy: Vacancy, host: Host, sites: Sequence[int], *, distortion: float, label: str, settings: DistortionSettings
) -> SamplingStructure | None:
    """Change the distances of given neighbours to the vacant site together, and rattle the rest of the cell.

    Parameters
    ----------
    vacancy
        The vacancy.
    host
        Its host.
    sites
        Indices of the neighbours in the ideal structure.
    distortion
        Fractional change of the distances, e.g. −0.3.
    label
        Of the start, from which its seed is derived.
    settings
        Rattle and seed.

    Returns
    -------
    SamplingStructure or None
        None where two atoms came closer than 1 Å, which ShakeNBreak drops, too.
    """
    ideal = vacancy.ideal_structure.copy()
    ideal.add_oxidation_state_by_element(host.oxidation_states)
    seed = _seed(settings.seed, vacancy, label)
    with quietly():
        distorted = distort_and_rattle(
            ideal,
            distortion_factor=1 + distortion,
            num_nearest_neighbours=len(sites),
            frac_coords=np.array(vacancy.fractional_position),
            distorted_atoms=list(sites),
            stdev=settings.rattle_standard_deviation or RATTLE_OF_BOND * closest_distance(host.supercell),
            seed=seed,
        )
    structure = distorted["distorted_structure"].copy()
    structure.remove_oxidation_states()
    if closest_distance(structure) < CLOSEST:
        return None
    return SamplingStructure(vacancy, label, structure, seed)


def is_led(label: str) -> bool:
    """Whether a reference relaxation starts from a minimum, of the surrogate or of another environment.

    Parameters
    ----------
    label
        Distortion label at the reference level.

    Returns
    -------
    bool
        Not so for ``Unperturbed``, and for the sampling structures of a full reference search.
    """
    return label.endswith(FROM_SURROGATE) or label.startswith(TRANSFERRED)


def closest_distance(structure: Structure) -> float:
    """Return the shortest distance between two of at least two atoms, nearest images, in Å."""
    distances = structure.distance_matrix
    return float(distances[np.triu_indices(len(structure), k=1)].min())


def _defect_entry(vacancy: Vacancy, host: Host) -> DefectEntry:
    bulk = host.supercell.copy()
    bulk.add_oxidation_state_by_element(host.oxidation_states)
    ideal = vacancy.ideal_structure.copy()
    ideal.add_oxidation_state_by_element(host.oxidation_states)
    defect = DopedVacancy(bulk, bulk[vacancy.site_index], oxi_state=-host.oxidation_states[vacancy.element])
    return DefectEntry(
        defect=defect,
        charge_state=vacancy.charge,
        sc_entry=ComputedStructureEntry(ideal, 0.0),
        bulk_entry=ComputedStructureEntry(bulk, 0.0),
        sc_defect_frac_coords=np.array(vacancy.fractional_position),
        name=vacancy.label,
    )


def _distorted(
    entry: DefectEntry, host: Host, settings: DistortionSettings, *, request: float | str, label: str, seed: int
) -> Structure | None:
    with quietly() as captured:
        distortions = Distortions(
            [entry],
            oxidation_states=dict(host.oxidation_states),
            bond_distortions=[request],
            dimer_bond_length=settings.dimer_bond_length,
            stdev=settings.rattle_standard_deviation,
            seed=seed,
        )
        by_defect, _ = distortions.apply_distortions(verbose=False)
    logger.debug("ShakeNBreak: %s", captured.getvalue())
    (defect,) = by_defect.values()
    (charge,) = defect["charges"].values()
    structure = charge["structures"]["distortions"].get(label)
    if structure is None:
        return None
    plain = structure.copy()
    plain.remove_oxidation_states()
    return plain


def _seed(seed: int, vacancy: Vacancy, label: str) -> int:
    """Derive a seed between 1 and 2³¹ - 1; ShakeNBreak takes 0 for "no seed given"."""
    text = f"{seed}/{vacancy.host}/{vacancy.label}/{label}"
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 2)
