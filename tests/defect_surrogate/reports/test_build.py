import dataclasses

import pytest

from defect_surrogate.errors import ReportError
from defect_surrogate.relaxation import Provenance
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import host_report
from defect_surrogate.reports.entries import FailureReport
from defect_surrogate.reports.statements import vacancy_statements
from defect_surrogate.settings import MinimaSettings

NAN = float("nan")
START = "Bond_Distortion_-10.0%_from_surrogate"
"""From the only minimum of the collapsed surrogate."""


def build(vacancy, reference, surrogate=None, **changes):
    arguments = {
        "sampling_structures": 15,
        "surrogate": surrogate,
        "reference": reference,
        "oxidation_states": {"Cd": 2.0, "Te": -2.0},
        "settings": MinimaSettings(),
    }
    return vacancy_report(vacancy, **(arguments | changes))


def test_hse_search_has_two_minima_and_the_known_ground_state(analysed):
    (report,) = analysed.campaign.hosts[0].vacancies
    assert len(report.minima) == 2
    assert report.energy_lowering == pytest.approx(-0.755, abs=1e-3)
    assert report.ground_state == report.minima[0]
    (bond,) = report.ground_state.bonds
    assert bond.elements == ("Te", "Te")
    assert bond.length == pytest.approx(2.75, abs=0.01)
    assert report.ground_state.motif == "Te–Te dimer, 2.75 Å"
    assert report.minima[1].motif == "no new bonds"
    assert report.minima[1].labels[0] == "Unperturbed"
    assert sum(len(minimum.labels) for minimum in report.minima) == 26
    assert report.minima[1].relative_energy == pytest.approx(report.minima[1].energy - report.minima[0].energy)
    assert (report.surrogate_minima, report.comparison, report.dft_saved) == (None, None, None)
    assert dict(report.threshold_sensitivity)[1e-3] == 2
    assert dict(report.tolerance_sensitivity)[0.05] == 2


def test_miss_is_told_with_its_motif_and_energy(missed):
    (report,) = missed.campaign.hosts[0].vacancies
    assert len(report.surrogate_minima) == 1
    assert report.reference_relaxations == 2
    assert report.dft_saved == pytest.approx(1 - 2 / 26)
    assert report.dft_saved_without_unperturbed == pytest.approx(1 - 1 / 26)
    assert report.energy_lowering == 0.0
    assert not report.comparison.hit
    assert report.comparison.missed_motif == "Te–Te dimer, 2.75 Å"
    assert report.comparison.energy_difference == pytest.approx(0.755, abs=1e-3)
    assert [minimum.motif for minimum in report.full_reference_minima] == ["Te–Te dimer, 2.75 Å", "no new bonds"]
    assert all("Te–Te" not in minimum.motif for minimum in report.minima)


DIMER_LED = "Bond_Distortion_-55.0%_from_surrogate"


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        ([DIMER_LED], "one from one of them, and Unperturbed."),
        ([START, DIMER_LED], "one from each surrogate minimum, and Unperturbed."),
        (None, "one from each surrogate minimum, and Unperturbed."),
        (
            [DIMER_LED, "Transferred_4Se_1"],
            "one from one of them, 1 minimum that other environments have at the reference level, and Unperturbed.",
        ),
    ],
)
def test_minima_beyond_the_budget_are_shown_and_count_as_saved(cdte, v_cd, hse, collapsed, planned, words):
    """The surrogate finds both minima, and has their order wrong."""
    dimer = "Bond_Distortion_-55.0%"
    surrogate = collapsed | {
        dimer: dataclasses.replace(collapsed[dimer], structure=hse[dimer].structure, energy=collapsed[dimer].energy + 1)
    }
    report = build(v_cd, hse, surrogate, sampling_structures=26, planned=planned)
    relaxed = 2 if planned is None else len(planned)
    assert [minimum.motif for minimum in report.surrogate_minima] == ["no new bonds", "Te–Te dimer, 2.75 Å"]
    assert report.reference_relaxations == relaxed + 1
    assert report.reference_transfers == sum("Transferred" in label for label in planned or ())
    assert report.dft_saved_without_unperturbed == pytest.approx(1 - relaxed / 26)
    assert words in vacancy_statements(report, host=host_report(cdte, vacancies=[report]))[0].text


def test_a_minimum_of_another_environment_counts_as_surrogate_and_reference(v_cd, hse, collapsed):
    """Its time and its energy, which are not those of the full reference search."""
    reference = hse | {START: hse["Unperturbed"], "Transferred_4Se_1": hse["Bond_Distortion_-40.0%"]}
    planned = [START, "Transferred_4Se_1"]
    report = build(v_cd, reference, collapsed, sampling_structures=26, planned=planned, full_reference=True)
    assert report.comparison.hit is True
    assert report.comparison.full_reference_finished == 26
    assert report.comparison.speedup == pytest.approx(26 * 100 / (200 + 260))
    assert report.ground_state.label == "Transferred_4Se_1"


def test_full_search_lends_nothing_to_surrogate_and_reference(missed):
    (report,) = missed.campaign.hosts[0].vacancies
    assert set(report.minima[0].labels) == {"Unperturbed", f"{report.surrogate_minima[0].label}_from_surrogate"}
    assert not any("surrogate" in label for one in report.full_reference_minima for label in one.labels)


def test_times_and_speedup_follow_their_definitions(missed):
    (report,) = missed.campaign.hosts[0].vacancies
    assert report.surrogate_seconds == pytest.approx(26 * 10)
    assert report.reference_seconds == pytest.approx(2 * 100)
    assert (report.comparison.full_reference_finished, report.comparison.speedup) == (25, None)


def test_speedup_of_finished_searches_follows_its_definition(v_cd, hse, collapsed):
    reference = {**hse, START: hse["Bond_Distortion_-40.0%"]}
    report = build(v_cd, reference, surrogate=collapsed, full_reference=True, sampling_structures=26)
    assert report.comparison.full_reference_finished == 26
    assert report.comparison.speedup == pytest.approx(26 * 100 / (100 + 260))


def test_hit_when_surrogate_leads_to_the_dimer(v_cd, hse, collapsed):
    reference = {**hse, START: hse["Bond_Distortion_-40.0%"]}
    report = build(v_cd, reference, surrogate=collapsed, full_reference=True, sampling_structures=26)
    assert report.comparison.hit is True
    assert report.comparison.new_ground_state is False
    assert report.comparison.missed_motif is None
    assert report.energy_lowering == pytest.approx(-0.755, abs=1e-3)


def test_new_ground_state_when_the_full_search_missed_it(v_cd, hse, collapsed):
    full = {label: one for label, one in hse.items() if one.energy > -206}
    reference = {**full, START: hse["Bond_Distortion_-40.0%"]}
    changes = {"surrogate": collapsed, "full_reference": True, "sampling_structures": len(full)}
    comparison = build(v_cd, reference, **changes).comparison
    assert comparison.hit is True
    assert comparison.new_ground_state is True
    assert comparison.energy_difference == pytest.approx(-0.75, abs=0.01)


def test_unfinished_full_search_proves_no_hit(v_cd, hse, collapsed):
    full = {label: hse[label] for label in ("Unperturbed", "Bond_Distortion_-40.0%", "Bond_Distortion_-20.0%")}
    reference = {**full, START: hse["Bond_Distortion_-40.0%"]}
    comparison = build(v_cd, reference, surrogate=collapsed, full_reference=True).comparison
    assert comparison.full_reference_finished == 3
    assert (comparison.hit, comparison.new_ground_state, comparison.speedup) == (None, None, None)
    assert comparison.missed_motif is None


def test_unfinished_full_search_proves_a_miss(v_cd, hse, collapsed):
    full = {label: hse[label] for label in ("Unperturbed", "Bond_Distortion_-40.0%")}
    reference = {**full, START: hse["Unperturbed"]}
    comparison = build(v_cd, reference, surrogate=collapsed, full_reference=True).comparison
    assert (comparison.full_reference_finished, comparison.hit, comparison.speedup) == (2, False, None)
    assert comparison.missed_motif == "Te–Te dimer, 2.75 Å"


@pytest.mark.parametrize(
    ("planned", "broke", "hit", "speedup"),
    [
        ([START, "Transferred_4Se_1"], ["Transferred_4Se_1"], True, None),
        ([DIMER_LED], [DIMER_LED], False, None),
        ([START, DIMER_LED], ["Transferred_4Se_1"], None, None),  # one has neither ended nor broken
        ([START], ["Transferred_4Se_1"], True, 26 * 100 / (100 + 260)),  # of an earlier plan
    ],
)
def test_what_broke_has_led_nowhere_and_took_a_time_that_nobody_knows(
    v_cd, hse, collapsed, planned, broke, hit, speedup
):
    failures = [FailureReport(f"CdTe/v_Cd_0/{label}/reference", "ReferenceDivergedError", "fell") for label in broke]
    reference = hse | ({START: hse["Bond_Distortion_-40.0%"]} if START in planned else {})
    report = build(
        v_cd, reference, collapsed, sampling_structures=26, planned=planned, full_reference=True, failures=failures
    )
    assert report.comparison.hit is hit
    assert report.comparison.speedup == (speedup and pytest.approx(speedup))


def test_unfinished_surrogate_and_reference_has_missed_nothing_yet(v_cd, hse, collapsed):
    report = build(v_cd, hse, surrogate=collapsed, full_reference=True, sampling_structures=26)
    assert (report.comparison.hit, report.comparison.speedup) == (None, None)


def test_interrupted_relaxations_do_not_finish_the_full_search(v_cd, hse, collapsed):
    stopped = dataclasses.replace(hse["Bond_Distortion_-20.0%"], converged=False, reason="stopped")
    reference = {**hse, "Bond_Distortion_-20.0%": stopped, START: hse["Bond_Distortion_-40.0%"]}
    report = build(v_cd, reference, surrogate=collapsed, full_reference=True, sampling_structures=26)
    assert (report.comparison.full_reference_finished, report.comparison.hit) == (25, None)


def test_convergence_that_is_not_recorded_is_null(v_cd, hse):
    unrecorded = dataclasses.replace(hse["Unperturbed"], converged=False, reason="not recorded")
    report = build(v_cd, {"Unperturbed": unrecorded})
    assert report.ground_state.converged is None
    assert report.relaxations[0].converged is None


def test_plain_labels_do_not_count_without_the_full_search(v_cd, hse, collapsed):
    report = build(v_cd, hse, surrogate=collapsed, full_reference=False)
    assert report.comparison is None
    assert report.full_reference_minima is None
    assert [one.label for one in report.relaxations if one.level == "reference"] == ["Unperturbed"]


def test_no_energy_lowering_without_unperturbed(v_cd, hse):
    reference = {label: one for label, one in hse.items() if label != "Unperturbed"}
    report = build(v_cd, reference)
    assert report.energy_lowering is None
    assert report.unperturbed_file is None
    assert {minimum.energy_to_unperturbed for minimum in report.minima} == {None}


def test_diverged_is_reported_but_never_ranked(v_cd, hse):
    diverged = dataclasses.replace(hse["Unperturbed"], energy=-9999.0, converged=False, reason="diverged")
    nan = dataclasses.replace(hse["Unperturbed"], energy=NAN, converged=False, reason="diverged")
    reference = {"Unperturbed": hse["Unperturbed"], "Dimer": diverged, "Rattled": nan}
    report = build(v_cd, reference)
    assert report.ground_state.label == "Unperturbed"
    assert {one.label: one.energy for one in report.relaxations if one.reason == "diverged"} == {
        "Dimer": None,
        "Rattled": None,
    }


def test_unconverged_ground_state_is_flagged(v_cd, hse):
    unconverged = dataclasses.replace(hse["Bond_Distortion_-40.0%"], converged=False, reason="step limit")
    report = build(v_cd, {"Unperturbed": hse["Unperturbed"], "Bond_Distortion_-40.0%": unconverged})
    assert report.ground_state.label == "Bond_Distortion_-40.0%"
    assert not report.ground_state.converged


@pytest.mark.parametrize("surrogate", [None, {}])
def test_nothing_finished_is_a_report_of_nothing(v_cd, surrogate):
    report = build(v_cd, {}, surrogate=surrogate)
    assert (report.minima, report.ground_state, report.energy_lowering, report.dft_saved) == (None, None, None, None)
    assert report.relaxations == ()
    assert minimum_structures(report, surrogate=surrogate, reference={}) == {}


def test_unknown_times_are_null(v_cd, hse):
    provenance = dataclasses.replace(hse["Unperturbed"].provenance, seconds=NAN)
    report = build(v_cd, {"Unperturbed": dataclasses.replace(hse["Unperturbed"], provenance=provenance)})
    assert report.reference_seconds is None
    assert report.relaxations[0].seconds is None


def test_two_levels_of_theory_are_never_ranked_together(v_cd, hse):
    stand_in = Provenance("GFN1-xTB (vasp-xtb, stand-in for VASP)", "d", 1.0, 1, ())
    mixed = {**hse, "Dimer": dataclasses.replace(hse["Unperturbed"], provenance=stand_in)}
    with pytest.raises(ReportError, match=r"CdTe/v_Cd_0: reference relaxations .*GFN1-xTB.*HSE06"):
        build(v_cd, mixed)


def test_minimum_structures_are_those_of_the_relaxations(missed, hse):
    (report,) = missed.campaign.hosts[0].vacancies
    dimer = report.full_reference_minima[0]
    assert missed.structures[dimer.structure_file] == hse[dimer.label].structure
    assert dimer.structure_file == f"minima/CdTe/v_Cd_0/full_reference/1_{dimer.label}.vasp"


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", ".hidden", "<script>", "CON:", "trailing."])
def test_names_cannot_leave_the_run_folder(v_cd, hse, name):
    report = build(dataclasses.replace(v_cd, host=name), {"Unperturbed": hse["Unperturbed"]})
    parts = report.unperturbed_file.split("/")
    assert len(parts) == 4
    assert not any(part in {"", ".", ".."} or part.startswith(".") for part in parts)
    assert not any(c in report.unperturbed_file for c in "<>:\\")
