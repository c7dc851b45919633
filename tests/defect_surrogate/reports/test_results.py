import csv
import dataclasses
import io

import pytest

from defect_surrogate.reports.results import RESULT_COLUMNS, results_csv


def rows(campaign):
    return list(csv.DictReader(io.StringIO(results_csv(campaign))))


def test_row_of_a_miss(missed):
    (row,) = rows(missed.campaign)
    assert list(row) == list(RESULT_COLUMNS)
    assert (row["hit"], row["missed_motif"], row["ground_state_converged"]) == ("false", "Te–Te dimer, 2.75 Å", "true")
    assert float(row["energy_difference_eV"]) == pytest.approx(0.755, abs=1e-3)
    assert (row["unconverged"], row["failures"], row["dropped"]) == ("2", "1", "1")


def test_unknown_hit_and_convergence_are_empty(missed):
    (host,) = missed.campaign.hosts
    (vacancy,) = host.vacancies
    comparison = dataclasses.replace(vacancy.comparison, hit=None, new_ground_state=None, full_reference_finished=3)
    ground = dataclasses.replace(vacancy.ground_state, converged=None)
    relaxations = tuple(dataclasses.replace(one, converged=None) for one in vacancy.relaxations)
    changes = {"comparison": comparison, "ground_state": ground, "relaxations": relaxations, "unfinished": 12}
    changed = dataclasses.replace(host, vacancies=(dataclasses.replace(vacancy, **changes),))
    (row,) = rows(dataclasses.replace(missed.campaign, hosts=(changed,)))
    assert (row["hit"], row["new_ground_state"], row["ground_state_converged"]) == ("", "", "")
    assert (row["full_reference_finished"], row["unconverged"], row["unfinished"]) == ("3", "0", "12")


def test_unknown_values_are_empty(analysed):
    (row,) = rows(analysed.campaign)
    assert (row["hit"], row["dft_saved"], row["surrogate"], row["surrogate_seconds"]) == ("", "", "", "")
    assert float(row["energy_lowering_eV"]) == pytest.approx(-0.755, abs=1e-3)


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\tx"])
def test_spreadsheets_see_no_formula(analysed, name):
    (host,) = analysed.campaign.hosts
    (row,) = rows(dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, name=name),)))
    assert row["host"] == f"'{name}"


def test_no_vacancy_leaves_the_header(analysed):
    assert rows(dataclasses.replace(analysed.campaign, hosts=())) == []
    assert results_csv(dataclasses.replace(analysed.campaign, hosts=())).startswith("host,vacancy,")
