"""Campaigns: the runs of their hosts together."""

from collections.abc import Sequence
from dataclasses import dataclass

from defect_surrogate.report_server.catalogue import Run, Summary
from defect_surrogate.report_server.run_folders import HOST_DEPTH


@dataclass(frozen=True)
class Campaign:
    """The runs of a campaign's hosts.

    Attributes
    ----------
    name
        Of the campaign.
    runs
        Searches and sweeps, the newest report first.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def hosts(self) -> int:
        """Number of host folders."""
        return len({run.names[HOST_DEPTH - 1] for run in self.runs})

    @property
    def changed(self) -> float:
        """When the newest report was changed, s since 1970."""
        return max(run.changed for run in self.runs)

    @property
    def total(self) -> Summary:
        """What its reports hold together, as far as they can be read."""
        summaries = [run.summary for run in self.runs if run.summary is not None]
        return Summary(
            hosts=tuple(host for one in summaries for host in one.hosts),
            levels=tuple(sorted({level for one in summaries for level in one.levels})),
            is_stand_in=any(one.is_stand_in for one in summaries),
            vacancies=sum(one.vacancies for one in summaries),
            reconstructed=sum(one.reconstructed for one in summaries),
            failures=sum(one.failures for one in summaries),
            unfinished=sum(one.unfinished for one in summaries),
        )

    @property
    def without_report(self) -> int:
        """Number of runs that have no report that can be read."""
        return sum(run.summary is None for run in self.runs)


def standing(runs: Sequence[Run]) -> list[Run]:
    """Leave out the compositions of sweeps that are runs themselves, which count with their sweep.

    Parameters
    ----------
    runs
        All runs.

    Returns
    -------
    list of Run
        The others, in order.
    """
    sweeps = {run.names for run in runs if run.kind == "sweep"}
    return [run for run in runs if run.sweep not in sweeps]


def campaigns_of(runs: Sequence[Run]) -> list[Campaign]:
    """Gather the runs of each campaign.

    Parameters
    ----------
    runs
        All runs, the newest report first.

    Returns
    -------
    list of Campaign
        That with the newest report first.
    """
    gathered: dict[str, list[Run]] = {}
    for run in standing(runs):
        if run.campaign is not None:
            gathered.setdefault(run.campaign, []).append(run)
    return [Campaign(name, tuple(members)) for name, members in gathered.items()]
