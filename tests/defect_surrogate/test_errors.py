"""Errors cross from Dask's workers to the driver, so each has to survive pickling."""

import pickle

import pytest

import defect_surrogate.errors
from defect_surrogate.errors import DefectSurrogateError, InputError

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
