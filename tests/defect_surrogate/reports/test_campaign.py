import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest

from defect_surrogate.errors import ReportError
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.reports.versions import library_versions
from defect_surrogate.settings import MinimaSettings, SearchSettings

CREATED = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def campaign(hosts, settings=None):
    return campaign_report(
        hosts, settings=settings, minima=MinimaSettings(), versions={"b": "2", "a": "1"}, created=CREATED
    )


def with_finished(case, finished, **changes):
    """The host of a case, with another count of finished full-reference relaxations."""
    (host,) = case.campaign.hosts
    (vacancy,) = host.vacancies
    comparison = dataclasses.replace(vacancy.comparison, full_reference_finished=finished, **changes)
    return dataclasses.replace(host, vacancies=(dataclasses.replace(vacancy, comparison=comparison),))


def test_host_report_names_levels_and_methods(missed):
    (host,) = missed.campaign.hosts
    assert (host.surrogate, host.reference, host.reference_is_stand_in) == ("CHGNet 0.3.0", "HSE06 (VASP)", False)
    assert [(method.level, method.relaxations) for method in host.methods] == [("surrogate", 26), ("reference", 27)]
    assert host.relaxation.label == "Host"
    assert host.supercell_atoms == 64


def test_stand_in_is_known_as_one(cdte, analysed):
    (vacancy,) = analysed.campaign.hosts[0].vacancies
    theory = "GFN1-xTB (vasp-xtb, stand-in for VASP)"
    methods = tuple(dataclasses.replace(method, level_of_theory=theory) for method in vacancy.methods)
    assert host_report(cdte, vacancies=[dataclasses.replace(vacancy, methods=methods)]).reference_is_stand_in


def test_vacancies_at_different_levels_of_theory_are_refused(cdte, analysed):
    (vacancy,) = analysed.campaign.hosts[0].vacancies
    other = tuple(dataclasses.replace(method, level_of_theory="PBE") for method in vacancy.methods)
    with pytest.raises(ReportError, match=r"CdTe: reference .*HSE06.*PBE"):
        host_report(cdte, vacancies=[vacancy, dataclasses.replace(vacancy, methods=other)])


def test_campaign_counts_hits_and_sums_minima(missed, analysed):
    report = campaign([with_finished(missed, 26), *analysed.campaign.hosts], SearchSettings())
    assert (report.comparison.vacancies, report.comparison.hits, report.comparison.new_ground_states) == (1, 0, 0)
    assert report.comparison.mean_speedup == report.comparison.ratio_of_totals == pytest.approx(2500 / 360)
    assert dict(report.threshold_sensitivity)[1e-3] == 1 + 2
    assert dict(report.tolerance_sensitivity)[0.05] == 1 + 2
    assert report.settings["surrogate"]["potential"] == "chgnet"
    assert report.created == "2026-01-01T10:00:00+00:00"
    assert datetime.fromisoformat(report.created) == CREATED.astimezone(UTC)
    assert list(report.versions) == ["a", "b"]


def test_unfinished_comparisons_are_left_out(missed):
    assert campaign(missed.campaign.hosts).comparison is None
    both = campaign([with_finished(missed, 26), with_finished(missed, 3)]).comparison
    assert both == campaign([with_finished(missed, 26)]).comparison


def test_unknown_hit_is_left_out(missed):
    assert campaign([with_finished(missed, 26, hit=None)]).comparison is None


def test_empty_campaign():
    report = campaign([])
    assert (report.comparison, report.settings_digest, report.threshold_sensitivity, report.hosts) == (
        None,
        None,
        (),
        (),
    )


def test_versions_of_the_libraries_are_found():
    assert library_versions()["shakenbreak"].startswith("3.4")
