"""A host in words: levels of theory, how its cell was prepared, and why no vacancy of it was searched."""

from defect_surrogate.reports.schema import CampaignReport, HostReport
from defect_surrogate.reports.statements import Statement

_HOST_AS_GIVEN = "its cell as given"
_HOST_FAILED = "its own relaxation failed"
_HOST_DIVERGED = "its own relaxation diverged"


def nothing_searched(campaign: CampaignReport) -> str:
    """Say why no vacancy was searched.

    Parameters
    ----------
    campaign
        Its report.

    Returns
    -------
    str
        A sentence; empty when a vacancy was searched.
    """
    if any(host.vacancies for host in campaign.hosts):
        return ""
    if any(host.unfinished for host in campaign.hosts):
        return "No vacancy is searched yet: the host is not relaxed yet."
    if any(_prepared(host) in (_HOST_FAILED, _HOST_DIVERGED) for host in campaign.hosts):
        return "No vacancy was searched: the host's own relaxation has no result that can be used."
    return "No vacancy was searched."


def host_statements(host: HostReport) -> tuple[Statement, ...]:
    """Say what holds for all vacancies of a host.

    Parameters
    ----------
    host
        Its report.

    Returns
    -------
    tuple of Statement
        Levels of theory, how the host was prepared, and what went wrong with it.
    """
    states = ", ".join(f"{element} {state:+g}" for element, state in host.oxidation_states.items())
    analysed = _prepared(host) == _HOST_AS_GIVEN and all(one.surrogate_minima is None for one in host.vacancies)
    unused = "none used" if analysed else "nothing finished"
    levels = f"Surrogate level: {host.surrogate or unused}. Reference level: {host.reference or 'nothing finished'}."
    statements = [
        Statement("searched", levels),
        Statement(
            "searched",
            f"{_origin(host)}; supercell of {host.supercell_atoms} atoms; oxidation states {states or 'not given'}.",
        ),
    ]
    if host.reference_is_stand_in:
        statements.append(
            Statement(
                "warning",
                f"The reference level of this run is {host.reference or 'vasp-xtb'}. It is a real electronic-structure method "
                "but it stands in for VASP: energies and structures are not those of hybrid DFT, and must not be "
                "compared or mixed with it.",
            )
        )
    if host.relaxation is not None and host.relaxation.converged is False:
        went = "diverged" if host.relaxation.reason == "diverged" else "did not converge"
        statements.append(Statement("warning", f"The host's own relaxation {went}: {host.relaxation.detail}."))
    if host.unfinished:
        statements.append(
            Statement("warning", "The host is not relaxed yet: its vacancies are searched in the relaxed cell.")
        )
    statements += [Statement("warning", f"Failed: {f.unit}: {f.error}: {f.message}") for f in host.failures]
    return tuple(statements)


def _origin(host: HostReport) -> str:
    if host.cell is None:
        return f"Host read from {host.source}, {_prepared(host)}"
    return f"Supercell of an alloy made of {host.source}, {host.cell}"


def _prepared(host: HostReport) -> str:
    if host.relaxation is not None:
        diverged = host.relaxation.reason == "diverged"
        return _HOST_DIVERGED if diverged else "its cell first relaxed at the reference level"
    if host.unfinished:
        return "its cell not relaxed yet"
    failed = any(failure.unit.startswith(f"{host.name}/bulk/Host/") for failure in host.failures)
    return _HOST_FAILED if failed else _HOST_AS_GIVEN
