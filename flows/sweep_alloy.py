"""The search of one composition of an alloy, and of all of them, as Prefect flows."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run

from defect_surrogate.alloys import Composition, SweepSettings
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.reports.schema import CampaignReport
from flows.alloy_search import relax_end_members, search_alloy
from flows.artifacts import publish_artifacts, shown
from flows.described import described
from flows.lock import locked
from flows.progress import show_own_lines
from flows.relaxing import relaxers
from flows.results import add_to_index
from flows.resumed import begin_again
from flows.side_by_side import side_by_side
from flows.sweep_folder import END_MEMBERS, CompositionFolder, SweepFolder, create_sweep
from flows.sweep_plan import SweepPlan, plan_sweep
from flows.sweep_results import publish_sweep, write_composition, write_sweep
from flows.work import Relax

Out = Annotated[str, described("Folder of the sweep; an earlier one of the same end members there is continued.")]
Which = Annotated[str, described("Name of a composition of the settings, e.g. CdTe0.5Se0.5, or its fraction x.")]


def composition_name() -> str:
    """Return the name of a run of ``search_composition``: that of the composition."""
    return str(flow_run.parameters["composition"])


@flow(name="search-composition", flow_run_name=composition_name, persist_result=False)
def search_composition(composition: Which, out: Out, settings: SweepSettings) -> CampaignReport:
    """Find the ground-state structures of the vacancies of an alloy at one composition, in every environment there is.

    The finer sampling set of each vacancy is relaxed with the surrogate, its minima are offered to the other environments, and
    the distinct minima are relaxed at the reference level. What the archive of the sweep holds is not computed again.

    Parameters
    ----------
    composition
        Its name, e.g. ``CdTe0.5Se0.5``, or its fraction x.
    out
        Folder of the sweep.
    settings
        Of the sweep.

    Returns
    -------
    CampaignReport
        Of its supercells, also written into its folder.
    """
    show_own_lines()
    begin_again()
    plan = plan_sweep(settings, only=composition)
    (chosen,) = plan.compositions
    folder = create_sweep(Path(out), settings, compositions=None).composition(chosen.name)
    with locked(folder.path):
        folder.begin()
        with relaxers(folder, settings.workers) as relax:
            found = search_alloy(
                chosen,
                plan,
                folder.settings,
                relax_surrogate=relax.surrogate(settings.surrogate),
                relax_reference=relax.reference,
                cache=folder.sampling,
            )
        report = write_composition(folder, found)
    publish_artifacts(report, folder.path)
    return report


@flow(name="sweep-alloy", persist_result=False)
def sweep_alloy(out: Out, settings: SweepSettings) -> AlloyReport:
    """Search the vacancies of an alloy at all its compositions.

    Each composition is a flow run of its own. One that is lost does not end the others: the report says what is missing.

    Parameters
    ----------
    out
        Folder of the sweep; an earlier one of the same end members there is continued.
    settings
        Of the sweep.

    Returns
    -------
    AlloyReport
        Also written into the folder.
    """
    show_own_lines()
    begin_again()
    with locked(Path(out)):
        plan = plan_sweep(settings)
        folder = create_sweep(Path(out), settings, compositions=[one.name for one in plan.compositions])
        folder.clear_stop_request()
        with relaxers(_end_members_folder(folder), settings.workers) as relax:
            missing = _relax_end_members(folder, plan, relax.reference)
            lost = dict.fromkeys((one.name for one in plan.compositions), missing) if missing else {}
            if not missing:
                lost = _fan_out(plan.compositions, folder, settings)
        report = write_sweep(folder, plan, lost=lost)
        add_to_index(folder.archive)
    with shown():
        publish_sweep(report, folder.path)
    return report


def _end_members_folder(folder: SweepFolder) -> CompositionFolder:
    own: CompositionFolder = folder.composition(END_MEMBERS)
    own.path.mkdir(parents=True, exist_ok=True)
    own.begin()
    return own


def _relax_end_members(folder: SweepFolder, plan: SweepPlan, relax_reference: Relax) -> str:
    """Relax the end members once, before compositions that run side by side would each do it; say what is missing."""
    relaxed = relax_end_members(plan, folder.settings, relax_reference)
    missing = [one for one in relaxed if not one.usable]
    failures = [failure.message for one in missing if one.unit and (failure := folder.archive.failure(one.unit))]
    names = ", ".join(one.host.name for one in missing)
    return (
        f"end member {names} has no relaxed cell: {'; '.join(failures) or 'its relaxation diverged'}" if missing else ""
    )


def _fan_out(compositions: tuple[Composition, ...], folder: SweepFolder, settings: SweepSettings) -> dict[str, str]:
    """Search compositions, side by side if asked, and return what those that were lost broke with, by name."""
    return side_by_side(
        [one.name for one in compositions],
        lambda name: search_composition(name, str(folder.path), folder.settings),
        what="composition",
        at_once=settings.compositions_at_once,
        request_stop=folder.request_stop,
    )
