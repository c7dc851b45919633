"""The schema of ``campaign.json``: CampaignReport → HostReport → VacancyReport, plain values only.

Energies are in eV per supercell, lengths in Å, times in s. A value that does not exist or was not computed is null; no
field is ever NaN or infinite. The terms are those of ``docs/reference/campaign-json.md``.
"""

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class BondReport:
    """A new anion–anion bond: shorter than the sum of covalent radii with a tolerance, absent from ideal and host.

    Attributes
    ----------
    elements
        Symbols of the two atoms, alphabetical.
    sites
        Indices of the two atoms in the structure.
    length
        Å.
    """

    elements: tuple[str, str]
    sites: tuple[int, int]
    length: float


@dataclass(frozen=True)
class MinimumReport:
    """A distinct minimum.

    Attributes
    ----------
    label
        Distortion whose relaxation has the lowest energy of the cluster.
    labels
        Every distortion that ended in this minimum, sorted.
    energy
        eV per supercell, at the level of the list the minimum is in.
    relative_energy
        Energy above the lowest minimum of the same level, eV.
    converged
        Whether the representative relaxation met its criterion.
    motif
        In words, e.g. ``Te–Te dimer, 2.76 Å`` or ``no new bonds``.
    bonds
        New anion–anion bonds.
    structure_file
        POSCAR of the minimum, relative to the run folder; null when it was not written.
    """

    label: str
    labels: tuple[str, ...]
    energy: float
    relative_energy: float
    converged: bool
    motif: str
    bonds: tuple[BondReport, ...]
    structure_file: str | None


@dataclass(frozen=True)
class RelaxationReport:
    """One relaxation, in one line.

    Attributes
    ----------
    label
        Distortion of the starting structure.
    level
        ``surrogate`` or ``reference``.
    energy
        eV per supercell; null if diverged without a finite energy.
    steps
        Ionic steps.
    converged
        Whether the criterion was met.
    reason
        Why it stopped.
    detail
        The reason in numbers.
    seconds
        Wall time, s; null when not known.
    corrections
        What custodian changed.
    key
        Key of the unit in the archive; null when the relaxation was not made by this software.
    """

    label: str
    level: Literal["surrogate", "reference"]
    energy: float | None
    steps: int
    converged: bool
    reason: str
    detail: str
    seconds: float | None
    corrections: tuple[str, ...]
    key: str | None


@dataclass(frozen=True)
class FailureReport:
    """A unit that has no result, and why.

    Attributes
    ----------
    unit
        Name of the unit, e.g. ``CdTe/v_Cd_0/Dimer/reference``.
    error
        Class of the error.
    message
        What it said.
    """

    unit: str
    error: str
    message: str


@dataclass(frozen=True)
class ComparisonReport:
    """Surrogate + reference against the full reference search of the same sampling structures.

    Attributes
    ----------
    hit
        Whether surrogate + reference found an energy at most 0.05 eV above the lowest of the full reference search.
    new_ground_state
        Whether it found one lower by more than 0.05 eV.
    energy_difference
        E(surrogate + reference) − E(full reference search), eV.
    full_reference_ground_state
        Label of the lowest relaxation of the full reference search.
    missed_motif
        Motif of the ground state that was missed; null on a hit.
    speedup
        t(full reference search) / (t(reference relaxations of the minima) + t(surrogate)); null when a time is not known.
    """

    hit: bool
    new_ground_state: bool
    energy_difference: float
    full_reference_ground_state: str
    missed_motif: str | None
    speedup: float | None


@dataclass(frozen=True)
class VacancyReport:
    """What was searched and found for one vacancy.

    Attributes
    ----------
    name
        Name and charge, e.g. ``v_Cd_0``.
    element
        Symbol of the removed element.
    charge
        Charge state, units of e.
    site
        Fractional coordinates of the vacant site in the supercell.
    multiplicity
        Equivalent sites per primitive cell; null when not known.
    environment
        Nearest neighbours, e.g. ``4 Te``.
    missing_electrons
        Valence electrons taken away with the atom, after the charge; null when not known.
    sampling_structures
        How many were made.
    dropped
        Labels of those that ShakeNBreak dropped for too short distances.
    surrogate_minima
        Distinct minima of the surrogate, ascending in energy; null when no surrogate was used.
    minima
        Distinct minima of the reference level, ascending in energy; null when no reference relaxation finished.
    reference_relaxations
        Reference relaxations that surrogate + reference needs: the minima, and ``Unperturbed`` which energy lowering needs.
    ground_state
        Lowest minimum of the reference level; null when there is none.
    energy_lowering
        E(ground state) − E(relaxed ``Unperturbed``) at the reference level, eV; null without an ``Unperturbed``.
    dft_saved
        1 − (reference relaxations run after the surrogate) / (sampling structures), ``Unperturbed`` reference counted.
    dft_saved_without_unperturbed
        The same, without the ``Unperturbed`` reference.
    comparison
        Against the full reference search; null unless it was run.
    surrogate_seconds
        Sum of the wall times of the surrogate relaxations, s; null when not known.
    reference_seconds
        Sum of the wall times of the reference relaxations of surrogate + reference, s; null when not known.
    relaxations
        Every finished relaxation.
    failures
        Every unit without a result.
    """

    name: str
    element: str
    charge: int
    site: tuple[float, float, float]
    multiplicity: int | None
    environment: str
    missing_electrons: int | None
    sampling_structures: int
    dropped: tuple[str, ...]
    surrogate_minima: tuple[MinimumReport, ...] | None
    minima: tuple[MinimumReport, ...] | None
    reference_relaxations: int
    ground_state: MinimumReport | None
    energy_lowering: float | None
    dft_saved: float | None
    dft_saved_without_unperturbed: float | None
    comparison: ComparisonReport | None
    surrogate_seconds: float | None
    reference_seconds: float | None
    relaxations: tuple[RelaxationReport, ...]
    failures: tuple[FailureReport, ...]


@dataclass(frozen=True)
class HostReport:
    """What was searched and found for one host.

    Attributes
    ----------
    name
        Name of the host.
    formula
        Reduced formula.
    source
        Name of the file or identifier the host was read from.
    digest
        Digest of the host's unit cell as read.
    oxidation_states
        Of each element.
    supercell_atoms
        Atoms in the supercell without the vacancy.
    lattice
        Lattice vectors of the supercell, rows, Å.
    relaxed
        Whether the host was relaxed at the reference level first.
    surrogate
        Level of theory of the surrogate; null when none was used.
    reference
        Level of theory of the reference; null when no reference relaxation finished.
    vacancies
        One report each.
    failures
        Units of the host itself without a result.
    """

    name: str
    formula: str
    source: str
    digest: str
    oxidation_states: dict[str, float]
    supercell_atoms: int
    lattice: tuple[tuple[float, float, float], ...]
    relaxed: bool
    surrogate: str | None
    reference: str | None
    vacancies: tuple[VacancyReport, ...]
    failures: tuple[FailureReport, ...]


@dataclass(frozen=True)
class CampaignReport:
    """The content of ``campaign.json``.

    Attributes
    ----------
    schema_version
        Version of this schema.
    created
        UTC time the report was made, ISO 8601.
    settings_digest
        Digest of the settings of the run; null for an analysis of finished calculations.
    versions
        Library name → version.
    distance_threshold
        Cosine distance below which two structures are one minimum (our choice: the paper gives none).
    threshold_sensitivity
        Pairs of threshold and number of reference minima over all vacancies found with it.
    hosts
        One report each.
    """

    schema_version: int
    created: str
    settings_digest: str | None
    versions: dict[str, str]
    distance_threshold: float
    threshold_sensitivity: tuple[tuple[float, int], ...]
    hosts: tuple[HostReport, ...]
