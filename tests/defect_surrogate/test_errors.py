"""Errors cross from Dask's workers to the driver, so each has to survive pickling."""

import pickle

import pytest

import defect_surrogate.errors
from defect_surrogate.errors import DefectSurrogateError, InputError, next_step

ERRORS = [value for value in vars(defect_surrogate.errors).values() if isinstance(value, type)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_ours_and_survives_pickling(kind):
    assert issubclass(kind, DefectSurrogateError)
    copy = pickle.loads(pickle.dumps(kind("CdTe: no cation site of element='Cl'")))
    assert (type(copy), str(copy)) == (kind, "CdTe: no cation site of element='Cl'")


def test_what_only_the_user_can_mend_is_told_apart():
    assert {kind.__name__ for kind in ERRORS if not issubclass(kind, InputError)} == {
        "DefectSurrogateError",
        "ReferenceRunError",
        "ReferenceDivergedError",
        "ReferenceInterruptedError",
        "MemoryExceededError",
        "JobEndsError",
        "ClusterLostError",
        "WorkerLostError",
        "ArchiveError",
        "StoppedError",
        "ServiceError",
    }


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_what_a_person_can_do(kind):
    assert next_step(kind.__name__) == kind.next_step
    assert kind.next_step.endswith(".")
    assert len(kind.next_step) > 20


def test_what_can_be_done_about_kin_is_that_of_their_kind_unless_they_know_better():
    assert next_step("SettingsError") == next_step("InputError")
    assert next_step("ClusterLostError") == next_step("ServiceError")
    assert next_step("HostError") != next_step("InputError")
    assert "oxidation_states" in next_step("HostError")
    assert next_step("MemoryExceededError") != next_step("WorkerLostError")


@pytest.mark.parametrize("name", ["ValueError", "", "CdTe", "object", "DefectSurrogateError"])
def test_of_other_errors_the_log_knows_more(name):
    assert next_step(name) == "See the log of the run."
