"""From VASP's output to a ``Relaxation``: what is believed, what is dropped, what is refused.

The trajectory is that of the last execution of VASP in the directory: when custodian corrected and restarted a run,
what went before lies in ``error.N.tar.gz`` and is part of the provenance only. A step that used up NELM has no
self-consistent forces and is dropped; without its last step a run is not converged. Numbers that are not finite,
forces on the last step above 1000 eV/Å, and files that end in the middle are refused: pymatgen reads ``****`` as NaN
and ASE reads truncated files, both without an error.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from defect_surrogate.errors import ReferenceDivergedError, ReferenceRunError
from defect_surrogate.relaxation import Frame, Provenance, Reason, Relaxation, digest, max_force
from defect_surrogate.vasp.outputs import VaspOutput, find_output, read_outcar, read_text, read_vasprun

LARGEST_FORCE = 1e3
"""eV/Å. Beyond what atoms exert on each other at the distances ShakeNBreak makes, 1 Å or more; our choice."""
LARGEST_ENERGY = 1e4
"""eV per atom, far beyond any energy of valence electrons alone; our choice."""

NOTHING_DONE = "nothing to be done"
"""Ends what is said of a handler that changed nothing."""

LARGEST_FALL = 10.0
"""eV per atom that a relaxation can fall from its first step: no solid is bound by more than 9 (tungsten; Kittel, Introduction
to Solid State Physics, ISBN 978-0-471-41526-8). What falls farther has electrons in no state that exists."""


def parse_run(directory: Path) -> Relaxation:
    """Read a finished VASP or ``vasp-xtb`` run, this package's or anybody's.

    Parameters
    ----------
    directory
        Holds vasprun.xml, or else OUTCAR (each also .gz, .bz2, .xz), and perhaps custodian.json.

    Returns
    -------
    Relaxation
        With all believed ionic steps as frames, sites in the order of the file. ``provenance.method`` is the digest
        of INCAR tags and POTCAR titles in the file. Where OUTCAR is there, converged means that it says ``reached
        required accuracy``, otherwise that EDIFFG is met by the last step; pymatgen's own test takes every run
        shorter than NSW for converged, also one stopped by STOPCAR.

    Raises
    ------
    ReferenceRunError
        Naming file and step, if there is no output, or it is truncated, not finite or absurd, or no step is
        self-consistent.
    """
    vasprun, outcar = find_output(directory, "vasprun.xml"), find_output(directory, "OUTCAR")
    if vasprun is not None:
        output = read_vasprun(vasprun)
    elif outcar is not None:
        output = read_outcar(outcar)
    else:
        raise ReferenceRunError(f"{directory}: neither vasprun.xml nor OUTCAR, plain or compressed")
    report = read_text(outcar) if outcar is not None else None
    return _relaxation(output, report=report, corrections=read_corrections(directory / "custodian.json"))


def read_corrections(path: Path) -> tuple[str, ...]:
    """Put custodian's log into words; read as plain JSON, because decoding it would call what it names.

    Parameters
    ----------
    path
        Its ``custodian.json``; nothing was corrected if there is none.

    Returns
    -------
    tuple of str
        Each handler, what it found and what it changed, in order.

    Raises
    ------
    ReferenceRunError
        If it is not a log of custodian.
    """
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        corrections = [correction for entry in entries for correction in entry["corrections"]]
        return tuple(_in_words(correction) for correction in corrections)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceRunError(f"{path}: is not a log of custodian: {error!r}") from error


def _relaxation(output: VaspOutput, *, report: str | None, corrections: tuple[str, ...]) -> Relaxation:
    frames = _believed(output)
    steps, last = len(output.frames), frames[-1]
    dropped_end = not output.self_consistent[-1]
    converged = not dropped_end and _converged(output, frames, report)
    reason: Reason = (
        "converged" if converged else "step limit" if steps >= int(output.tags.get("NSW", 0)) else "stopped"
    )
    detail = f"max force {max_force(last.forces):.2e} eV/Å after {steps} ionic steps"
    if dropped_end:
        detail += f"; the last did not converge in NELM = {output.tags.get('NELM')} electronic steps and was dropped"
    elapsed = re.search(r"Elapsed time \(sec\):\s+([\d.]+)", report or "")
    given = {tag: str(value) for tag, value in output.given_tags.items()}
    return Relaxation(
        level="reference",
        structure=last.structure,
        energy=last.energy,
        steps=steps,
        converged=converged,
        reason=reason,
        detail=detail,
        provenance=Provenance(
            level_of_theory=output.level_of_theory,
            method=digest({"incar": given, "potcars": list(output.titels), "level": output.level_of_theory}),
            seconds=float(elapsed[1]) if elapsed else float("nan"),
            evaluations=steps,
            versions=output.versions,
            corrections=corrections,
        ),
        frames=frames,
    )


def _believed(output: VaspOutput) -> tuple[Frame, ...]:
    """Return the self-consistent frames, checked, without trial steps of a line search that went absurdly far."""
    if not output.frames:
        raise ReferenceRunError(f"{output.source}: holds no ionic step")
    kept = []
    for number, (frame, self_consistent) in enumerate(zip(output.frames, output.self_consistent, strict=True), start=1):
        numbers = [np.array([frame.energy]), frame.forces, frame.structure.frac_coords, frame.structure.lattice.matrix]
        if frame.stress is not None:
            numbers.append(frame.stress)
        if not all(np.isfinite(values).all() for values in numbers):
            raise ReferenceRunError(
                f"{output.source}: ionic step {number}: energy, forces, stress or structure not finite"
            )
        if self_consistent:
            kept.append((number, frame))
    if not kept:
        limit = output.tags.get("NELM")
        raise ReferenceRunError(
            f"{output.source}: none of {len(output.frames)} ionic steps converged within NELM = {limit}"
        )
    first, (number, last) = kept[0][1], kept[-1]
    if _is_absurd(last, first):
        raise ReferenceDivergedError(
            f"{output.source}: ionic step {number}: energy {last.energy:g} eV, from {first.energy:g} eV in the first, and "
            f"force {max_force(last.forces):g} eV/Å are absurd (limits {LARGEST_ENERGY:g} eV per atom, a fall of "
            f"{LARGEST_FALL:g} eV per atom, {LARGEST_FORCE:g} eV/Å)"
        )
    return tuple(frame for _, frame in kept if not _is_absurd(frame, first))


def _is_absurd(frame: Frame, first: Frame) -> bool:
    atoms = len(frame.structure)
    return (
        max_force(frame.forces) > LARGEST_FORCE
        or abs(frame.energy) > LARGEST_ENERGY * atoms
        or first.energy - frame.energy > LARGEST_FALL * atoms
    )


def _converged(output: VaspOutput, frames: tuple[Frame, ...], report: str | None) -> bool:
    """Whether the ionic loop ended by its own criterion; of a single point, whether it meets that criterion."""
    moves = int(output.tags.get("NSW", 0)) > 0 and int(output.tags.get("IBRION", 0)) != -1
    if moves and report is not None:
        return "reached required accuracy" in report
    threshold = float(output.tags.get("EDIFFG", 0.0))
    if threshold < 0:
        free = np.array(frames[-1].structure.site_properties.get("selective_dynamics", True), dtype=bool)
        return max_force(np.where(free, frames[-1].forces, 0.0)) <= -threshold
    return len(frames) > 1 and abs(frames[-1].energy - frames[-2].energy) < threshold


def _in_words(correction: Mapping[str, Any]) -> str:
    handler = correction["handler"]["@class"]
    changes = []
    for action in correction["actions"] or ():
        target = action.get("dict") or action.get("file") or "run"
        for verb, value in action.get("action", {}).items():
            if target == "INCAR" and isinstance(value, dict):
                change = ", ".join(f"{tag} = {new}" if verb == "_set" else f"no {tag}" for tag, new in value.items())
            elif verb == "_file_copy":
                change = f"copied to {value['dest']}"
            else:
                change = verb.strip("_")
            changes.append(f"{target}: {change}")
    return f"{handler}: {', '.join(correction['errors'])} → {'; '.join(changes) or NOTHING_DONE}"
