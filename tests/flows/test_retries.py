"""What is tried again, by what it broke on."""

import pytest

from defect_surrogate.errors import (
    ArchiveError,
    JobEndsError,
    MemoryExceededError,
    PotentialError,
    ReferenceDivergedError,
    ReferenceInputError,
    ReferenceInterruptedError,
    ReferenceRunError,
    StoppedError,
    WorkerLostError,
)
from flows.retries import INTERRUPTIONS, Tries

UNIT = "CdTe/v_Cd_0/Dimer/reference"


def until_given_up(tries: Tries, error: Exception, **more) -> int:
    """Number of tries that a unit gets which always breaks alike."""
    count = 1
    while tries.next(UNIT, error, **more) == "again":
        count += 1
        assert count < 100
    return count


@pytest.mark.parametrize("error", [ReferenceInputError, PotentialError, ReferenceRunError, ReferenceDivergedError])
def test_what_would_break_alike_is_tried_once(error):
    assert until_given_up(Tries(2, more_memory=True), error("no")) == 1


@pytest.mark.parametrize("error", [WorkerLostError, ReferenceInterruptedError, ArchiveError, OSError, RuntimeError])
def test_what_may_pass_elsewhere_is_tried_so_many_times_more(error):
    assert until_given_up(Tries(2, more_memory=True), error("lost")) == 3
    assert until_given_up(Tries(0, more_memory=True), error("lost")) == 1


@pytest.mark.parametrize("fate", ["RUNNING", "FAILED", "COMPLETED", ""])
def test_a_unit_that_kills_its_workers_is_quarantined(fate):
    tries, error = Tries(2, more_memory=False), WorkerLostError("lost")
    assert until_given_up(tries, error, fate=fate) == 3
    assert "died at each of 3 tries" in tries.words(UNIT, error, fate)
    assert "quarantined until resume" in tries.words(UNIT, error, fate)


@pytest.mark.parametrize("fate", ["TIMEOUT", "PREEMPTED", "CANCELLED", "NODE_FAIL", "PENDING"])
def test_the_end_of_its_job_is_not_the_units_fault(fate):
    tries, error = Tries(0, more_memory=False), WorkerLostError("lost")
    for farther in range(1, 50):
        assert tries.next(UNIT, error, fate=fate, progress=float(farther)) == "again"
    assert until_given_up(tries, error, fate=fate, progress=49.0) == INTERRUPTIONS
    assert "came no farther in 5 jobs: give them more walltime" in tries.words(UNIT, error, fate)


def test_the_orderly_end_of_a_job_counts_like_its_walltime():
    tries = Tries(0, more_memory=False)
    assert until_given_up(tries, JobEndsError("ends"), progress=0.0) == INTERRUPTIONS


@pytest.mark.parametrize(("error", "fate"), [(MemoryExceededError, ""), (WorkerLostError, "OUT_OF_MEMORY")])
def test_memory_is_given_once(error, fate):
    tries = Tries(2, more_memory=True)
    assert tries.next(UNIT, error("memory"), fate=fate) == "more memory"
    assert tries.next(UNIT, error("memory"), fate=fate) == "give up"
    assert Tries(2, more_memory=False).next(UNIT, error("memory"), fate=fate) == "give up"
    assert "more_memory" in tries.words(UNIT, error("memory"), fate)


def test_units_are_counted_apart():
    tries, error = Tries(1, more_memory=False), WorkerLostError("lost")
    assert [tries.next(name, error) for name in ("a", "b", "a", "b")] == ["again", "again", "give up", "give up"]


@pytest.mark.parametrize("fate", ["", "RUNNING", "OUT_OF_MEMORY"])
def test_a_worker_lost_before_a_unit_had_begun_is_not_the_units_fault(fate):
    tries, error = Tries(0, more_memory=True), WorkerLostError("lost")
    assert until_given_up(tries, error, fate=fate, begun=False) == INTERRUPTIONS
    assert "5 workers in a row were lost before they had begun it" in tries.words(UNIT, error, fate)


def test_a_run_that_was_ended_though_nobody_wants_that_is_tried_again():
    assert until_given_up(Tries(0, more_memory=True), StoppedError("its driver was taken for dead")) == INTERRUPTIONS
