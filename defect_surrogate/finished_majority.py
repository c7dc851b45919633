"""Which of the finished relaxations in one folder belong together: those of one defect and of one level of theory.

The majority decides. Energies of two levels of theory must not be ranked together, and one stray output among the relaxed
structures of others should not cast these out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pymatgen.core import Structure

from defect_surrogate.defect_site import composition_difference
from defect_surrogate.errors import DefectSurrogateError, FolderError
from defect_surrogate.finished_relaxation import ENERGY_CONFLICT, NOT_RECORDED
from defect_surrogate.relaxation import Relaxation
from defect_surrogate.shakenbreak_folders import standard_label

T = TypeVar("T")


def keep_one_defect(
    relaxations: dict[str, Relaxation], failures: dict[str, DefectSurrogateError], *, folder: Path, bulk: Structure
) -> None:
    """Move relaxations of another defect than most from ``relaxations`` to ``failures``.

    Parameters
    ----------
    relaxations, failures
        By distortion label; both are changed.
    folder
        Named in the failures.
    bulk
        Supercell of the host; each structure differs from it by one point defect.
    """
    differences = {label: composition_difference(bulk, item.structure) for label, item in relaxations.items()}
    for label, difference in differences.items():
        if difference != _usual(differences):
            formula = relaxations.pop(label).structure.formula
            failures[label] = FolderError(f"{folder / label}: {formula} is not the defect of most folders")


def keep_one_level(
    relaxations: dict[str, Relaxation],
    failures: dict[str, DefectSurrogateError],
    *,
    folder: Path,
    energies: Mapping[str, float | None],
) -> None:
    """Move relaxations of another level of theory than most from ``relaxations`` to ``failures``.

    Energies without output are of the level of the outputs with which the energies file agrees where there is both. If it
    agrees with none, they are a level of their own; of equally large ones, a recorded one is kept.

    Parameters
    ----------
    relaxations, failures
        By distortion label; both are changed.
    folder
        Named in the failures.
    energies
        Content of the energies file, eV by distortion label.
    """
    if not relaxations:
        return
    levels = {label: item.provenance.level_of_theory for label, item in relaxations.items()}
    recorded = {label: level for label, level in levels.items() if level != NOT_RECORDED}
    agreeing = {
        label: level
        for label, level in recorded.items()
        if (energy := energies.get(standard_label(label))) is not None
        and abs(energy - relaxations[label].energy) <= ENERGY_CONFLICT
    }
    if agreeing:
        for label in levels.keys() - recorded.keys():
            levels[label] = _usual(agreeing)
            provenance = replace(relaxations[label].provenance, level_of_theory=levels[label])
            relaxations[label] = replace(relaxations[label], provenance=provenance)
    usual = _usual(recorded | levels)  # recorded ones first, as of equally common ones the first is taken
    for label, level in levels.items():
        if level == usual:
            continue
        del relaxations[label]
        if level == NOT_RECORDED:
            message = f"no output to show that its energy is {usual}, as elsewhere"
        elif usual == NOT_RECORDED:
            message = f"{level}, unlike most folders, whose energies are only in the energies file and are other ones"
        else:
            message = f"{level}, unlike most folders"
        failures[label] = FolderError(f"{folder / label}: {message}")


def _usual(values: Mapping[str, T]) -> T:
    """Return the most common value, of several the first."""
    return Counter(values.values()).most_common(1)[0][0]
