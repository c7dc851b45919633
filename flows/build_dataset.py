"""The reference searches of a list of hosts as a Prefect flow: the data a surrogate is trained on and measured against."""

import logging
from pathlib import Path
from typing import Annotated

import yaml
from prefect import flow
from pydantic import Field

from defect_surrogate import isolated_atoms
from defect_surrogate.errors import InputError
from defect_surrogate.reports.files import replace_file
from defect_surrogate.settings import BuildSettings
from flows.lock import locked
from flows.progress import show_own_lines
from flows.reference_search import ReferenceSearch, evaluate_atoms, reference_search
from flows.relaxing import relaxers
from flows.resumed import begin_again
from flows.run_folder import create_build
from flows.search_host import Out
from flows.training_driver import host_names

logger = logging.getLogger(__name__)

ATOMS_FILE = "isolated_atoms.yaml"
"""Energies of isolated atoms, for ``isolated_atoms`` in the settings of a training."""

Sources = Annotated[list[str], Field(min_length=1)]


@flow(name="build-dataset", persist_result=False)
def build_dataset(
    sources: Sources,
    out: Out,
    settings: BuildSettings = BuildSettings(),  # noqa: B008
) -> dict[str, int]:
    """Relax every sampling structure of the vacancies of several hosts at the reference level, and evaluate bulk cells.

    What the archive of the folder holds is not computed again. A host that cannot be used does not end the others.

    Parameters
    ----------
    sources
        Files of the hosts; each is named after its file.
    out
        Folder of the archive, and of ``isolated_atoms.yaml`` if the settings ask for isolated atoms.
    settings
        What is computed of each host.

    Returns
    -------
    dict of str to int
        Units without a result, by host; -1 for a host that cannot be used; isolated atoms are under ``atoms``.
    """
    show_own_lines()
    begin_again()
    missing: dict[str, int] = {}
    elements: set[str] = set()
    names = host_names(sources)
    with locked(Path(out)):
        folder = create_build(Path(out), sources, settings)
        folder.begin()
        with relaxers(folder, settings.workers) as relax:
            for done, (name, source) in enumerate(zip(names, sources, strict=True), start=1):
                logger.info("%s: host %d of %d", name, done, len(sources))
                try:
                    found = reference_search(
                        source, named(settings, name), relax_reference=relax.reference, cache=folder.sampling
                    )
                    missing[name] = count_missing(found)
                    elements.update(site.specie.symbol for site in found.host.unit_cell)
                except InputError as error:
                    logger.error("%s: %s", name, error)
                    missing[name] = -1
            if settings.isolated_atoms:
                elements |= _atoms_so_far(Path(out) / ATOMS_FILE)
                energies = evaluate_atoms(elements, settings.reference, relax_reference=relax.reference)
                replace_file(Path(out) / ATOMS_FILE, yaml.safe_dump(energies))
                missing[isolated_atoms.HOST] = len(elements) - len(energies)
    return missing


def _atoms_so_far(path: Path) -> set[str]:
    """Return the elements that an earlier call with other hosts wrote; the archive has their atoms."""
    return set(yaml.safe_load(path.read_text(encoding="utf-8")) or ()) if path.exists() else set()


def named(settings: BuildSettings, name: str) -> BuildSettings:
    """Return the settings with the name of one host."""
    return settings.model_copy(update={"host": settings.host.model_copy(update={"name": name})})


def count_missing(found: ReferenceSearch) -> int:
    """Count the units without a result."""
    return sum(unit.name not in found.relaxations for unit in found.units)
