"""The history of a campaign: for each run its settings, what it did, and what was found; and what changed between two runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from defect_surrogate.errors import InputError
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.schema import CampaignReport
from flows.campaigns.folder import CampaignFolder
from flows.campaigns.settings import Campaign

HostState = Literal["finished", "as before", "budget", "broke", "lost"]
"""All units have a result; nothing was to be done; left for another night; some broke; the host could not be searched."""


@dataclass(frozen=True)
class HostEntry:
    """What became of a host in a run.

    Attributes
    ----------
    name
        Of the host.
    state
        How it ended.
    finished, failed, unfinished
        Units.
    message
        What it was lost with; empty otherwise.
    """

    name: str
    state: HostState
    finished: int = 0
    failed: int = 0
    unfinished: int = 0
    message: str = ""


@dataclass(frozen=True)
class Found:
    """What was found for a vacancy.

    Attributes
    ----------
    motif
        New bonds of the ground state, in words; empty when there is none yet.
    energy
        Of the ground state at the reference level, eV per supercell.
    energy_lowering
        E(ground state) − E(relaxed ``Unperturbed``), eV.
    level_of_theory
        Of the reference.
    """

    motif: str
    energy: float | None
    energy_lowering: float | None
    level_of_theory: str | None

    @property
    def has_new_bonds(self) -> bool:
        """Whether the ground state has new bonds."""
        return self.motif not in ("", NO_BONDS)


@dataclass(frozen=True)
class Entry:
    """A run of a campaign.

    Attributes
    ----------
    number
        1 for the first.
    campaign
        All settings, as in a campaign file.
    began, ended
        UTC, ISO 8601; ``ended`` is None while it runs, and where it was killed.
    flow_run
        Id of its flow run in Prefect.
    hosts
        What became of each.
    found
        By ``host/vacancy``, what the archive had at the end.
    spent
        What of the night's budget was spent, in words.
    """

    number: int
    campaign: dict[str, JsonValue]
    began: str
    ended: str | None
    flow_run: str | None
    hosts: tuple[HostEntry, ...]
    found: dict[str, Found]
    spent: str


_ENTRY = TypeAdapter(Entry)


def begin_entry(folder: CampaignFolder, campaign: Campaign, flow_run: str | None) -> Entry:
    """Note that a run of a campaign begins; its folder has to be held.

    Parameters
    ----------
    folder
        Of the campaign.
    campaign
        Its settings.
    flow_run
        Id of the flow run.

    Returns
    -------
    Entry
        To be ended by ``end_entry``.
    """
    numbers = [int(path.stem) for path in folder.history.glob("*.json") if path.stem.isdecimal()]
    entry = Entry(max(numbers, default=0) + 1, campaign.model_dump(mode="json"), _now(), None, flow_run, (), {}, "")
    _write(folder, entry)
    return entry


def end_entry(
    folder: CampaignFolder, entry: Entry, *, hosts: Sequence[HostEntry], found: Mapping[str, Found], spent: str
) -> Entry:
    """Note how a run ended.

    Parameters
    ----------
    folder
        Of the campaign.
    entry
        Of the run.
    hosts, found, spent
        See ``Entry``.

    Returns
    -------
    Entry
        As written.
    """
    ended = replace(entry, ended=_now(), hosts=tuple(hosts), found=dict(found), spent=spent)
    _write(folder, ended)
    return ended


def read_history(folder: CampaignFolder) -> list[Entry]:
    """Read the runs of a campaign, the first one first; what cannot be read is left out.

    Parameters
    ----------
    folder
        Of the campaign.

    Returns
    -------
    list of Entry
        Those that there are.
    """
    entries = []
    for path in sorted(folder.history.glob("*.json")):
        try:
            entries.append(_ENTRY.validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(entries, key=lambda one: one.number)


def read_entry(folder: CampaignFolder, number: int | None) -> Entry:
    """Read a run of a campaign.

    Parameters
    ----------
    folder
        Of the campaign.
    number
        Of the run; the latest when None.

    Returns
    -------
    Entry
        The run.

    Raises
    ------
    InputError
        If there is none of this number.
    """
    entries = read_history(folder)
    for one in reversed(entries):
        if number is None or one.number == number:
            return one
    numbers = ", ".join(str(one.number) for one in entries) or "none"
    raise InputError(f"{folder.name}: has no run {'' if number is None else number}; there are: {numbers}")


def found_in(report: CampaignReport) -> dict[str, Found]:
    """Take from a report what was found.

    Parameters
    ----------
    report
        Of the search of a host.

    Returns
    -------
    dict of str to Found
        By ``host/vacancy``.
    """
    return {
        f"{host.name}/{one.name}": Found(
            "" if one.ground_state is None else one.ground_state.motif,
            None if one.ground_state is None else one.ground_state.energy,
            one.energy_lowering,
            host.reference,
        )
        for host in report.hosts
        for one in host.vacancies
    }


def changed_settings(before: Entry, after: Entry) -> dict[str, tuple[Any, Any]]:
    """Compare the settings of two runs.

    Parameters
    ----------
    before, after
        Of one campaign, or of two.

    Returns
    -------
    dict of str to tuple
        Old and new value by dotted key; None for a key that one of them lacks.
    """
    old, new = _flat(before.campaign), _flat(after.campaign)
    keys = dict.fromkeys([*old, *new])
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def changed_results(before: Entry, after: Entry) -> dict[str, tuple[Found | None, Found | None]]:
    """Compare what two runs found.

    Parameters
    ----------
    before, after
        Of one campaign, or of two.

    Returns
    -------
    dict of str to tuple
        By ``host/vacancy`` what each has, where these differ; None where one has nothing.
    """
    names = dict.fromkeys([*before.found, *after.found])
    return {
        name: (before.found.get(name), after.found.get(name))
        for name in names
        if before.found.get(name) != after.found.get(name)
    }


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _write(folder: CampaignFolder, entry: Entry) -> None:
    text = json.dumps(asdict(entry), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(folder.history / f"{entry.number:04d}.json", text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
