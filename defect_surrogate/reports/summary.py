"""A report as text: a table of all vacancies, and the statements on each, for a terminal or for a flow's artifacts."""

import re

from defect_surrogate.reports.host_statements import host_statements, nothing_searched
from defect_surrogate.reports.schema import CampaignReport, ComparisonReport, HostReport, VacancyReport
from defect_surrogate.reports.statements import Statement, in_ev, vacancy_statements

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def table_rows(campaign: CampaignReport) -> list[dict[str, str]]:
    """One row for each vacancy, as text, for a terminal or a table artifact.

    Parameters
    ----------
    campaign
        The report.

    Returns
    -------
    list of dict
        Column → text; every row has the same columns.
    """
    return [_row(host, vacancy) for host in campaign.hosts for vacancy in host.vacancies]


def summary_text(campaign: CampaignReport) -> str:
    """Write the summary as plain text for a terminal; control characters in names are shown, not obeyed.

    Parameters
    ----------
    campaign
        The report.

    Returns
    -------
    str
        Lines of any length, ending with a newline.
    """
    lines = []
    for host in campaign.hosts:
        lines += [host.name, *(f"  {_marked(statement)}" for statement in host_statements(host)), ""]
        for vacancy in host.vacancies:
            lines.append(f"{host.name}/{vacancy.name}")
            lines += [f"  {_marked(statement)}" for statement in vacancy_statements(vacancy, host=host)]
            lines.append("")
    if nothing := nothing_searched(campaign):
        lines.append(nothing)
    shown = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines]
    return "\n".join(shown).rstrip() + "\n"


def summary_markdown(campaign: CampaignReport) -> str:
    """Write the summary as Markdown for a flow's artifact.

    Parameters
    ----------
    campaign
        The report.

    Returns
    -------
    str
        Headings, lists; text from outside is escaped.
    """
    lines = []
    for host in campaign.hosts:
        lines += [f"## {escaped(host.name)}", ""]
        lines += [f"- {escaped(_marked(statement))}" for statement in host_statements(host)]
        for vacancy in host.vacancies:
            lines += ["", f"### {escaped(host.name)}/{escaped(vacancy.name)}", ""]
            lines += [f"- {escaped(_marked(statement))}" for statement in vacancy_statements(vacancy, host=host)]
        lines.append("")
    if nothing := nothing_searched(campaign):
        lines.append(nothing)
    return "\n".join(lines).rstrip() + "\n"


def _row(host: HostReport, vacancy: VacancyReport) -> dict[str, str]:
    comparison = vacancy.comparison
    verdict = "–" if vacancy.surrogate_minima is None else "not run"
    if comparison is not None:
        verdict = _verdict(comparison, sampling_structures=vacancy.sampling_structures)
    return {
        "vacancy": f"{host.name}/{vacancy.name}",
        "new bonds": "–" if vacancy.ground_state is None else vacancy.ground_state.motif,
        "energy lowering": "–" if vacancy.energy_lowering is None else in_ev(vacancy.energy_lowering),
        "sampling structures": str(vacancy.sampling_structures),
        "surrogate minima": "–" if vacancy.surrogate_minima is None else str(len(vacancy.surrogate_minima)),
        "reference relaxations": str(vacancy.reference_relaxations),
        "reference minima": str(len(vacancy.minima or ())),
        "DFT saved": "–" if vacancy.dft_saved is None else f"{vacancy.dft_saved:.0%}",
        "full reference search": verdict,
        "failures": str(len(vacancy.failures)),
        "no result yet": str(vacancy.unfinished),
    }


def _verdict(comparison: ComparisonReport, *, sampling_structures: int) -> str:
    finished = comparison.full_reference_finished
    so_far = f"{finished} of {sampling_structures} finished" if finished < sampling_structures else ""
    if comparison.hit is None:
        return so_far or "not known yet"
    verdict = "new ground state" if comparison.new_ground_state else "hit" if comparison.hit else "missed"
    verdict += f" ({in_ev(comparison.energy_difference)})"
    return f"{verdict}, {so_far}" if so_far else verdict


def _marked(statement: Statement) -> str:
    return f"Warning: {statement.text}" if statement.kind == "warning" else statement.text


def escaped(text: str) -> str:
    """Escape text from outside for Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
