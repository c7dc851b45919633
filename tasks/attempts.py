"""What all tasks that relax a unit share: how their runs are named, and when they are tried again."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.tasks import Task

from defect_surrogate.errors import InputError, ReferenceDivergedError, StoppedError


def unit_name() -> str:
    """Return the name of the unit of the running task, e.g. ``CdTe/v_Cd_0/Dimer/reference``."""
    return str(task_run.parameters["unit"].name)


def may_pass_next_time(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether another attempt can help: not if it would end alike, the user has to mend it, or it was told to stop."""
    return not isinstance(state.result(raise_on_failure=False), (InputError, StoppedError, ReferenceDivergedError))
