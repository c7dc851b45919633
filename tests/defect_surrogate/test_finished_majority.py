"""Of two levels of theory, or two defects, in one folder the larger group is kept."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.finished_majority import keep_one_defect, keep_one_level
from defect_surrogate.finished_relaxation import NOT_RECORDED
from defect_surrogate.relaxation import Provenance, Relaxation

FOLDER = Path("v_Cd_0")


def relaxation(level: str, *, energy: float = -1.0, symbols: tuple[str, ...] = ("Te",)) -> Relaxation:
    provenance = Provenance(level_of_theory=level, method=level, seconds=1.0, evaluations=1, versions=())
    structure = Structure(Lattice.cubic(5), symbols, [[0.5 * k, 0, 0] for k in range(len(symbols))])
    return Relaxation("reference", structure, energy, 1, True, "converged", "", provenance)


@pytest.mark.parametrize(
    ("levels", "kept", "message"),
    [
        ({"Dimer": "GFN1-xTB", "Rattled": NOT_RECORDED, "Unperturbed": NOT_RECORDED}, NOT_RECORDED, "energies file"),
        ({"Dimer": NOT_RECORDED, "Rattled": "HSE06", "Unperturbed": "HSE06"}, "HSE06", "no output to show"),
        ({"Dimer": NOT_RECORDED, "Rattled": "HSE06"}, "HSE06", "no output to show that its energy is HSE06"),
        ({"Dimer": "PBE", "Rattled": "HSE06", "Unperturbed": "HSE06"}, "HSE06", "Dimer: PBE, unlike most folders"),
    ],
)
def test_the_larger_group_is_kept_and_of_equal_ones_the_recorded(levels, kept, message):
    relaxations = {label: relaxation(level) for label, level in levels.items()}
    failures = {}
    keep_one_level(relaxations, failures, folder=FOLDER, energies={"Dimer": -5.0, "Rattled": -5.0})
    assert {one.provenance.level_of_theory for one in relaxations.values()} == {kept}
    assert message in str(failures["Dimer"])
    assert set(relaxations) | set(failures) == set(levels)


def test_energies_join_the_level_they_agree_with_though_another_has_more_outputs():
    levels = {"Dimer": "HSE06", "Rattled": "PBE", "Bond_Distortion_0.0%": "PBE"}
    relaxations = {label: relaxation(level) for label, level in levels.items()}
    relaxations |= {f"Bond_Distortion_-{k}0.0%": relaxation(NOT_RECORDED) for k in (1, 2, 3)}
    failures = {}
    keep_one_level(relaxations, failures, folder=FOLDER, energies={"Dimer": -1.0, "Rattled": -3.0})
    assert {one.provenance.level_of_theory for one in relaxations.values()} == {"HSE06"}
    assert (len(relaxations), set(failures)) == (4, {"Rattled", "Bond_Distortion_0.0%"})


def test_the_defect_of_most_folders_is_kept():
    bulk = relaxation("", symbols=("Cd", "Te")).structure
    relaxations = {label: relaxation("HSE06") for label in ("Dimer", "Unperturbed")}
    relaxations["Rattled"] = relaxation("HSE06", symbols=("Te", "Te"))
    failures = {}
    keep_one_defect(relaxations, failures, folder=FOLDER, bulk=bulk)
    assert set(relaxations) == {"Dimer", "Unperturbed"}
    assert str(failures["Rattled"]) == "v_Cd_0/Rattled: Te2 is not the defect of most folders"


def test_nothing_to_keep():
    relaxations, failures = {}, {}
    keep_one_defect(relaxations, failures, folder=FOLDER, bulk=relaxation("").structure)
    keep_one_level(relaxations, failures, folder=FOLDER, energies={})
    assert (relaxations, failures) == ({}, {})
