import dataclasses

import pytest

from defect_surrogate.reports.schema import FailureReport
from defect_surrogate.reports.statements import in_ev, vacancy_statements


def texts(case, **changes):
    host = case.campaign.hosts[0]
    return [
        (statement.kind, statement.text)
        for statement in vacancy_statements(dataclasses.replace(host.vacancies[0], **changes), host=host)
    ]


def test_miss_is_said_plainly(missed):
    (text,) = [text for kind, text in texts(missed) if kind == "missed"]
    assert text.startswith(
        "Missed by the surrogate: Te–Te dimer, 2.75 Å (from Bond_Distortion_-55.0%) is 0.755 eV lower than"
    )
    assert "25 of 26 relaxations finished" in text


def test_what_was_searched_and_found_is_said(analysed):
    (searched, found) = texts(analysed)
    assert "26 finished relaxations at the reference level (HSE06 (VASP))" in searched[1]
    assert found == (
        "found",
        "2 distinct minima at the reference level. Ground state: Te–Te dimer, 2.75 Å (from Bond_Distortion_-55.0%). "
        "Energy lowering: −0.755 eV relative to the relaxed Unperturbed structure.",
    )


def test_every_trouble_is_a_warning(missed):
    warnings = "\n".join(text for kind, text in texts(missed) if kind == "warning")
    assert "1 surrogate relaxation diverged, not ranked: Bond_Distortion_-57.5%" in warnings
    assert (
        "1 reference relaxation did not converge, ranked nevertheless: Bond_Distortion_-55.0% (step limit" in warnings
    )
    assert "1 sampling structure dropped by ShakeNBreak" in warnings
    assert "Failed: CdTe/v_Cd_0/Bond_Distortion_-60.0%/reference: ReferenceRunError: killed by signal 9" in warnings


def test_unconverged_ground_state_and_missing_unperturbed_are_warned_of(analysed):
    report = analysed.campaign.hosts[0].vacancies[0]
    ground = dataclasses.replace(report.ground_state, converged=False)
    said = "\n".join(text for _, text in texts(analysed, ground_state=ground, energy_lowering=None))
    assert "its energy and bonds are provisional" in said
    assert "Energy lowering is not known" in said


def test_relaxations_merged_into_a_basin_are_not_called_unconverged(missed):
    first, *others = missed.campaign.hosts[0].vacancies[0].relaxations
    merged = dataclasses.replace(first, converged=False, reason="merged", detail="0.4 meV above")
    warnings = [text for kind, text in texts(missed, relaxations=(merged, *others)) if kind == "warning"]
    said = f"1 {first.level} relaxation ended early, in basins already reached: {first.label} (merged: 0.4 meV above)."
    assert said in warnings
    assert not [text for text in warnings if "did not converge" in text and first.label in text]


def test_unknown_hit_is_said_to_be_unknown(missed):
    said = "\n".join(text for _, text in texts(missed, comparison=None))
    assert "is not known: the full reference search" in said


def test_unfinished_full_search_is_no_verdict(missed):
    comparison = dataclasses.replace(
        missed.campaign.hosts[0].vacancies[0].comparison, hit=None, full_reference_finished=3, speedup=None
    )
    (said,) = [text for kind, text in texts(missed, comparison=comparison) if "not known yet" in text]
    assert "only 3 of 26 relaxations of the full reference search are finished" in said
    assert not [text for kind, text in texts(missed, comparison=comparison) if kind == "missed" or "Hit:" in text]
    comparison = dataclasses.replace(comparison, full_reference_finished=26)
    (said,) = [text for _, text in texts(missed, comparison=comparison) if "not known yet" in text]
    assert "not every reference relaxation of surrogate + reference is finished" in said


def test_unfinished_units_are_said(missed, analysed):
    assert ("warning", "12 planned units have no result yet: all of this is provisional.") in texts(
        missed, unfinished=12
    )
    relaxed = [one for one in missed.campaign.hosts[0].vacancies[0].relaxations if one.level == "surrogate"][:3]
    said = texts(missed, relaxations=tuple(relaxed), unfinished=1)
    assert "3 of 26 sampling structures relaxed with the surrogate" in said[0][1]
    assert any(text.startswith("1 planned unit has no result yet") for _, text in said)


def test_convergence_that_is_not_recorded_is_no_warning(analysed):
    report = analysed.campaign.hosts[0].vacancies[0]
    relaxations = tuple(dataclasses.replace(one, converged=None, reason="not recorded") for one in report.relaxations)
    ground = dataclasses.replace(report.ground_state, converged=None)
    said = texts(analysed, relaxations=relaxations, ground_state=ground)
    assert [kind for kind, _ in said if kind == "warning"] == []
    assert said[-1] == (
        "searched",
        "26 relaxations come from CONTCAR and an energies file, which record no convergence.",
    )


def test_nothing_found_is_said(analysed):
    assert "no ground state is known" in "\n".join(text for _, text in texts(analysed, ground_state=None, minima=None))


def test_many_failures_are_counted(missed):
    failures = tuple(FailureReport(f"CdTe/v_Cd_0/{i}/reference", "E", "m") for i in range(9))
    said = [text for _, text in texts(missed, failures=failures)]
    assert "9 units failed in all." in said
    assert sum(text.startswith("Failed: ") for text in said) == 3


@pytest.mark.parametrize(("energy", "text"), [(-0.7552, "−0.755 eV"), (0.05, "+0.050 eV"), (-0.0001, "0.000 eV")])
def test_energies_for_people(energy, text):
    assert in_ev(energy) == text
