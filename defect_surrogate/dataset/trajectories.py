"""The ionic steps of one relaxation in a folder, over all its restarts, and which of them are to be learnt from.

Groups restart a relaxation in the same folder and keep the earlier outputs under other names (``vasprun.xml_1``,
``vasprun_old.xml.gz``, ``OUTCAR.bak``). Each file says when its run began, which puts them in order. A file that ends in the
middle, as when a job ran out of time, is read up to its last whole step.

Left out, as the authors of doi:10.1038/s41524-024-01303-9 do, are steps that used up NELM without converging electronically and
steps with a positive energy; besides, steps that are not finite or absurd, and steps repeated in a copy of a file.
"""

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monty.io import zopen

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.dataset.frames import PRECISION
from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.relaxation import Frame, max_force
from defect_surrogate.vasp.outputs import VaspOutput, read_outcar, read_text, read_vasprun
from defect_surrogate.vasp.parse import LARGEST_ENERGY, LARGEST_FORCE

_OUTPUT = re.compile(r"(?P<kind>vasprun|OUTCAR)(?P<middle>[^/]*?)(?P<compression>\.gz|\.bz2|\.xz)?")
_DATES = (
    re.compile(r'name="date"[^>]*>\s*(\d+) (\d+) (\d+)\s*<.*?name="time"[^>]*>\s*(\d+):(\d+):(\d+)', re.DOTALL),
    re.compile(r"executed on .*?date (\d+)\.(\d+)\.(\d+)\s+(\d+):(\d+):(\d+)"),
)
_HEAD = 4000  # bytes of a file within which the date stands


@dataclass(frozen=True)
class Step:
    """One ionic step.

    Attributes
    ----------
    number
        Counted from 0 over all restarts.
    frame
        Structure, energy, forces and stress.
    source
        SHA-256 of the file.
    """

    number: int
    frame: Frame
    source: str


@dataclass(frozen=True)
class Trajectory:
    """The ionic steps of one relaxation.

    Attributes
    ----------
    found
        Number of ionic steps in all files, cut ones included.
    steps
        Those to be learnt from, in order.
    dropped
        Why the others are not, in words; also what is wrong with files of which nothing was read.
    levels
        Level of theory of each file that was read, and the file.
    potcars
        Title of each POTCAR of each file that was read, and the file.
    """

    found: int
    steps: tuple[Step, ...]
    dropped: tuple[str, ...]
    levels: tuple[tuple[str, Path], ...]
    potcars: tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class _Run:
    output: VaspOutput
    path: Path
    cut: int


def holds_output(names: list[str]) -> bool:
    """Whether there is output of VASP among the names of the files in a folder, from this run or from an earlier one."""
    return any(_kind(name) for name in names)


def read_trajectory(folder: Path) -> Trajectory:
    """Read the ionic steps of a relaxation.

    Parameters
    ----------
    folder
        Holds vasprun.xml or OUTCAR, also of earlier runs under other names, plain or compressed.

    Returns
    -------
    Trajectory
        Of each run vasprun.xml is read, and OUTCAR where there is no vasprun.xml of it that can be read.
    """
    runs, faults = [], []
    for paths in _outputs(folder):
        for path in paths:
            try:
                runs.append(_read(path))
                break
            except ReferenceRunError as error:
                faults.append(str(error).removeprefix(f"{folder}/"))
    found = 0
    steps: list[Step] = []
    reasons: Counter[str] = Counter()
    seen: set[bytes] = set()
    for run in _in_order(runs):
        source = file_digest(run.path)
        for frame, self_consistent in zip(run.output.frames, run.output.self_consistent, strict=True):
            reason = _reason(frame, self_consistent=self_consistent, limit=run.output.tags.get("NELM"))
            if reason is None and (content := _content(frame)) in seen:
                reason = "repeated in another file"
            elif reason is None:
                seen.add(content)
                steps.append(Step(found, frame, source))
            if reason is not None:
                reasons[reason] += 1
            found += 1
        if run.cut:
            reasons[f"cut off at the end of {run.path.name}"] += run.cut
            found += run.cut
    dropped = [counted(count, reason) for reason, count in reasons.items()]
    return Trajectory(
        found,
        tuple(steps),
        (*dropped, *faults),
        levels=tuple((run.output.level_of_theory, run.path) for run in runs),
        potcars=tuple((title, run.path) for run in runs for title in run.output.titels),
    )


def counted(count: int, reason: str) -> str:
    """Say how many steps were dropped and why, e.g. ``2 steps with a positive energy``."""
    return f"{count} {'step' if count == 1 else 'steps'} {reason}"


def _outputs(folder: Path) -> list[list[Path]]:
    """Group the outputs by run, which shows in what their names have besides; vasprun first, plain before compressed."""
    runs: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (_kind(path.name) != "vasprun", path.suffix, path.name)):
        if path.is_file() and (match := _OUTPUT.fullmatch(path.name)) and _kind(path.name):
            runs.setdefault(match["middle"].replace(".xml", ""), []).append(path)
    return [runs[name] for name in sorted(runs, key=_natural)]


def _kind(name: str) -> str | None:
    match = _OUTPUT.fullmatch(name)
    return match["kind"] if match and (match["kind"] == "OUTCAR" or ".xml" in match["middle"]) else None


def _natural(name: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    """Order names of runs by the numbers in them; the one without a name of its own is the last."""
    parts = re.findall(r"\d+|\D+", name)
    return name == "", [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _in_order(runs: list[_Run]) -> list[_Run]:
    """Order runs by when they began, where all of them say so; else they stay in the order of their names."""
    dates = [_began(run.path) for run in runs]
    if any(date is None for date in dates):
        return runs
    return [runs[i] for i in sorted(range(len(runs)), key=lambda i: dates[i] or ())]


def _began(path: Path) -> tuple[int, ...] | None:
    with zopen(path, "rb") as file:
        head = file.read(_HEAD).decode("utf-8", errors="replace")
    match = next((match for pattern in _DATES if (match := pattern.search(head))), None)
    return tuple(int(number) for number in match.groups()) if match else None


def _read(path: Path) -> _Run:
    read = read_vasprun if _kind(path.name) == "vasprun" else read_outcar
    try:
        return _Run(read(path), path, cut=0)
    except ReferenceRunError as error:
        text, cut = _whole_steps(read_text(path), is_outcar=read is read_outcar)
        if not cut:
            raise
        with tempfile.TemporaryDirectory() as folder:
            mended = Path(folder) / path.name.removesuffix(path.suffix if path.suffix in (".gz", ".bz2", ".xz") else "")
            mended.write_text(text, encoding="utf-8")
            try:
                return _Run(read(mended), path, cut)
            except ReferenceRunError:
                raise error from None


def _whole_steps(text: str, *, is_outcar: bool) -> tuple[str, int]:
    """Return the text up to its last whole ionic step, ended as VASP does, and the number of steps cut (0: none is whole)."""
    if is_outcar:
        ends = [match.end() for match in re.finditer(r"LOOP\+:.*\n", text)]
        begun = max((int(number) for number in re.findall(r"Iteration\s+(\d+)\(", text)), default=0)
        ending = " General timing and accounting informations for this job:\n"
    else:
        ends = [match.end() for match in re.finditer(r"</calculation>", text)]
        begun = text.count("<calculation>")
        ending = "\n</modeling>\n"
    if not ends or ending.strip() in text:
        return text, 0
    return text[: ends[-1]] + ending, max(1, begun - len(ends))


def _reason(frame: Frame, *, self_consistent: bool, limit: object) -> str | None:
    """Say why a step is not to be learnt from; None if it is."""
    stress = 0.0 if frame.stress is None else frame.stress
    numbers = (frame.energy, frame.forces, stress, frame.structure.cart_coords, frame.structure.lattice.matrix)
    if not all(np.isfinite(values).all() for values in numbers):
        return "with numbers that are not finite"
    if not self_consistent:
        return f"without electronic convergence (NELM = {limit})"
    if max_force(frame.forces) > LARGEST_FORCE or abs(frame.energy) > LARGEST_ENERGY * len(frame.structure):
        return f"with absurd energy or force (limits {LARGEST_ENERGY:g} eV per atom, {LARGEST_FORCE:g} eV/Å)"
    return "with a positive energy" if frame.energy > 0 else None


def _content(frame: Frame) -> bytes:
    values = np.concatenate(
        [[frame.energy], frame.structure.cart_coords.ravel(), frame.structure.lattice.matrix.ravel()]
    )
    return np.rint(values / PRECISION).astype("<i8").tobytes()
