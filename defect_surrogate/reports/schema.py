"""The schema of ``campaign.json``: CampaignReport → HostReport → VacancyReport → entries, plain values only.

Energies are in eV per supercell, lengths in Å, times in s. A value that does not exist or was not computed is null; no
field is ever NaN or infinite. ``docs/reference/campaign-json.md`` is made from the docstrings of these classes.
"""

from dataclasses import dataclass

from pydantic import JsonValue

from defect_surrogate.reports.entries import (
    BondReport,
    ComparisonReport,
    FailureReport,
    MethodReport,
    MinimumReport,
    RelaxationReport,
)

__all__ = [
    "SCHEMA_VERSION",
    "BondReport",
    "CampaignComparisonReport",
    "CampaignReport",
    "ComparisonReport",
    "FailureReport",
    "HostReport",
    "MethodReport",
    "MinimumReport",
    "RelaxationReport",
    "VacancyReport",
]

SCHEMA_VERSION = 3


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
        Equivalent sites per primitive cell, in an alloy sites with this environment per supercell; null when not known.
    environment
        Nearest neighbours, e.g. ``4 Te``.
    missing_electrons
        Valence electrons taken away with the atom, after the charge; null when not known.
    sampling_structures
        How many were made; in an alloy of the coarse set, which the full reference search relaxes.
    surrogate_structures
        Starts for the surrogate: the sampling structures, in an alloy the finer set and what other environments offer; null
        when no surrogate was used.
    dropped
        Labels of those dropped for too short distances.
    duplicates
        Labels of starts left out because another is nearly the same.
    surrogate_minima
        Distinct minima of the surrogate, ascending in energy; null when no surrogate was used.
    minima
        Distinct minima of the reference level that surrogate + reference found, ascending in energy; without a surrogate,
        of all reference relaxations. Null when no reference relaxation that can be ranked finished.
    full_reference_minima
        Distinct minima of the full reference search of all sampling structures; null unless it was run.
    reference_relaxations
        Reference relaxations that surrogate + reference needs: one for each surrogate minimum that is followed, and
        ``Unperturbed``, which energy lowering needs; 0 where the surrogate is used alone. Without a surrogate, how many there
        are.
    reference_transfers
        Of these, how many start from minima that other environments of the alloy have at the reference level.
    ground_state
        Lowest of ``minima``; null when there is none.
    energy_lowering
        E(ground state) − E(relaxed ``Unperturbed``) at the reference level, eV; null without an ``Unperturbed``.
    dft_saved
        1 − (reference relaxations run after the surrogate) / (sampling structures), the ``Unperturbed`` reference counted;
        null when no surrogate was used.
    dft_saved_without_unperturbed
        The same, the ``Unperturbed`` reference not counted.
    comparison
        Against the full reference search; null unless it was run.
    surrogate_seconds
        Sum of the wall times of the surrogate relaxations, s; null when not known.
    reference_seconds
        Sum of the wall times of the reference relaxations of surrogate + reference, s; null when not known.
    unperturbed_file
        POSCAR of the relaxed ``Unperturbed`` of the reference level, relative to the run folder; null without one.
    threshold_sensitivity
        Pairs of threshold (cosine distance) and number of ``minima`` found with it.
    tolerance_sensitivity
        Pairs of energy tolerance (eV) and number of ``minima`` found with it.
    methods
        Methods of ``relaxations``.
    relaxations
        Every finished relaxation, unconverged and diverged ones too.
    failures
        Every unit that broke.
    unfinished
        Planned units that have no result yet and have not broken.
    """

    name: str
    element: str
    charge: int
    site: tuple[float, float, float]
    multiplicity: int | None
    environment: str
    missing_electrons: int | None
    sampling_structures: int
    surrogate_structures: int | None
    dropped: tuple[str, ...]
    duplicates: tuple[str, ...]
    surrogate_minima: tuple[MinimumReport, ...] | None
    minima: tuple[MinimumReport, ...] | None
    full_reference_minima: tuple[MinimumReport, ...] | None
    reference_relaxations: int
    reference_transfers: int
    ground_state: MinimumReport | None
    energy_lowering: float | None
    dft_saved: float | None
    dft_saved_without_unperturbed: float | None
    comparison: ComparisonReport | None
    surrogate_seconds: float | None
    reference_seconds: float | None
    unperturbed_file: str | None
    threshold_sensitivity: tuple[tuple[float, int], ...]
    tolerance_sensitivity: tuple[tuple[float, int], ...]
    methods: tuple[MethodReport, ...]
    relaxations: tuple[RelaxationReport, ...]
    failures: tuple[FailureReport, ...]
    unfinished: int


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
    cell
        How the cell of an alloy was made; null for a host that was read.
    oxidation_states
        Of each element, units of e.
    supercell_atoms
        Atoms in the supercell without the vacancy.
    lattice
        Lattice vectors of the supercell, rows, Å.
    relaxation
        Relaxation of the host itself at the reference level, of an alloy's supercell with the surrogate; null when its cell was
        used as given, or has no result.
    surrogate
        Level of theory of the surrogate; null when none was used or no surrogate relaxation finished.
    reference
        Level of theory of the reference; null when no reference relaxation finished.
    reference_is_stand_in
        Whether the reference is ``vasp-xtb``, which stands in for VASP where there is no licence and is not hybrid DFT.
    methods
        Every method used for this host.
    vacancies
        One report each.
    failures
        Units of the host itself that broke.
    unfinished
        1 when the host itself is still to be relaxed, else 0; its vacancies are known only after that.
    """

    name: str
    formula: str
    source: str
    digest: str
    cell: str | None
    oxidation_states: dict[str, float]
    supercell_atoms: int
    lattice: tuple[tuple[float, float, float], ...]
    relaxation: RelaxationReport | None
    surrogate: str | None
    reference: str | None
    reference_is_stand_in: bool
    methods: tuple[MethodReport, ...]
    vacancies: tuple[VacancyReport, ...]
    failures: tuple[FailureReport, ...]
    unfinished: int


@dataclass(frozen=True)
class CampaignComparisonReport:
    """Figures of merit over all vacancies whose two searches were run to their ends.

    Attributes
    ----------
    vacancies
        How many these are.
    hits
        How many of these are hits.
    new_ground_states
        How many of these are new ground states.
    mean_dft_saved
        Mean of their ``dft_saved``; null when none is known.
    mean_speedup
        Arithmetic mean of the speed-ups; null when no times are known.
    median_speedup
        Median of the speed-ups; null when no times are known.
    ratio_of_totals
        Ratio of the total time of the full reference searches to that of surrogate + reference; null when not known.
    """

    vacancies: int
    hits: int
    new_ground_states: int
    mean_dft_saved: float | None
    mean_speedup: float | None
    median_speedup: float | None
    ratio_of_totals: float | None


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
        Digest of ``settings``; null for an analysis of finished calculations.
    settings
        Every setting of the run, as in its settings file; null for an analysis of finished calculations.
    versions
        Library name → version.
    distance_threshold
        Cosine distance of SOAP vectors below which two structures are one minimum (our choice: the paper gives none).
    energy_tolerance
        Energies within which two structures can be one minimum, eV.
    threshold_sensitivity
        Pairs of threshold (cosine distance) and sum over all vacancies of the ``minima`` found with it.
    tolerance_sensitivity
        Pairs of energy tolerance (eV) and sum over all vacancies of the ``minima`` found with it.
    comparison
        Against the full reference searches; null unless one was run to its end.
    hosts
        One report each.
    """

    schema_version: int
    created: str
    settings_digest: str | None
    settings: dict[str, JsonValue] | None
    versions: dict[str, str]
    distance_threshold: float
    energy_tolerance: float
    threshold_sensitivity: tuple[tuple[float, int], ...]
    tolerance_sensitivity: tuple[tuple[float, int], ...]
    comparison: CampaignComparisonReport | None
    hosts: tuple[HostReport, ...]
