"""The files of a report: ``campaign.json``, ``results.csv`` and the minima as POSCARs; and reading them back.

Each file is written under a temporary name and renamed, so that a reader sees the old one or the new one, whole.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TypeVar
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.errors import ReportError
from defect_surrogate.reports.alloy_schema import ALLOY_SCHEMA_VERSION, AlloyReport
from defect_surrogate.reports.results import RESULTS_FILE, results_csv
from defect_surrogate.reports.schema import SCHEMA_VERSION, CampaignReport

CAMPAIGN_FILE = "campaign.json"

_STATES = {True: "", False: "; NOT CONVERGED", None: "; convergence not recorded"}

_CAMPAIGN, _ALLOY = TypeAdapter(CampaignReport), TypeAdapter(AlloyReport)

ReportT = TypeVar("ReportT")


def write_report_files(campaign: CampaignReport, folder: Path, *, structures: Mapping[str, Structure]) -> None:
    """Write ``campaign.json``, ``results.csv`` and the POSCARs, and remove the POSCARs that only an earlier report named.

    Parameters
    ----------
    campaign
        The report.
    folder
        Run folder; made when missing.
    structures
        Structure by path relative to ``folder``, from ``minimum_structures``, for each file that ``campaign`` names.

    Raises
    ------
    ReportError
        If a structure is missing, or its path leaves ``folder``.
    ValueError
        If a number in ``campaign`` is not finite.
    """
    named = dict(_structure_files(campaign))
    earlier = (folder / CAMPAIGN_FILE).is_file()
    for path, comment in named.items():
        if path not in structures:
            raise ReportError(f"{path}: no structure was given for this file of the report")
        replace_file(_inside(folder, path), _poscar(structures[path], comment))
    replace_file(folder / RESULTS_FILE, results_csv(campaign))
    replace_file(folder / CAMPAIGN_FILE, campaign_json(campaign))
    if earlier:
        _remove_others(folder, named)


def campaign_json(campaign: CampaignReport) -> str:
    """Write a report as strict JSON with sorted keys.

    Parameters
    ----------
    campaign
        The report.

    Returns
    -------
    str
        Text that ``read_campaign`` reads back to the same value.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(asdict(campaign), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def read_campaign(path: Path) -> CampaignReport:
    """Read a ``campaign.json``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    CampaignReport
        The report.

    Raises
    ------
    ReportError
        If the file cannot be read, is no report, or is of a later schema than this software knows.
    """
    return _read_report(path, _CAMPAIGN, SCHEMA_VERSION)


def read_alloy(path: Path) -> AlloyReport:
    """Read an ``alloy.json``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    AlloyReport
        The report.

    Raises
    ------
    ReportError
        If the file cannot be read, is no report, or is of another schema than this software knows.
    """
    return _read_report(path, _ALLOY, ALLOY_SCHEMA_VERSION)


def read_structures(campaign: CampaignReport, folder: Path) -> dict[str, Structure]:
    """Read back the POSCARs that a report names.

    Parameters
    ----------
    campaign
        The report, from ``read_campaign``.
    folder
        Run folder it lies in.

    Returns
    -------
    dict of str to Structure
        Structure by path relative to ``folder``.

    Raises
    ------
    ReportError
        If a file is missing or damaged, or its path leaves ``folder``.
    """
    structures = {}
    for name, _ in _structure_files(campaign):
        path = _inside(folder, name)
        try:
            structures[name] = Poscar.from_file(path, check_for_potcar=False).structure
        except (OSError, ValueError, IndexError) as error:
            raise ReportError(f"{path}: cannot be read as a POSCAR: {error}") from error
    return structures


def replace_file(path: Path, text: str) -> None:
    """Write a text file that a reader sees old or new, and whole.

    Parameters
    ----------
    path
        The file; its folder is made when missing.
    text
        What it is to hold, encoded as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:50]}-{uuid4().hex[:8]}")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_report(path: Path, kind: TypeAdapter[ReportT], schema_version: int) -> ReportT:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: cannot be read as JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise ReportError(f"{path}: is not a {path.name} of this software: it has no schema_version")
    if version != schema_version:
        raise ReportError(f"{path}: is of schema {version}; this version of the software reads schema {schema_version}")
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ReportError(f"{path}: {where}: {fault['msg']} ({error.error_count()} faults in all)") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _structure_files(campaign: CampaignReport) -> Iterator[tuple[str, str]]:
    """Yield path and comment line of each POSCAR."""
    for host in campaign.hosts:
        for vacancy in host.vacancies:
            for level, minima in (
                ("surrogate", vacancy.surrogate_minima),
                ("reference", vacancy.minima),
                ("reference", vacancy.full_reference_minima),
            ):
                theory = host.surrogate if level == "surrogate" else host.reference
                for one in minima or ():
                    unit = f"{host.name}/{vacancy.name}/{one.label}/{level}"
                    state = _STATES[one.converged]
                    yield one.structure_file, f"E = {one.energy:.8f} eV; {theory}; {unit}{state}"
            if vacancy.unperturbed_file is not None:
                energy = next(
                    r.energy for r in vacancy.relaxations if r.level == "reference" and r.label == "Unperturbed"
                )
                shown = "unknown" if energy is None else f"{energy:.8f} eV"
                unit = f"{host.name}/{vacancy.name}/Unperturbed/reference"
                yield vacancy.unperturbed_file, f"E = {shown}; {host.reference}; {unit}"


def _remove_others(folder: Path, named: Collection[str]) -> None:
    """Remove the POSCARs below ``minima`` that are not named, and folders left empty; links are not followed."""
    root = folder / "minima"
    if root.is_symlink():
        return
    for parent, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(parent, name)
            if path.suffix == ".vasp" and path.relative_to(folder).as_posix() not in named:
                path.unlink()
        if not any(Path(parent).iterdir()):
            Path(parent).rmdir()


def _poscar(structure: Structure, comment: str) -> str:
    plain = Structure(structure.lattice, [site.specie.symbol for site in structure], structure.frac_coords)
    return Poscar(plain, comment=" ".join(comment.split())).get_str(significant_figures=12)


def _inside(folder: Path, name: str) -> Path:
    relative = PurePosixPath(name)
    path = folder / relative
    if relative.is_absolute() or ".." in relative.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ReportError(f"{name!r}: a file of the report would lie outside {folder}")
    return path
