"""What a search has of a vacancy and of a host: where it starts, its units, and what came of them."""

from dataclasses import dataclass

from defect_surrogate.distortions import SamplingSet, SamplingStructure, is_led
from defect_surrogate.hosts import Host
from defect_surrogate.minima import LocalMinimum
from defect_surrogate.relaxation import Level, Relaxation, Unit
from defect_surrogate.vacancies import Vacancy


@dataclass(frozen=True)
class Starts:
    """Where the search of a vacancy starts.

    Attributes
    ----------
    surrogate
        Starts at the surrogate level.
    full
        Starts of a full reference search, or of it ``Unperturbed`` alone.
    standard
        How many the full reference search has; as many as are in ``full`` when None.
    """

    surrogate: SamplingSet
    full: SamplingSet
    standard: int | None = None


@dataclass(frozen=True)
class VacancySearch:
    """What was searched for one vacancy, and what came of it.

    Attributes
    ----------
    sampling
        Its starts at the surrogate level.
    full
        Its starts in a full reference search; in a host the same, in an alloy ``Unperturbed`` alone unless one is asked for.
    standard
        How many starts a full reference search has, asked for or not.
    surrogate, reference
        The units of each level.
    surrogate_minima
        Distinct minima of the surrogate, ascending in energy.
    relaxations
        Results of both levels by name of the unit.
    transferred
        Starts at the reference level that are minima of other environments there.
    """

    sampling: SamplingSet
    full: SamplingSet
    standard: int
    surrogate: tuple[Unit, ...]
    reference: tuple[Unit, ...]
    surrogate_minima: tuple[LocalMinimum, ...]
    relaxations: dict[str, Relaxation]
    transferred: tuple[SamplingStructure, ...] = ()

    @property
    def vacancy(self) -> Vacancy:
        """The vacancy."""
        return self.sampling.structures[0].vacancy

    def by_label(self, level: Level) -> dict[str, Relaxation]:
        """Relaxations of one level by distortion label."""
        units = self.surrogate if level == "surrogate" else self.reference
        return {unit.label: self.relaxations[unit.name] for unit in units if unit.name in self.relaxations}

    @property
    def planned(self) -> tuple[str, ...]:
        """Labels of what is relaxed at the reference level, besides ``Unperturbed`` and what only a full search has."""
        return tuple(unit.label for unit in self.reference if is_led(unit.label))


@dataclass(frozen=True)
class HostSearch:
    """What was searched for one host, and what came of it.

    Attributes
    ----------
    host
        The host, with its relaxed cell if there is one.
    unit
        Unit of the host's own relaxation; None if its cell is used as given.
    relaxation
        Its result, if it has one.
    vacancies
        One for each vacancy; empty while the host's relaxation is missing.
    cell
        How the cell of an alloy was made, in words; None for a host that was read.
    """

    host: Host
    unit: Unit | None
    relaxation: Relaxation | None
    vacancies: tuple[VacancySearch, ...]
    cell: str | None = None

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, in the order of the search."""
        own = () if self.unit is None else (self.unit,)
        return own + tuple(unit for one in self.vacancies for unit in one.surrogate + one.reference)
