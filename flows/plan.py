"""What a search would do, without doing it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.archive import Archive
from defect_surrogate.settings import SearchSettings
from defect_surrogate.vasp import write_inputs
from flows.search import search
from flows.searched import HostSearch
from flows.sweep_plan import plan_sweep, vacancies_of
from flows.work import Result, Work


@dataclass(frozen=True)
class PlannedVacancy:
    """What would be done for one vacancy.

    Attributes
    ----------
    name
        Name and charge.
    environment
        Nearest neighbours.
    sampling_structures
        Labels of the starts.
    dropped
        Labels that ShakeNBreak dropped.
    """

    name: str
    environment: str
    sampling_structures: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a search would do.

    Attributes
    ----------
    host
        Name of the host.
    oxidation_states
        Oxidation state of each element, by symbol, units of e.
    supercell_atoms
        Atoms in the supercell without vacancy.
    vacancies
        Those that would be searched.
    finished
        Names of the units that the archive holds.
    to_run
        Names of those that would be run. One from each surrogate minimum comes on top, once these are known.
    cell
        Which cell the sampling structures were made in: ``relaxed``, ``as given``, or ``as given, to be relaxed first``.
    inputs
        Folder with the VASP inputs of one unit.
    """

    host: str
    oxidation_states: dict[str, float]
    supercell_atoms: int
    vacancies: tuple[PlannedVacancy, ...]
    finished: tuple[str, ...]
    to_run: tuple[str, ...]
    cell: str
    inputs: str


def plan_search(source: str, out: Path, settings: SearchSettings) -> Plan:
    """List vacancies, sampling structures and units of a search, and write the VASP inputs of one unit.

    Parameters
    ----------
    source
        Path of the host's file, or a Materials Project id.
    out
        Folder of the run; inputs go to ``dry-run/`` in it.
    settings
        Of the search.

    Returns
    -------
    Plan
        While the host's own relaxation is missing, made in the cell as given.
    """
    archive = Archive(out / "archive") if (out / "archive").is_dir() else None
    works: dict[str, Work] = {}

    def look_up(asked: Sequence[Work]) -> Iterator[Result]:
        works.update({work.unit.name: work for work in asked})
        return ((work.unit.name, archive.find(work.unit) if archive is not None else None) for work in asked)

    result = search(source, settings, relax_surrogate=look_up, relax_reference=look_up)
    cell = "relaxed" if settings.host.relax else "as given"
    if not result.vacancies:
        cell = "as given, to be relaxed first"
        as_given = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": False})})
        result = search(source, as_given, relax_surrogate=look_up, relax_reference=look_up)
    finished = {name for name, work in works.items() if archive is not None and archive.find(work.unit) is not None}
    return Plan(
        host=result.host.name,
        oxidation_states=result.host.oxidation_states,
        supercell_atoms=len(result.host.supercell),
        vacancies=_vacancies(result),
        finished=tuple(name for name in works if name in finished),
        to_run=tuple(name for name in works if name not in finished),
        cell=cell,
        inputs=str(_write_example(works, out / "dry-run")),
    )


def plan_text(plan: Plan) -> str:
    """Say what a search would do, for a terminal.

    Parameters
    ----------
    plan
        From ``plan_search``.

    Returns
    -------
    str
        Lines, ending with a newline.
    """
    states = ", ".join(f"{element} {state:+g}" for element, state in plan.oxidation_states.items())
    lines = [f"{plan.host}: supercell of {plan.supercell_atoms} atoms, cell {plan.cell}; oxidation states {states}"]
    for vacancy in plan.vacancies:
        lines.append(f"{vacancy.name} ({vacancy.environment}): {len(vacancy.sampling_structures)} sampling structures")
        lines += [f"  {label}" for label in vacancy.sampling_structures]
        if vacancy.dropped:
            lines.append(f"  dropped, atoms too close: {', '.join(vacancy.dropped)}")
    lines.append(f"{len(plan.finished)} units in the archive already; {len(plan.to_run)} would be run:")
    lines += [f"  {name}" for name in plan.to_run]
    lines += ["  and one at the reference level from each surrogate minimum", f"VASP inputs of one unit: {plan.inputs}"]
    return "\n".join(lines) + "\n"


def planned_sweep(settings: SweepSettings) -> dict[str, Any]:
    """List what a sweep would search; nothing is made but the supercells.

    Parameters
    ----------
    settings
        Of the sweep.

    Returns
    -------
    dict
        Plain values: alloy, end members, compositions, and for each of their supercells the sites of each environment and the
        vacancies that would be searched.
    """
    plan = plan_sweep(settings)
    compositions = [
        {
            "name": composition.name,
            "asked": dict(zip(composition.species, composition.requested, strict=True)),
            "achieved": dict(zip(composition.species, composition.fractions, strict=True)),
            "supercells": [
                {
                    "name": host.host.name,
                    "environments": {f"{one.element} with {one.words} ({one.label})": len(one.sites) for one in found},
                    "vacancies": [vacancy.label for vacancy in vacancies_of(host, found, settings)],
                }
                for host, found in zip(hosts, environments, strict=True)
            ],
        }
        for composition, hosts, environments in zip(plan.compositions, plan.supercells, plan.environments, strict=True)
    ]
    return {
        "alloy": plan.alloy.name,
        "atoms": len(plan.alloy.cells[0]),
        "mixing_sites": len(plan.alloy.sites),
        "end_members": {one: host.name for one, host in zip(plan.alloy.species, plan.alloy.hosts, strict=True)},
        "compositions": compositions,
    }


def sweep_plan_text(planned: dict[str, Any]) -> str:
    """Say what a sweep would search, for a terminal.

    Parameters
    ----------
    planned
        From ``planned_sweep``.

    Returns
    -------
    str
        Lines, ending with a newline.
    """
    ends = ", ".join(f"{name} ({species})" for species, name in planned["end_members"].items())
    lines = [
        f"{planned['alloy']}: supercells of {planned['atoms']} atoms, {planned['mixing_sites']} sites mix; end members {ends}"
    ]
    searched = 0
    for one in planned["compositions"]:
        shares = (
            f"{species} {share:.4g} (asked {one['asked'][species]:.4g})" for species, share in one["achieved"].items()
        )
        lines.append(f"{one['name']}: {', '.join(shares)}")
        for supercell in one["supercells"]:
            sites = "; ".join(f"{words}: {count} sites" for words, count in supercell["environments"].items())
            lines.append(f"  {supercell['name']}: {sites}")
            searched += len(supercell["vacancies"])
    lines.append(
        f"{searched} vacancies would be searched, each with the finer set and the minima of the others as starts"
    )
    return "\n".join(lines) + "\n"


def _vacancies(result: HostSearch) -> tuple[PlannedVacancy, ...]:
    planned = []
    for one in result.vacancies:
        vacancy = one.vacancy
        labels = tuple(start.label for start in one.sampling.structures)
        planned.append(PlannedVacancy(vacancy.label, vacancy.environment, labels, one.sampling.dropped))
    return tuple(planned)


def _write_example(works: dict[str, Work], folder: Path) -> Path:
    """Write the inputs of the last reference unit, that of a vacancy."""
    name, work = [(name, work) for name, work in works.items() if work.method is not None][-1]
    directory = folder / name
    assert work.method is not None  # noqa: S101  (selected above)
    write_inputs(work.unit.structure, work.method, directory)
    return directory
