import dataclasses

import pytest

from defect_surrogate.reports.methods import finite, methods_of, relaxation_report


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (float("nan"), None), (float("inf"), None)])
def test_json_cannot_hold_what_is_not_finite(value, expected):
    assert finite(value) == expected


def test_all_versions_of_a_method_are_listed(hse):
    first = hse["Unperturbed"]
    later = dataclasses.replace(
        first, provenance=dataclasses.replace(first.provenance, versions=(("x", "2"), ("y", "3")))
    )
    (method,) = methods_of([first, later], where="here")
    assert method.versions == {"x": "1, 2", "y": "3"}
    assert method.relaxations == 2


def test_line_of_a_relaxation(hse):
    line = relaxation_report(hse["Unperturbed"], label="Unperturbed", key="k")
    assert (line.energy, line.steps, line.reason, line.key) == (-205.72311458, 30, "converged", "k")
