"""Rows of vacancies: what the report server shows of each, and the same as CSV."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reports.schema import CampaignReport, HostReport, VacancyReport

_FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class VacancyRow:
    """What the table of vacancies shows of one.

    Attributes
    ----------
    run
        Names of the folders from the served one to that of the run.
    campaign
        Name of the campaign that the run is of; None for a single run.
    number
        Index among the vacancies of the run, by which its page names it.
    host, vacancy, element, charge, environment
        As in its report; charge in units of e.
    level_of_theory
        Of the reference level; None when nothing finished there.
    is_stand_in
        Whether that is ``vasp-xtb``, which stands in for VASP.
    motif
        New bonds of the ground state; None when none is known.
    energy_lowering
        E(ground state) − E(relaxed ``Unperturbed``), eV; None when not known.
    reference_relaxations
        How many surrogate + reference needs.
    sampling_structures
        How many were made.
    dft_saved
        Share of the reference relaxations saved, ``Unperturbed`` counted; None without a surrogate.
    converged
        Whether the relaxation of the ground state converged; None when that is not recorded, or there is none.
    failures, unfinished
        Number of units that broke, and of planned ones without a result.
    structure_file
        POSCAR of the ground state, relative to the run folder; None when none is known.
    """

    run: tuple[str, ...]
    campaign: str | None
    number: int
    host: str
    vacancy: str
    element: str
    charge: int
    environment: str
    level_of_theory: str | None
    is_stand_in: bool
    motif: str | None
    energy_lowering: float | None
    reference_relaxations: int
    sampling_structures: int
    dft_saved: float | None
    converged: bool | None
    failures: int
    unfinished: int
    structure_file: str | None

    @property
    def reconstructs(self) -> bool:
        """Whether the ground state lies lower than the relaxed ``Unperturbed`` by more than the tolerance of a hit."""
        return self.energy_lowering is not None and self.energy_lowering < -HIT_TOLERANCE

    @property
    def name(self) -> str:
        """Host and vacancy."""
        return f"{self.host}/{self.vacancy}"


def vacancy_rows(report: CampaignReport, *, run: tuple[str, ...], campaign: str | None) -> tuple[VacancyRow, ...]:
    """Make the rows of a run.

    Parameters
    ----------
    report
        Its report.
    run
        Names of the folders from the served one to that of the run.
    campaign
        Name of the campaign that the run is of; None for a single run.

    Returns
    -------
    tuple of VacancyRow
        In the order of the report.
    """
    pairs = [(host, vacancy) for host in report.hosts for vacancy in host.vacancies]
    return tuple(_row(host, one, run, campaign, number) for number, (host, one) in enumerate(pairs))


def _row(
    host: HostReport, vacancy: VacancyReport, run: tuple[str, ...], campaign: str | None, number: int
) -> VacancyRow:
    ground = vacancy.ground_state
    return VacancyRow(
        run=run,
        campaign=campaign,
        number=number,
        host=host.name,
        vacancy=vacancy.name,
        element=vacancy.element,
        charge=vacancy.charge,
        environment=vacancy.environment,
        level_of_theory=host.reference,
        is_stand_in=host.reference_is_stand_in,
        motif=None if ground is None else ground.motif,
        energy_lowering=vacancy.energy_lowering,
        reference_relaxations=vacancy.reference_relaxations,
        sampling_structures=vacancy.sampling_structures,
        dft_saved=vacancy.dft_saved,
        converged=None if ground is None else ground.converged,
        failures=len(vacancy.failures),
        unfinished=vacancy.unfinished,
        structure_file=None if ground is None else ground.structure_file,
    )


COLUMNS: dict[str, Callable[[VacancyRow], object]] = {
    "run": lambda row: "/".join(row.run),
    "campaign": lambda row: row.campaign,
    "host": lambda row: row.host,
    "vacancy": lambda row: row.vacancy,
    "element": lambda row: row.element,
    "charge": lambda row: row.charge,
    "environment": lambda row: row.environment,
    "level_of_theory": lambda row: row.level_of_theory,
    "reference_is_stand_in": lambda row: row.is_stand_in,
    "new_bonds": lambda row: row.motif,
    "energy_lowering_eV": lambda row: row.energy_lowering,
    "reference_relaxations": lambda row: row.reference_relaxations,
    "sampling_structures": lambda row: row.sampling_structures,
    "dft_saved": lambda row: row.dft_saved,
    "ground_state_converged": lambda row: row.converged,
    "failures": lambda row: row.failures,
    "unfinished": lambda row: row.unfinished,
}
"""Columns of the CSV, in order; those that ``results.csv`` has, too, are named as there."""


def vacancies_csv(rows: Iterable[VacancyRow]) -> str:
    """Write rows as CSV.

    Parameters
    ----------
    rows
        To be written.

    Returns
    -------
    str
        With a header. Text that a spreadsheet would take for a formula is preceded by an apostrophe; unknown values are empty.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")  # of RFC 4180; so that both are quoted in a text
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value(row)) for value in COLUMNS.values()] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return round(value, 8)
    if isinstance(value, str) and value.lstrip().startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
