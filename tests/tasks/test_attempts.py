"""When broken work is tried again."""

import pytest
from prefect.states import Failed

from defect_surrogate.errors import ArchiveError, PotentialError, ReferenceInputError, ReferenceRunError
from tasks.attempts import may_pass_next_time


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ReferenceRunError("signal 9"), True),
        (ArchiveError("disk full"), True),
        (MemoryError(), True),
        (PotentialError("no such force field"), False),
        (ReferenceInputError("no executable"), False),
    ],
)
def test_only_input_errors_are_final(error, again):
    assert may_pass_next_time(None, None, Failed(data=error)) is again
