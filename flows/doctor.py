"""What is installed and what can be seen from here, and what to do about each miss."""

import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from defect_surrogate.errors import ServiceError

DISTRIBUTION = "defect-surrogate"

EXECUTABLES = ("vasp_std", "vasp_gam", "vasp_ncl", "vasp-xtb")

SCHEDULERS = {"sbatch": "Slurm", "qsub": "PBS or SGE", "bsub": "LSF"}
"""Command that submits a job → scheduler."""


@dataclass(frozen=True)
class Check:
    """One thing looked for.

    Attributes
    ----------
    subject
        What was looked for.
    state
        ``ok``; ``optional`` if it is not there and a search on this machine does without; ``missing`` if it cannot.
    found
        What was found.
    advice
        What to do about it; empty if nothing is to be done.
    """

    subject: str
    state: Literal["ok", "optional", "missing"]
    found: str
    advice: str = ""


def examine() -> tuple[Check, ...]:
    """Look for libraries, force fields, POTCARs, executables, schedulers and a Prefect server.

    Returns
    -------
    tuple of Check
        In that order. Nothing is started, and only a configured Prefect server is asked.
    """
    return (
        _python(),
        *_libraries(),
        *_force_fields(),
        _potcars(),
        *[_executable(name) for name in EXECUTABLES],
        _scheduler(),
        _prefect_server(),
    )


def _python() -> Check:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Check("Python", "ok", found)
    return Check(
        "Python", "missing", found, "make an environment with Python 3.11: the bounds of the libraries need it"
    )


def _libraries() -> list[Check]:
    checks = []
    for text in importlib.metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": "mp"}):
            continue
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        checks.append(_library(requirement, optional=optional))
    return checks


def _library(requirement: Requirement, *, optional: bool) -> Check:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        if optional:
            advice = f"pip install '{DISTRIBUTION}[mp]', if hosts are to come from the Materials Project"
            return Check(requirement.name, "optional", "not installed", advice)
        return Check(
            requirement.name, "missing", "not installed", f"pip install '{requirement.name}{requirement.specifier}'"
        )
    if requirement.specifier.contains(version, prereleases=True):
        return Check(requirement.name, "ok", version)
    advice = f"pip install '{requirement.name}{requirement.specifier}': other versions are known to break"
    return Check(requirement.name, "missing", f"{version}, not {requirement.specifier}", advice)


def _force_fields() -> list[Check]:
    from defect_surrogate.surrogates import known_potentials  # noqa: PLC0415  (imports torch)

    built_in = [Check(f"force field {name}", "ok", "weights in the chgnet wheel") for name in known_potentials()]
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    models = sorted(
        path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--materialyze--*")
    )
    if models:
        return [*built_in, Check("force fields matgl:NAME", "ok", f"in the cache: {', '.join(models)}")]
    advice = "needed only for --surrogate matgl:NAME, which downloads it; or give the path of a checkpoint"
    return [*built_in, Check("force fields matgl:NAME", "optional", f"none in {hub}", advice)]


def _potcars() -> Check:
    from pymatgen.core import SETTINGS  # noqa: PLC0415

    advice = "needed only for a licensed VASP: pmg config -p POTCARS TARGET; pmg config --add PMG_VASP_PSP_DIR TARGET"
    directory = os.environ.get("PMG_VASP_PSP_DIR") or SETTINGS.get("PMG_VASP_PSP_DIR")
    if not directory:
        return Check("POTCARs", "optional", "PMG_VASP_PSP_DIR is not set", advice)
    sets = [path.name for path in sorted(Path(directory).glob("POT*")) if path.is_dir()]
    if not sets:
        return Check("POTCARs", "optional", f"no POT_… folder in PMG_VASP_PSP_DIR={directory}", advice)
    return Check("POTCARs", "ok", f"{', '.join(sets)} in {directory}")


def _executable(name: str) -> Check:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is not None:
        return Check(name, "ok", found)
    if name == "vasp-xtb":
        return Check(name, "missing", "not on PATH", f"pip install {DISTRIBUTION} again: it is one of its scripts")
    advice = f"load the module that has it, or name it in the settings: reference.vasp_cmd: [srun, /path/to/{name}]"
    return Check(name, "optional", "not on PATH", advice)


def _scheduler() -> Check:
    found = [f"{name} ({command})" for command, name in SCHEDULERS.items() if shutil.which(command)]
    if found:
        return Check("scheduler", "ok", ", ".join(found))
    return Check(
        "scheduler", "optional", "none", "searches run on this machine; batch jobs need a cluster's login node"
    )


def _prefect_server() -> Check:
    from prefect.settings import get_current_settings  # noqa: PLC0415  (seconds to import)

    from flows.service import check_server  # noqa: PLC0415

    url = get_current_settings().api.url
    if url is None:
        found = "PREFECT_API_URL is not set: each search starts a local server of its own"
        return Check("Prefect server", "ok", found)
    try:
        return Check("Prefect server", "ok", f"{check_server(url)} answers")
    except ServiceError as error:
        return Check(
            "Prefect server", "missing", str(error), "prefect server start on that machine, or unset PREFECT_API_URL"
        )
