"""Where the service of a group is: its folder, its addresses, its password, and what its processes have in their environment.

::

    service/prefect/         Prefect's home: SQLite database, logs of the processes
    service/prefect/auth     user:password of Prefect's API and dashboard, for its owner alone
    service/service.json     addresses, for commands that are given the folder
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from defect_surrogate.errors import InputError, ServiceError
from defect_surrogate.reports.files import replace_file

SERVICE_FILE = "service.json"

REPORTS = "DEFECT_SURROGATE_REPORTS"
"""Environment variable with the address of the report server, e.g. ``http://127.0.0.1:4201``."""

ROOT = "DEFECT_SURROGATE_SERVICE"
"""Environment variable with the folder of the group."""

LASTING = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect.server.events.ordering.db",
}
"""What outlives the server: who has the slots of a concurrency limit, or a slot would be lost with each run that it is killed
under; and which events were seen, or automations would wait a quarter of an hour for those before the ones that come."""

UNTRACKED = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""No telemetry of Prefect and of what it stands on."""

PATIENT = {
    "PREFECT_CLIENT_MAX_RETRIES": "10",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
"""Flow runs wait for a server, or its database, that is away for minutes, and say each half minute that they live."""


@dataclass(frozen=True)
class Addresses:
    """Of the parts of the service.

    Attributes
    ----------
    api
        Of Prefect's API; the dashboard is beside it.
    reports
        Of the report server.
    """

    api: str
    reports: str

    @property
    def dashboard(self) -> str:
        """Of Prefect's dashboard."""
        return self.api.removesuffix("/api")


def auth_of(root: Path) -> str:
    """Return user and password of Prefect's API, ``user:password``; made when missing, for the owner of the folder alone.

    Parameters
    ----------
    root
        Folder of the group.

    Returns
    -------
    str
        As in ``PREFECT_API_AUTH_STRING``.

    Raises
    ------
    InputError
        If the file cannot be read or written.
    """
    file = root / "prefect" / "auth"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = file.with_name(f".auth-{os.getpid()}")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(f"group:{secrets.token_urlsafe(16)}")
            partial.replace(file)
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"{file}: cannot be read or made: {error}") from error


def write_addresses(root: Path, addresses: Addresses) -> None:
    """Write the addresses of the service into its folder."""
    replace_file(root / SERVICE_FILE, json.dumps(asdict(addresses)))


def read_addresses(root: Path) -> Addresses:
    """Read the addresses of the service.

    Parameters
    ----------
    root
        Folder of the group.

    Returns
    -------
    Addresses
        As they were when it was started last.

    Raises
    ------
    ServiceError
        If none was started there.
    """
    try:
        return Addresses(**json.loads((root / SERVICE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ServiceError(f"{root}: no service was started there: defect-surrogate serve --service {root}") from error


def client_environment(root: Path, addresses: Addresses) -> dict[str, str]:
    """Return what a process has in its environment to speak with the service.

    Parameters
    ----------
    root
        Folder of the group.
    addresses
        Of the service.

    Returns
    -------
    dict of str to str
        Variables by name.
    """
    return UNTRACKED | {
        "PREFECT_API_URL": addresses.api,
        "PREFECT_API_AUTH_STRING": auth_of(root),
        "PREFECT_HOME": str(root / "prefect"),
        REPORTS: addresses.reports,
        ROOT: str(root),
    }
