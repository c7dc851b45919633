"""``results.csv``: one row for each vacancy, for spreadsheets and data frames."""

import csv
import io

from defect_surrogate.reports.schema import CampaignReport, HostReport, VacancyReport

RESULTS_FILE = "results.csv"

RESULT_COLUMNS = {
    "host": "name of the host",
    "vacancy": "name and charge of the vacancy",
    "element": "removed element",
    "charge": "charge state, e",
    "environment": "nearest neighbours",
    "multiplicity": "equivalent sites per primitive cell",
    "sampling_structures": "sampling structures made",
    "dropped": "sampling structures dropped by ShakeNBreak for too short distances",
    "surrogate_minima": "distinct minima of the surrogate",
    "reference_relaxations": "reference relaxations that surrogate + reference needs",
    "reference_minima": "distinct minima of the reference level",
    "ground_state": "label of the lowest of these",
    "ground_state_energy_eV": "its energy, eV per supercell",
    "ground_state_converged": "whether its relaxation converged; empty when that is not recorded",
    "energy_lowering_eV": "E(ground state) − E(relaxed Unperturbed), eV",
    "new_bonds": "motif of the ground state",
    "dft_saved": "share of the reference relaxations saved, Unperturbed counted",
    "dft_saved_without_unperturbed": "the same, Unperturbed not counted",
    "full_reference_finished": "relaxations of the full reference search that finished; empty when it was not run",
    "hit": "whether the ground state of the full reference search was found; empty while that is not known",
    "new_ground_state": "whether a lower one was found",
    "energy_difference_eV": "E(surrogate + reference) − E(full reference search), eV",
    "missed_motif": "motif of the ground state that was missed",
    "speedup": "t(full reference search) / t(surrogate + reference)",
    "surrogate_seconds": "wall time of the surrogate relaxations, s",
    "reference_seconds": "wall time of the reference relaxations of surrogate + reference, s",
    "unconverged": "finished relaxations that did not converge, diverged ones included, merged ones not",
    "failures": "units that broke",
    "unfinished": "planned units without a result yet",
    "surrogate": "level of theory of the surrogate",
    "reference": "level of theory of the reference",
    "reference_is_stand_in": "whether the reference is vasp-xtb, which stands in for VASP",
}
"""Columns of ``results.csv``, in order. Unknown values are empty; truth values are ``true`` and ``false``."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def results_csv(campaign: CampaignReport) -> str:
    """Write one row for each vacancy; ``RESULT_COLUMNS`` says what the columns are.

    Parameters
    ----------
    campaign
        The report.

    Returns
    -------
    str
        CSV with a header. Text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(RESULT_COLUMNS), lineterminator="\n")
    writer.writeheader()
    for host in campaign.hosts:
        for vacancy in host.vacancies:
            writer.writerow({column: _cell(value) for column, value in _row(host, vacancy).items()})
    return stream.getvalue()


def _row(host: HostReport, vacancy: VacancyReport) -> dict[str, object]:
    ground, comparison = vacancy.ground_state, vacancy.comparison
    return {
        "host": host.name,
        "vacancy": vacancy.name,
        "element": vacancy.element,
        "charge": vacancy.charge,
        "environment": vacancy.environment,
        "multiplicity": vacancy.multiplicity,
        "sampling_structures": vacancy.sampling_structures,
        "dropped": len(vacancy.dropped),
        "surrogate_minima": None if vacancy.surrogate_minima is None else len(vacancy.surrogate_minima),
        "reference_relaxations": vacancy.reference_relaxations,
        "reference_minima": len(vacancy.minima or ()),
        "ground_state": ground and ground.label,
        "ground_state_energy_eV": ground and ground.energy,
        "ground_state_converged": ground and ground.converged,
        "energy_lowering_eV": vacancy.energy_lowering,
        "new_bonds": ground and ground.motif,
        "dft_saved": vacancy.dft_saved,
        "dft_saved_without_unperturbed": vacancy.dft_saved_without_unperturbed,
        "full_reference_finished": comparison and comparison.full_reference_finished,
        "hit": comparison and comparison.hit,
        "new_ground_state": comparison and comparison.new_ground_state,
        "energy_difference_eV": comparison and comparison.energy_difference,
        "missed_motif": comparison and comparison.missed_motif,
        "speedup": comparison and comparison.speedup,
        "surrogate_seconds": vacancy.surrogate_seconds,
        "reference_seconds": vacancy.reference_seconds,
        "unconverged": sum(one.converged is False and one.reason != "merged" for one in vacancy.relaxations),
        "failures": len(vacancy.failures),
        "unfinished": vacancy.unfinished,
        "surrogate": host.surrogate,
        "reference": host.reference,
        "reference_is_stand_in": host.reference_is_stand_in,
    }


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return round(value, 8)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
