"""The report of an alloy: its figures from numbers known beforehand."""

import dataclasses
import json

import pytest

from defect_surrogate.reports.alloy import (
    alloy_json,
    alloy_report,
    bonds_in_words,
    environment_report,
    transfer_gain,
)
from defect_surrogate.reports.alloy_page import (
    alloy_rows,
    alloy_statements,
    bond_figure,
    lowering_figure,
    write_alloy_page,
)
from defect_surrogate.reports.alloy_schema import CompositionReport, StatisticReport
from defect_surrogate.reports.alloy_weights import weighted_lowering
from defect_surrogate.reports.build import vacancy_report
from defect_surrogate.reports.schema import BondReport
from defect_surrogate.settings import MinimaSettings
from tests.defect_surrogate.reports.conftest import CREATED, DIMER, TETRAHEDRON, relaxation

GROUPS = {(host, "v_Cd"): "4 Te" for host in ("CdTe-1", "a-1")}


def bonds(*kinds):
    return [BondReport(tuple(kind.split("-")), (0, 1), 2.5) for kind in kinds]


@pytest.fixture(scope="module")
def vacancy(hse, v_cd):
    """The surrogate's fine set finds dimer and tetrahedron, the first by a transfer alone; the reference follows both."""

    def make(*, full=None, transferred="Transferred_4Se_1", reference=True):
        starts = {
            "Unperturbed": relaxation(hse[TETRAHEDRON].structure, -200.0, "surrogate"),
            "Bond_Distortion_-60.0%_Te1-Te2": relaxation(hse[TETRAHEDRON].structure, -200.0, "surrogate"),
            transferred: relaxation(hse[DIMER].structure, -200.5, "surrogate"),
        }
        followed = {
            f"{transferred}_from_surrogate": relaxation(hse[DIMER].structure, hse[DIMER].energy),
            "Bond_Distortion_-60.0%_Te1-Te2_from_surrogate": relaxation(
                hse[TETRAHEDRON].structure, hse[TETRAHEDRON].energy
            ),
            "Unperturbed": relaxation(hse[TETRAHEDRON].structure, hse[TETRAHEDRON].energy),
        }
        return vacancy_report(
            v_cd,
            sampling_structures=14,
            surrogate_structures=3,
            duplicates=["Transferred_4Se_2"],
            surrogate=starts,
            reference=(followed | (full or {})) if reference else {},
            full_reference=full is not None,
            oxidation_states={"Cd": 2.0, "Te": -2.0},
            settings=MinimaSettings(),
        )

    return make


@pytest.fixture(scope="module")
def coarse(hse):
    """Coarse starts that all stay tetrahedral; with ``Unperturbed`` fourteen."""
    tetrahedron = hse[TETRAHEDRON]
    return {f"Bond_Distortion_{i}.0%": relaxation(tetrahedron.structure, tetrahedron.energy) for i in range(13)}


def test_bonds_in_words():
    assert bonds_in_words([]) == "no new bonds"
    assert bonds_in_words(bonds("Te-Se")) == "Se–Te"
    assert bonds_in_words(bonds("Se-Te", "Te-Te", "Te-Te")) == "2 Te–Te + Se–Te"


def test_a_lower_ground_state_than_the_coarse_searchs(vacancy, coarse, hse):
    row = environment_report(vacancy(full=coarse), host="CdTe-1", realisation=1, groups=GROUPS)
    assert (row.coarse_bonds, row.bonds) == ("no new bonds", "Te–Te")
    lowering = hse[DIMER].energy - hse[TETRAHEDRON].energy
    assert row.energy_difference == pytest.approx(lowering)
    assert row.energy_lowering == pytest.approx(lowering)
    assert (row.found_or_lower, row.lower) == (True, True)
    assert (row.surrogate_structures, row.transferred_structures, row.duplicates) == (3, 1, 1)
    assert (row.surrogate_minima, row.coarse_minima, row.minima, row.reference_relaxations) == (2, 1, 2, 3)
    assert row.dft_saved == pytest.approx(1 - 3 / 14)
    assert row.speedup == pytest.approx(14 * 100 / (2 * 100 + 3 * 10))


def test_what_transfer_won(vacancy, hse):
    assert transfer_gain(vacancy()) == pytest.approx(hse[DIMER].energy - hse[TETRAHEDRON].energy)
    assert transfer_gain(vacancy(reference=False)) == pytest.approx(-0.5)
    assert transfer_gain(vacancy(transferred="Bond_Distortion_-50.0%_Te1-Te2")) is None


def test_a_reference_minimum_of_another_environment_is_not_a_start_of_its_own(vacancy, hse):
    """Though the surrogate has a minimum of that label that an own start leads to as well."""
    report = vacancy()
    own = report.surrogate_minima[0]
    own = dataclasses.replace(own, label="Transferred_4Se_1", labels=("Transferred_4Se_1", "Rattled"))
    ground = dataclasses.replace(report.minima[0], label="Transferred_4Se_1", labels=("Transferred_4Se_1",))
    report = dataclasses.replace(
        report, surrogate_minima=(own, *report.surrogate_minima[1:]), minima=(ground, *report.minima[1:])
    )
    assert transfer_gain(report) == pytest.approx(hse[DIMER].energy - hse[TETRAHEDRON].energy)


def test_where_unperturbed_reconstructs_its_lowering_is_in_no_mean(vacancy):
    row = environment_report(vacancy(), host="CdTe-1", realisation=1, groups=GROUPS)
    assert row.unperturbed_bonds == "no new bonds"
    other = dataclasses.replace(row, unperturbed_bonds="Te–Te", energy_lowering=-9.0)
    mean, _ = weighted_lowering([row, other], {(row.element, row.environment): 0.4})
    assert mean == {"Cd": pytest.approx(row.energy_lowering)}


def test_without_a_reference_the_surrogates_ground_state_is_shown(vacancy):
    row = environment_report(vacancy(reference=False), host="CdTe-1", realisation=1, groups=GROUPS)
    assert (row.bonds, row.energy_lowering) == ("Te–Te", pytest.approx(-0.5))
    assert (row.minima, row.found_or_lower, row.energy_difference) == (None, None, None)


@pytest.fixture(scope="module")
def report(vacancy, coarse):
    """Two compositions of two environments; at the second one row has no result."""
    row = environment_report(vacancy(full=coarse), host="a-1", realisation=1, groups=GROUPS)
    rows = [
        dataclasses.replace(row, environment="4 Te", group="v_Cd_4Te", energy_lowering=-1.0),
        dataclasses.replace(row, environment="3 Te + 1 Se", energy_lowering=-2.0, vacancy="v_Cd_3Te1Se_0"),
        dataclasses.replace(row, environment="3 Te + 1 Se", energy_lowering=-4.0, realisation=2, host="a-2"),
    ]
    missed = dataclasses.replace(
        row,
        found_or_lower=False,
        lower=False,
        energy_difference=0.3,
        energy_lowering=None,
        transfer_gain=None,
        speedup=0.5,
    )
    statistics = (
        StatisticReport("Cd", "4 Te", (8, 10), 0.28, 0.05, 0.6),
        StatisticReport("Cd", "3 Te + 1 Se", (20, 18), 0.6, 0.05, 0.3),
    )
    mean, covered = weighted_lowering(rows, {(one.element, one.environment): one.probability for one in statistics})
    fractions = {"Te": 0.75, "Se": 0.25}
    compositions = [
        CompositionReport(
            "CdTe0.75Se0.25", fractions, fractions, 0.25, (30.0, 30.1), mean, covered, statistics, tuple(rows), 0
        ),
        CompositionReport("CdTe0.5Se0.5", fractions, fractions, 0.5, (29.0,), {}, {}, statistics, (missed,), 0),
    ]
    return alloy_report(
        "Cd(Te,Se)",
        compositions,
        levels={"surrogate": "M3GNet", "reference": "GFN1-xTB"},
        lost={"CdSe": "ServiceError: gone"},
        versions={"defect-surrogate": "0.1"},
        created=CREATED,
    )


def test_environments_weigh_by_their_probabilities(report):
    first, second = report.compositions
    assert first.energy_lowering == {"Cd": pytest.approx((0.6 * -1.0 + 0.3 * -3.0) / 0.9)}
    assert first.covered == {"Cd": pytest.approx(0.9)}
    assert second.energy_lowering == {}


def test_weights_know_groups_representatives_levels_and_elements(report):
    row = report.rows[0]

    def one(lowering, **changes):
        return dataclasses.replace(row, energy_lowering=lowering, **changes)

    probabilities = {("Cd", "4 Te"): 0.5, ("Zn", "4 Te"): 1.0}
    rows = [
        *(one(-1.0, group="v_Cd_4Te-1", sites=20), one(-3.0, group="v_Cd_4Te-1", sites=20, vacancy="v_Cd_4Te-1.2_0")),
        one(-12.0, group="v_Cd_4Te-2", sites=5),
        one(-7.0, element="Zn"),
        one(-99.0, element="Zn", level="surrogate"),
    ]
    means, covered = weighted_lowering(rows, probabilities)
    assert means == {"Cd": pytest.approx(0.8 * -2.0 + 0.2 * -12.0), "Zn": pytest.approx(-7.0)}
    assert covered == {"Cd": pytest.approx(0.5), "Zn": pytest.approx(1.0)}


def test_figures_of_merit(report):
    assert (report.n_environments, report.compared, report.found_or_lower, report.lower) == (4, 4, 3, 3)
    assert report.mean_lowering_eV == pytest.approx(-0.755, abs=0.01)
    content = json.loads(alloy_json(report))
    asked = {"n_environments", "found_or_lower", "lower", "mean_lowering_eV", "dft_saved", "speedup_median", "rows"}
    assert asked <= set(content)
    assert [row["x"] for row in content["rows"]] == [0.25, 0.25, 0.25, 0.5]


def test_the_table_says_what_replaced_what(report):
    rows = alloy_rows(report)
    assert [row["ground state"] for row in rows] == ["no new bonds → Te–Te"] * 4
    assert rows[0]["against coarse search"].startswith("−0.7")
    assert rows[-1]["against coarse search"] == "+0.300 eV"
    assert rows[0]["starts"] == "3 (1 transferred)"


def test_the_summary_tells_what_was_lost(report):
    text = " ".join(alloy_statements(report))
    assert "4 vacancies in 2 supercells of 2 compositions of Cd(Te,Se)" in text
    assert "3 have its ground state or a lower one, 3 a lower one, by −0.75" in text
    assert "Warning: CdSe was lost: ServiceError: gone" in text


def test_figures_are_against_composition(report):
    each, mean = lowering_figure(report).data
    assert list(each.x) == [0.25, 0.25, 0.25]
    assert list(mean.y) == [pytest.approx(-5 / 3)]
    shares = [sum(bar.y[i] for bar in bond_figure(report).data) for i in range(2)]
    assert shares == [pytest.approx(1.0)] * 2


def test_the_page_is_one_file_and_links_to_each_vacancy(report, tmp_path):
    page = write_alloy_page(report, tmp_path).read_text()
    assert 'href="compositions/CdTe0.75Se0.25/report.html#vacancy-1"' in page
    assert "Warning: CdSe was lost" in page
    assert page.count('data-figure="figure-') == 2
    assert "http://" not in page.split("<script>")[0]
