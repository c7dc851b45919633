"""When broken work is tried again."""

import pytest
from prefect.states import Failed

from defect_surrogate.errors import (
    ArchiveError,
    PotentialError,
    ReferenceDivergedError,
    ReferenceInputError,
    ReferenceRunError,
)
from tasks.attempts import may_pass_next_time


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ReferenceRunError("signal 9"), True),
        (ArchiveError("disk full"), True),
        (MemoryError(), True),
        (PotentialError("no such force field"), False),
        (ReferenceInputError("no executable"), False),
        (ReferenceDivergedError("energy -55442 eV"), False),
    ],
)
def test_what_would_end_alike_is_final(error, again):
    assert may_pass_next_time(None, None, Failed(data=error)) is again
