"""A relaxation over several runs: what an interrupted run has done, and how the next goes on from it.

Whatever ended a run, its walltime, a signal or the loss of its node, the ionic steps that stand whole in its vasprun.xml are
those of the relaxation, up to the lowest of them, where the next run starts: the last may be the trial of a line search, which
can be anywhere. The optimiser starts anew, as it does whenever CONTCAR becomes POSCAR. Steps of all runs make one trajectory
and count together towards NSW.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.errors import DefectSurrogateError
from defect_surrogate.relaxation import Relaxation, Segment
from defect_surrogate.vasp.checks import check_corrections, check_program, in_order_of
from defect_surrogate.vasp.inputs import ReferenceMethod
from defect_surrogate.vasp.outputs import read_text
from defect_surrogate.vasp.parse import NOTHING_DONE, parse_run, read_corrections

_log = logging.getLogger(__name__)

_STEP, _END_OF_STEP, _END_OF_FILE = "<calculation>", "</calculation>", "</modeling>"
_FORCES, _END_OF_ENERGY = '<varray name="forces"', "</energy>"
WHOLE_PART = "whole-part"
"""Folder, in that of an interrupted run, for the whole part of its vasprun.xml."""


def interrupted_steps(
    directory: Path, structure: Structure, method: ReferenceMethod, earlier: Sequence[Segment]
) -> Segment | None:
    """Read what a run has done that was interrupted, by whatever.

    Parameters
    ----------
    directory
        Of the run, as it was left behind.
    structure
        Start of the relaxation, n sites.
    method
        As asked for.
    earlier
        Segments that the run went on from.

    Returns
    -------
    Segment or None
        With sites in the order of ``structure``; None if the run came no lower than where it started, or if what it left cannot
        be believed.
    """
    vasprun = directory / "vasprun.xml"
    try:
        if not vasprun.is_file():
            return None
        part = directory / WHOLE_PART
        part.mkdir(exist_ok=True)
        (part / "vasprun.xml").write_text(_whole_part(read_text(vasprun)), encoding="utf-8")
        relaxation = parse_run(part)
        found = read_corrections(directory / "custodian.json")
        corrections = tuple(one for one in found if not one.endswith(NOTHING_DONE))  # what ended it is none
        check_program(relaxation, method, directory)
        check_corrections(corrections, remaining_steps(method, earlier), directory)
        cell_moves = int(str(method.incar.get("ISIF", 2))) > 2
        frames = in_order_of(structure, relaxation, directory, cell_moves=cell_moves).frames
        seconds = vasprun.stat().st_mtime - (directory / "KPOINTS").stat().st_mtime  # written first, and not corrected
    except (DefectSurrogateError, OSError, ValueError) as error:
        _log.warning("%s: nothing of it is used: %s", directory, error)
        return None
    lowest = min(range(len(frames)), key=lambda step: frames[step].energy)
    return Segment(tuple(frames[: lowest + 1]), max(0.0, seconds), corrections) if lowest else None


def remaining_steps(method: ReferenceMethod, earlier: Sequence[Segment]) -> ReferenceMethod:
    """Return a method with what earlier runs have left of NSW, one step at least.

    Parameters
    ----------
    method
        As asked for.
    earlier
        What has been done.

    Returns
    -------
    ReferenceMethod
        To write inputs from; the digest of the method is that of ``method``.
    """
    if not earlier:
        return method
    left = max(1, int(str(method.incar.get("NSW", 0))) - _steps(earlier))
    return replace(method, incar=dict(method.incar) | {"NSW": left})


def continued(relaxation: Relaxation, earlier: Sequence[Segment]) -> Relaxation:
    """Put the steps of earlier runs before those of the last.

    Parameters
    ----------
    relaxation
        Of the last run, which began with the last step of the segments.
    earlier
        Segments, in order.

    Returns
    -------
    Relaxation
        One trajectory; steps, evaluations, seconds and corrections are those of all runs.
    """
    if not earlier:
        return relaxation
    before = tuple(frame for segment in earlier for frame in segment.frames[:-1])
    steps, own = _steps(earlier), relaxation.provenance
    provenance = replace(
        own,
        seconds=own.seconds + sum(segment.seconds for segment in earlier),
        evaluations=own.evaluations + sum(len(segment.frames) for segment in earlier),
        corrections=(*(one for segment in earlier for one in segment.corrections), *own.corrections),
    )
    return replace(
        relaxation,
        steps=relaxation.steps + steps,
        detail=f"{relaxation.detail}, and {steps} in {len(earlier)} earlier runs",
        provenance=provenance,
        frames=(*before, *relaxation.frames),
    )


def _whole_part(text: str) -> str:
    """Cut a vasprun.xml after its last whole step, which lacks its end where none came after it."""
    end = text.rfind(_END_OF_STEP) + len(_END_OF_STEP) if _END_OF_STEP in text else 0
    forces = text.find(_FORCES, max(end, text.rfind(_STEP)))
    energy = text.find(_END_OF_ENERGY, forces) if forces >= 0 else -1
    if energy >= 0:
        return f"{text[: energy + len(_END_OF_ENERGY)]}\n{_END_OF_STEP}\n{_END_OF_FILE}\n"
    return f"{text[:end]}\n{_END_OF_FILE}\n"


def _steps(earlier: Sequence[Segment]) -> int:
    return sum(len(segment.frames) - 1 for segment in earlier)
