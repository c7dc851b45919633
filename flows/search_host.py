"""The search of one host as a Prefect flow: what the paper's Methods do, each level of theory on its own Dask workers."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import WithJsonSchema

from defect_surrogate.archive import reindex
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.settings import SearchSettings
from flows.artifacts import publish_artifacts
from flows.lock import locked
from flows.progress import show_own_lines
from flows.relaxing import relaxers
from flows.results import write_results
from flows.run_folder import create_run
from flows.search import search


def described(text: str) -> WithJsonSchema:
    """Describe a parameter in the form of the dashboard; Prefect drops the description of a ``Field``."""
    return WithJsonSchema({"type": "string", "description": text})


Source = Annotated[str, described("Path of a CIF, POSCAR, extxyz or pymatgen JSON file, or a Materials Project id.")]
Out = Annotated[str, described("Folder of the run; an earlier search of the same host there is continued.")]


def search_name() -> str:
    """Return the name of a run of ``search_host``: that of the host's file."""
    return Path(str(flow_run.parameters["source"])).name


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
    with locked(Path(out)):
        run = create_run(Path(out), source, settings)
        run.begin()
        with relaxers(run, settings.workers) as relax:
            found = search(
                run.source,
                settings,
                relax_surrogate=relax.surrogate(settings.surrogate),
                relax_reference=relax.reference,
                structures=run.structures,
                cache=run.sampling,
            )
        report = write_results(run, [found])
        reindex(run.archive)
    publish_artifacts(report)
    return report
