import dataclasses

import pytest

from defect_surrogate.reports.host_statements import host_statements, nothing_searched
from defect_surrogate.reports.schema import FailureReport

OWN_FAILURE = FailureReport("CdTe/bulk/Host/reference", "ReferenceRunError", "no energy")


def said(host, **changes):
    return " ".join(statement.text for statement in host_statements(dataclasses.replace(host, **changes)))


def test_stand_in_and_unconverged_host_are_warned_of(missed):
    host = missed.campaign.hosts[0]
    trouble = dataclasses.replace(
        host,
        reference="GFN1-xTB (vasp-xtb, stand-in for VASP)",
        reference_is_stand_in=True,
        relaxation=dataclasses.replace(host.relaxation, converged=False),
    )
    said = "\n".join(statement.text for statement in host_statements(trouble) if statement.kind == "warning")
    assert "not those of hybrid DFT" in said
    assert "The host's own relaxation did not converge" in said


def test_preparation_of_the_cell_is_said(missed, analysed):
    (host,) = missed.campaign.hosts
    assert "its cell first relaxed at the reference level" in said(host)
    assert "its cell as given" in said(*analysed.campaign.hosts)
    waiting = said(host, relaxation=None, unfinished=1)
    assert "its cell not relaxed yet" in waiting
    assert "Surrogate level: nothing finished." in said(host, relaxation=None, unfinished=1, surrogate=None)
    assert "Surrogate level: none used." in said(*analysed.campaign.hosts)
    assert "The host is not relaxed yet" in waiting
    assert "its own relaxation failed" in said(host, relaxation=None, failures=(OWN_FAILURE,))
    diverged = dataclasses.replace(host.relaxation, energy=None, converged=False, reason="diverged", detail="nan")
    assert "The host's own relaxation diverged: nan." in said(host, relaxation=diverged)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"unfinished": 1}, "No vacancy is searched yet: the host is not relaxed yet."),
        (
            {"failures": (OWN_FAILURE,)},
            "No vacancy was searched: the host's own relaxation has no result that can be used.",
        ),
        ({}, "No vacancy was searched."),
    ],
)
def test_why_nothing_was_searched_is_said(missed, changes, text):
    (host,) = missed.campaign.hosts
    empty = dataclasses.replace(host, vacancies=(), relaxation=None, **changes)
    assert nothing_searched(dataclasses.replace(missed.campaign, hosts=(empty,))) == text


def test_a_searched_vacancy_needs_no_excuse(missed):
    assert nothing_searched(missed.campaign) == ""
