"""The schema of ``alloy.json``: AlloyReport → CompositionReport → EnvironmentReport, plain values only.

Energies are in eV per supercell, times in s. A value that does not exist or was not computed is null. The columns are those of
Supplementary Table 17 of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9), and what our additions found.
"""

from dataclasses import dataclass

ALLOY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class EnvironmentReport:
    """What was searched and found for one vacancy of an alloy.

    Attributes
    ----------
    host
        Name of the supercell, e.g. ``CdTe0.5Se0.5-1``.
    realisation
        Its number.
    vacancy
        Name and charge, e.g. ``v_Cd_3Te1Se_0``.
    element
        Symbol of the removed element.
    environment
        Nearest neighbours, e.g. ``3 Te + 1 Se``, and the kind of lattice site where there are several.
    group
        Sites that the vacancy stands for, e.g. ``v_Cd_3Te1Se``: those with this environment, or this fingerprint.
    sites
        How many these are in the supercell.
    level
        Level of theory of the ground state: ``reference``, or ``surrogate`` while nothing has a result there; null for none.
    surrogate_structures
        Starts relaxed with the surrogate, those transferred from other environments among them.
    transferred_structures
        Of these, minima of other environments.
    duplicates
        Starts left out because another is nearly the same.
    dropped
        Starts dropped because two atoms came closer than 1 Å.
    surrogate_minima
        Distinct minima of the surrogate.
    reference_structures
        Starts of the coarse set; of which only ``Unperturbed`` is relaxed at the reference level unless all are.
    coarse_minima
        Distinct minima of the coarse search at the reference level; null unless it was run.
    minima
        Distinct minima of surrogate + reference; null without a reference relaxation.
    reference_relaxations
        Reference relaxations that surrogate + reference needs.
    coarse_bonds
        New bonds in the ground state of the coarse search in words, e.g. ``Se–Te``, ``no new bonds``; null unless it was run.
    bonds
        The same of the ground state of surrogate + reference; of the surrogate alone where there is no reference.
    motif
        Its new bonds with their lengths.
    bond_counts
        New bonds in it, by kind.
    energy_lowering
        E(ground state) − E(relaxed ``Unperturbed``), eV, at ``level``.
    energy_difference
        E(surrogate + reference) − E(coarse search), eV; null unless both were run.
    found_or_lower
        Whether it is at most 0.05 eV above; null while that is not known.
    lower
        Whether it is more than 0.05 eV below; null while that is not known.
    unperturbed_bonds
        Kinds of new bonds of the relaxed ``Unperturbed``, from which energy lowering is counted, as in ``bonds``; where it has
        any, the lowering is no measure of the reconstruction, and is left out of means. Null without a result.
    transfer_gain
        How much the minima of other environments, offered as starts, brought the ground state down below what the other starts
        that were followed led to, eV, at most 0; null when none were offered.
    dft_saved
        Share of the reference relaxations: 1 − (those after the surrogate) / (structures of the coarse set); null without a
        surrogate.
    speedup
        Ratio t(coarse search) / (t(reference relaxations of the minima) + t(surrogate)); null while that is not known.
    surrogate_seconds, reference_seconds, coarse_seconds
        Sums of wall times, s; null when not known.
    unfinished
        Planned units without a result.
    failures
        Units that broke.
    """

    host: str
    realisation: int
    vacancy: str
    element: str
    environment: str
    group: str
    sites: int
    level: str | None
    surrogate_structures: int
    transferred_structures: int
    duplicates: int
    dropped: int
    surrogate_minima: int
    reference_structures: int
    coarse_minima: int | None
    minima: int | None
    reference_relaxations: int
    coarse_bonds: str | None
    bonds: str | None
    motif: str | None
    bond_counts: dict[str, int]
    energy_lowering: float | None
    energy_difference: float | None
    found_or_lower: bool | None
    lower: bool | None
    unperturbed_bonds: str | None
    transfer_gain: float | None
    dft_saved: float | None
    speedup: float | None
    surrogate_seconds: float | None
    reference_seconds: float | None
    coarse_seconds: float | None
    unfinished: int
    failures: int


@dataclass(frozen=True)
class StatisticReport:
    """How often an environment occurs at a composition.

    Attributes
    ----------
    element
        Symbol of the element whose sites these are.
    environment
        Nearest neighbours.
    sites
        Sites with it in each realisation.
    mean_share
        Mean over realisations of their share of the element's sites.
    deviation
        Standard deviation of that share over realisations; null for one.
    probability
        Share in a random alloy: binomial, of several species multinomial.
    """

    element: str
    environment: str
    sites: tuple[int, ...]
    mean_share: float
    deviation: float | None
    probability: float


@dataclass(frozen=True)
class CompositionReport:
    """What was searched and found at one composition.

    Attributes
    ----------
    name
        Its formula, e.g. ``CdTe0.5Se0.5``.
    requested
        Fraction of the mixing sublattice that was asked for, by species.
    achieved
        The fraction that the supercells have.
    x
        Achieved fraction of the second species where there are two; null where there are more.
    volume_per_atom
        Of each supercell, Å³.
    energy_lowering
        Mean lowering by element, eV, environments weighted by their probabilities in the random alloy; at the reference level
        where one vacancy has a result there, else at the surrogate's.
    covered
        Share of a random alloy that the environments in that mean have, by element.
    statistics
        Environments of the supercells, searched or not.
    rows
        One for each vacancy searched.
    unfinished
        Relaxations of end members and of supercells without a vacancy that have no result: without them the vacancies are not
        known.
    """

    name: str
    requested: dict[str, float]
    achieved: dict[str, float]
    x: float | None
    volume_per_atom: tuple[float, ...]
    energy_lowering: dict[str, float]
    covered: dict[str, float]
    statistics: tuple[StatisticReport, ...]
    rows: tuple[EnvironmentReport, ...]
    unfinished: int


@dataclass(frozen=True)
class AlloyReport:
    """The content of ``alloy.json``.

    Attributes
    ----------
    schema_version
        Version of this schema.
    created
        UTC time the report was made, ISO 8601.
    name
        The alloy, e.g. ``Cd(Te,Se)``.
    surrogate, reference
        Levels of theory; null for one that was not used.
    n_environments
        Vacancies that were searched.
    compared
        Of these, vacancies whose coarse search was run to its end, too.
    found_or_lower
        Of those compared, with the coarse search's ground state or a lower one.
    lower
        Of those compared, with a lower one.
    mean_lowering_eV
        Mean of ``energy_difference`` over those with a lower one, eV; null for none.
    dft_saved
        Mean share of reference relaxations over the vacancies; null for none.
    speedup_median
        Median speed-up over those compared; null for none.
    compositions
        In the order of the settings.
    lost
        What compositions without a report broke with, by name.
    versions
        Library name → version.
    """

    schema_version: int
    created: str
    name: str
    surrogate: str | None
    reference: str | None
    n_environments: int
    compared: int
    found_or_lower: int
    lower: int
    mean_lowering_eV: float | None
    dft_saved: float | None
    speedup_median: float | None
    compositions: tuple[CompositionReport, ...]
    lost: dict[str, str]
    versions: dict[str, str]

    @property
    def rows(self) -> tuple[EnvironmentReport, ...]:
        """One for each vacancy searched, of all compositions."""
        return tuple(row for one in self.compositions for row in one.rows)
