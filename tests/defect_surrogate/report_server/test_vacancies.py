import csv
import dataclasses
import io

import pytest

from defect_surrogate.report_server.catalogue import Catalogue
from defect_surrogate.report_server.filters import SORTS, VacancyFilter
from defect_surrogate.report_server.vacancies import vacancies_csv
from tests.defect_surrogate.report_server.conftest import SCRIPT


@pytest.fixture(scope="module")
def rows(root):
    return [row for run in Catalogue(root).runs() if run.summary for row in run.summary.rows]


def runs_of(rows):
    return ["/".join(row.run) for row in rows]


def test_a_row_says_what_the_report_says(rows, missed):
    (row,) = (row for row in rows if row.run[-1] == "CdTe" and row.campaign == "tellurides")
    (vacancy,) = missed.campaign.hosts[0].vacancies
    assert (row.motif, row.energy_lowering) == (vacancy.ground_state.motif, vacancy.energy_lowering)
    assert (row.sampling_structures, row.reference_relaxations) == (26, 2)
    assert row.structure_file == vacancy.ground_state.structure_file
    assert (row.failures, row.converged, row.number) == (1, True, 0)


def test_text_element_campaign_and_level_select(rows):
    assert {row.host for row in VacancyFilter(text="ZNTE/V_").selected(rows)} == {"ZnTe"}
    assert VacancyFilter(element="Te").selected(rows) == []
    assert len(VacancyFilter(campaign="tellurides").selected(rows)) == 2
    stand_in = VacancyFilter(level_of_theory="GFN1-xTB (vasp-xtb, stand-in for VASP)").selected(rows)
    assert runs_of(stand_in) == ["runs/xtb"]
    assert not any(row.campaign == "tellurides" for row in VacancyFilter(reconstructed=True).selected(rows))
    assert runs_of(VacancyFilter(failed=True).selected(rows)) == [
        "campaigns/tellurides/hosts/CdTe",
        "runs/sweep/compositions/CdTe",
    ]


@pytest.mark.parametrize("sort", SORTS)
def test_levels_of_theory_are_never_ranked_together(rows, sort):
    deepest = max(rows, key=lambda row: row.is_stand_in)
    deepest = dataclasses.replace(deepest, energy_lowering=-99.0, dft_saved=1.0, failures=99)
    none = dataclasses.replace(deepest, level_of_theory=None, is_stand_in=False)
    ordered = VacancyFilter(sort=sort).selected([none, deepest, *rows])
    levels = [row.level_of_theory for row in ordered]
    assert levels == sorted(levels, key=lambda level: (level is None, "vasp-xtb" in (level or ""), level))
    assert ordered[-1] is none


def test_the_deepest_stands_first_and_the_unknown_last(rows):
    one = rows[0]
    changed = [dataclasses.replace(one, energy_lowering=lowering) for lowering in (None, 0.3, -2.0, 0.0)]
    ordered = VacancyFilter(sort="lowering").selected(changed)
    assert [row.energy_lowering for row in ordered] == [-2.0, 0.0, 0.3, None]


def test_a_query_comes_back_and_nonsense_is_left_out():
    wanted = VacancyFilter("a&b=ü", "Cd", "x/y", "HSE06 (VASP)", True, True, "lowering")
    pairs = dict(pair.split("=", 1) for pair in wanted.query.split("&"))
    assert pairs["text"] == "a%26b%3D%C3%BC"
    assert VacancyFilter.of({"sort": "__class__", "reconstructed": "maybe", "text": "  "}) == VacancyFilter()
    assert VacancyFilter().query == ""
    assert "%3F" in VacancyFilter(text="\ud800").query


def test_the_csv_is_no_formula_and_numbers_stay_numbers(rows):
    content = list(csv.DictReader(io.StringIO(vacancies_csv(rows), newline="")))
    assert len(content) == len(rows)
    (hostile,) = (line for line in content if line["host"].startswith("'="))
    assert hostile["host"] == f"'{SCRIPT}"
    assert hostile["energy_lowering_eV"].startswith("-0.75")
    assert {line["reference_is_stand_in"] for line in content} == {"true", "false"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\r@", "\n="])
def test_every_beginning_of_a_formula_is_defused(rows, start):
    text = vacancies_csv([dataclasses.replace(rows[0], host=f"{start}1+1")])
    assert next(csv.DictReader(io.StringIO(text, newline="")))["host"] == f"'{start}1+1"
