"""Substitutional alloys: end members, compositions, supercells, and the environments of their vacancies."""

from defect_surrogate.alloys.compositions import Composition, compositions_of
from defect_surrogate.alloys.end_members import Alloy, make_alloy, read_end_members
from defect_surrogate.alloys.environments import Environment, environment_vacancies, find_environments
from defect_surrogate.alloys.settings import SweepSettings
from defect_surrogate.alloys.supercells import AlloyHost, alloy_host
from defect_surrogate.alloys.transfer import Source, transferred_starts

__all__ = [
    "Alloy",
    "AlloyHost",
    "Composition",
    "Environment",
    "Source",
    "SweepSettings",
    "alloy_host",
    "compositions_of",
    "environment_vacancies",
    "find_environments",
    "make_alloy",
    "read_end_members",
    "transferred_starts",
]
