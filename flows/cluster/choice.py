"""Which cluster a campaign runs on: the one of the command line, else that of the settings."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from defect_surrogate.errors import SettingsError

if TYPE_CHECKING:
    from defect_surrogate.settings import ReferenceSearchSettings

SettingsT = TypeVar("SettingsT", bound="ReferenceSearchSettings")


def on_cluster(settings: SettingsT, chosen: Path | None, file: Path | None = None) -> SettingsT:
    """Return settings with the full path of the cluster, so that they mean the same from wherever they are read.

    Parameters
    ----------
    settings
        Of a campaign.
    chosen
        File of a profile or folder of workers, of the command line; that of the settings when None.
    file
        File of the settings, from whose folder a path in them counts.

    Returns
    -------
    ReferenceSearchSettings
        The settings.

    Raises
    ------
    SettingsError
        If there is neither a profile nor a folder of workers, or the profile is not valid.
    """
    named = settings.workers.cluster
    place = chosen or (None if named is None else (file.parent if file is not None else Path()) / named)
    if place is None:
        return settings
    from flows.cluster.profile import read_profile  # noqa: PLC0415  (seconds to import)
    from flows.cluster.serve import PROFILE  # noqa: PLC0415

    place = place.resolve()
    if place.is_dir() and not (place / PROFILE).is_file():
        raise SettingsError(
            f"workers.cluster = {str(place)!r}: no workers were started there: defect-surrogate cluster start"
        )
    read_profile(place / PROFILE if place.is_dir() else place)
    workers = settings.workers.model_copy(update={"cluster": str(place)})
    return settings.model_copy(update={"workers": workers})


def address_for(cluster: str | None) -> str:
    """Return the address of this machine by which the workers of a campaign reach it.

    Parameters
    ----------
    cluster
        File of a profile or folder of workers; this machine when None.

    Returns
    -------
    str
        E.g. ``127.0.0.1`` for workers of this machine.

    Raises
    ------
    SettingsError
        If this machine has no such network interface.
    """
    if cluster is None:
        return "127.0.0.1"
    from distributed.utils import get_ip, get_ip_interface  # noqa: PLC0415  (seconds to import)

    from flows.cluster.profile import read_profile  # noqa: PLC0415
    from flows.cluster.serve import PROFILE  # noqa: PLC0415

    profile = read_profile(Path(cluster) / PROFILE if Path(cluster).is_dir() else Path(cluster))
    if profile.is_local:
        return "127.0.0.1"
    try:
        return str(get_ip() if profile.interface is None else get_ip_interface(profile.interface))
    except ValueError as error:
        raise SettingsError(f"{cluster}: interface = {profile.interface!r}: {error}") from error
