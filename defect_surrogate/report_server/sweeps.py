"""Reading the report of a sweep back from ``alloy.json``."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from defect_surrogate.errors import ReportError
from defect_surrogate.reports.alloy_schema import ALLOY_SCHEMA_VERSION, AlloyReport

_ALLOY = TypeAdapter(AlloyReport)


def read_alloy(path: Path) -> AlloyReport:
    """Read an ``alloy.json``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    AlloyReport
        The report.

    Raises
    ------
    ReportError
        If the file cannot be read, is no report, or is of another schema than this software knows.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: cannot be read as JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != ALLOY_SCHEMA_VERSION:
        raise ReportError(f"{path}: is of schema {version}; this version of the software reads {ALLOY_SCHEMA_VERSION}")
    try:
        return _ALLOY.validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ReportError(f"{path}: {where}: {fault['msg']} ({error.error_count()} faults in all)") from error
