"""The search of one host as a Prefect flow: what the paper's Methods do, each level of theory on its own Dask workers."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run

from defect_surrogate.crystal_files import name_from_source
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.settings import SearchSettings
from flows.artifacts import publish_artifacts
from flows.described import described
from flows.lock import locked
from flows.progress import show_own_lines
from flows.relaxing import relaxers
from flows.results import add_to_index, write_results
from flows.resumed import begin_again
from flows.run_folder import RunFolder, create_run
from flows.search import search

Source = Annotated[str, described("Path of a CIF, POSCAR, extxyz or pymatgen JSON file, or a Materials Project id.")]
Out = Annotated[str, described("Folder of the run; an earlier search of the same host there is continued.")]


def search_name() -> str:
    """Return the name of a run of ``search_host``: that of the host, or of its file if it has none."""
    parameters = flow_run.parameters
    return parameters["settings"].host.name or name_from_source(parameters["source"]) or Path(parameters["source"]).name


@flow(name="search-host", flow_run_name=search_name, persist_result=False)
def search_host(source: Source, out: Out, settings: SearchSettings = SearchSettings()) -> CampaignReport:  # noqa: B008
    """Find the ground-state structures of a host's vacancies.

    The sampling structures of each vacancy are relaxed with the surrogate; those that end in a distinct minimum, and the
    unperturbed structure, are relaxed at the reference level. What the archive of the run holds is not computed again.

    Parameters
    ----------
    source
        Path of a CIF, POSCAR, extxyz or pymatgen JSON file, or a Materials Project id.
    out
        Folder of the run; an earlier search of the same host there is continued.
    settings
        Settings of the search; the defaults are the paper's.

    Returns
    -------
    CampaignReport
        Also written into the folder. Units that broke are listed in it.
    """
    show_own_lines()
    begin_again()
    with locked(Path(out)):
        report = search_in(create_run(Path(out), source, settings))
    publish_artifacts(report, Path(out))
    return report


def search_in(run: RunFolder) -> CampaignReport:
    """Search the host of a run folder, which has to be held.

    Parameters
    ----------
    run
        The folder, with the host's file and the settings.

    Returns
    -------
    CampaignReport
        Also written into the folder.
    """
    run.begin()
    with relaxers(run, run.settings.workers) as relax:
        found = search(
            run.source,
            run.settings,
            relax_surrogate=relax.surrogate(run.settings.surrogate),
            relax_reference=relax.reference,
            structures=run.structures,
            cache=run.sampling,
        )
    report = write_results(run, [found])
    add_to_index(run.archive)
    return report
