"""Ground states found by two finished searches of one host at two reference levels, compared as a Prefect flow.

After Supplementary Note 1.D of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9): both ground states of each defect are
evaluated once more, with the settings of the first search.
"""

import dataclasses
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import WithJsonSchema

from defect_surrogate.errors import InputError
from defect_surrogate.level_comparison import (
    DefectDifference,
    GroundState,
    LevelComparison,
    compare_ground_states,
    comparison_json,
    comparison_markdown,
    comparison_rows,
    in_first_cell,
)
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.reports.files import replace_file
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vacancies import Vacancy
from defect_surrogate.vasp import reference_method
from flows.hosts import check_command
from flows.lock import locked
from flows.progress import show_own_lines
from flows.reference_search import SINGLE_POINT
from flows.relaxing import relaxers
from flows.run_folder import RunFolder, open_run
from flows.search import archived_search
from flows.searched import HostSearch, VacancySearch
from flows.work import Relax, Work, collected
from flows.work_folder import WorkFolder

logger = logging.getLogger(__name__)

COMPARISON_FILE = "level-comparison.json"
TABLE_FILE = "level-comparison.md"

GROUND_STATE_OF = "Ground_state_of_"
"""Beginning of the label of a single point; the level of theory that found the structure follows."""


def _described(text: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": text})


First = Annotated[
    str, _described("Folder of a finished search; its reference settings are those of the single points.")
]
Second = Annotated[str, _described("Folder of a finished search of the same host at another reference level.")]
Out = Annotated[str, _described("Folder for the single points and the table; what is there is not computed again.")]


def comparison_name() -> str:
    """Return the name of a run of ``compare_levels``, e.g. ``CdTe-hse and CdTe-pbesol``."""
    return " and ".join(Path(str(flow_run.parameters[key])).name for key in ("first", "second"))


@flow(name="compare-levels", flow_run_name=comparison_name, persist_result=False)
def compare_levels(first: First, second: Second, out: Out) -> LevelComparison:
    """Compare the ground states that two searches of one host found at two reference levels.

    Parameters
    ----------
    first
        Folder of a finished search; the single points are run with its reference settings, on as many workers as it had.
    second
        Folder of a finished search of the same host.
    out
        Folder of the archive of the single points, of ``level-comparison.json`` and ``level-comparison.md``; made when missing.

    Returns
    -------
    LevelComparison
        Also written into ``out``.
    """
    show_own_lines()
    runs = open_run(Path(first)), open_run(Path(second))
    with locked(Path(out)):
        folder = WorkFolder(Path(out).absolute())
        folder.begin()
        with relaxers(folder, runs[0].settings.workers) as relax:
            comparison = compare_runs(*runs, relax_reference=relax.reference)
        replace_file(Path(out) / COMPARISON_FILE, comparison_json(comparison))
        replace_file(Path(out) / TABLE_FILE, comparison_markdown(comparison))
    create_table_artifact(comparison_rows(comparison), key="level-comparison", description=comparison_name())
    return comparison


def compare_runs(first: RunFolder, second: RunFolder, *, relax_reference: Relax) -> LevelComparison:
    """Compare the ground states of two finished searches, whoever runs the single points.

    Parameters
    ----------
    first, second
        The searches.
    relax_reference
        Runs units at the level of the first.

    Returns
    -------
    LevelComparison
        Of every vacancy that both have a ground state of and that is the same in both; the others with the reason why not.

    Raises
    ------
    InputError
        If the searches are of two compositions, a search has no ground state at all, no vacancy can be compared, or the
        executable of the first cannot be used.
    """
    check_command(first.settings)
    if first.settings.full_reference != second.settings.full_reference:
        logger.warning(
            "%s and %s: only one is a full reference search; what it alone relaxed may look like a difference of the levels",
            *(first.path, second.path),
        )
    searches = archived_search(first), archived_search(second)
    formulas = [one.host.unit_cell.composition.reduced_formula for one in searches]
    if formulas[0] != formulas[1]:
        raise InputError(
            f"{first.path} is of {formulas[0]}, {second.path} of {formulas[1]}: two levels are compared for one host"
        )
    states = tuple(ground_states(one) for one in searches)
    for run, found in zip((first, second), states, strict=True):
        if not found:
            raise InputError(f"{run.path}: no vacancy has a reference relaxation that could be its ground state")
    levels = tuple(next(iter(found.values())).level_of_theory for found in states)
    host, settings = searches[0].host, first.settings.reference
    differences: dict[str, DefectDifference] = {}
    works: dict[str, list[Work]] = {}
    left_out = dict.fromkeys(states[0].keys() ^ states[1].keys(), "has a ground state at one of the two levels only")
    for vacancy in map(_vacancy, searches[0].vacancies):
        name = vacancy.label
        if name in left_out or name not in states[0]:
            continue
        pair = states[0][name], states[1][name]
        try:
            differences[name] = compare_ground_states(*pair, name=name, oxidation_states=host.oxidation_states)
            works[name] = single_points(vacancy, *pair, settings=settings)
        except InputError as error:
            left_out[name] = str(error)
    for name, reason in left_out.items():
        logger.warning("%s/%s: not compared: %s", host.name, name, reason)
    if not differences:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
        raise InputError(f"{first.path} and {second.path}: no vacancy can be compared: {reasons}")
    done = collected(relax_reference([work for own in works.values() for work in own]))
    return LevelComparison(
        host=host.name,
        levels=(levels[0], levels[1]),
        differences=tuple(
            dataclasses.replace(differences[name], energy_difference=energy_difference(own, done))
            for name, own in works.items()
        ),
        not_compared=tuple(sorted(left_out.items())),
    )


def ground_states(found: HostSearch) -> dict[str, GroundState]:
    """Return the lowest reference relaxation of each vacancy.

    Parameters
    ----------
    found
        A search.

    Returns
    -------
    dict of str to GroundState
        By name and charge of the vacancy; those without a reference relaxation that can be ranked are missing.
    """
    states = {}
    for one in found.vacancies:
        reference = one.by_label("reference")
        energies = {label: r.energy for label, r in reference.items() if r.rankable and math.isfinite(r.energy)}
        if energies:
            lowest = min(energies, key=energies.__getitem__)
            theory = reference[lowest].provenance.level_of_theory
            vacancy = _vacancy(one)
            states[vacancy.label] = GroundState(theory, lowest, reference[lowest].structure, vacancy.ideal_structure)
    return states


def single_points(
    vacancy: Vacancy, first: GroundState, second: GroundState, *, settings: ReferenceSettings
) -> list[Work]:
    """Say how both ground states of a vacancy are evaluated at the level of the first.

    Parameters
    ----------
    vacancy
        The vacancy, in the cell of the first.
    first, second
        Its ground states.
    settings
        Reference settings of the first search.

    Returns
    -------
    list of Work
        First and second ground state, both in the cell of the first.

    Raises
    ------
    InputError
        If the two are not of one defect.
    """
    single = settings.model_copy(update={"defect_incar": settings.defect_incar | SINGLE_POINT})
    method = reference_method(vacancy.ideal_structure, single, cell="defect", charge=vacancy.charge)
    labels = _labels(first.level_of_theory, second.level_of_theory)
    structures = (first.structure, in_first_cell(first, second))
    return [
        Work(Unit(vacancy.host, vacancy.label, label, "reference", structure, method.digest), method)
        for label, structure in zip(labels, structures, strict=True)
    ]


def energy_difference(works: Sequence[Work], done: Mapping[str, Relaxation]) -> float | None:
    """Return the energy of the first single point less that of the second, eV; None if one of the two is missing."""
    energies = [done[work.unit.name].energy for work in works if work.unit.name in done]
    return energies[0] - energies[1] if len(energies) == 2 else None


def _vacancy(found: VacancySearch) -> Vacancy:
    return found.sampling.structures[0].vacancy


def _labels(first: str, second: str) -> tuple[str, str]:
    """Name the single points after the levels, e.g. ``Ground_state_of_HSE06``; numbered where the names are one."""
    names = [re.sub(r"[^\w.+]+", "-", level.split(" (")[0]) for level in (first, second)]
    if names[0] == names[1]:
        names = [f"{names[0]}_1", f"{names[1]}_2"]
    return GROUND_STATE_OF + names[0], GROUND_STATE_OF + names[1]
