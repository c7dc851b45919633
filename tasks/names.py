"""Names of task runs."""

from prefect.runtime import task_run


def unit_name() -> str:
    """Return the name of the unit of the running task, e.g. ``CdTe/v_Cd_0/Dimer/reference``."""
    return str(task_run.parameters["unit"].name)


def units_name() -> str:
    """Return the name of the unit of the running task, or of the first of its units and how many follow."""
    first, *others = task_run.parameters["units"]
    return f"{first.name} and {len(others)} more" if others else str(first.name)
