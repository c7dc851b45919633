"""Names of task runs."""

from prefect.runtime import task_run

from defect_surrogate.relaxation import Unit


def unit_name() -> str:
    """Return the name of the unit of the running task for people, e.g. ``CdTe · v_Cd_0 · reference · Dimer``."""
    return _words(task_run.parameters["unit"])


def units_name() -> str:
    """Return the name of the unit of the running task, or of the first of its units and how many follow."""
    first, *others = task_run.parameters["units"]
    return f"{_words(first)} and {len(others)} more" if others else _words(first)


def _words(unit: Unit) -> str:
    return f"{unit.host} · {unit.defect} · {unit.level} · {unit.label}"
