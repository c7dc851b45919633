"""What a campaign is: its hosts, how they are searched, and what a night may spend on them.

A campaign file is YAML with the keys of ``Campaign``. Paths in it are meant from its folder; ``settings`` may be the name of a
settings file.
"""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from defect_surrogate.crystal_files import MATERIALS_PROJECT_ID, name_from_source
from defect_surrogate.errors import SettingsError
from defect_surrogate.settings import SearchSettings, Section, read_settings

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

Priority = Literal["high", "normal", "low"]

PRIORITIES: dict[Priority, int] = {"high": 1, "normal": 0, "low": -1}
"""Of campaigns on the same workers those with the larger number go first."""


class Budget(Section):
    """What a night, from noon to noon, may spend at the reference level. What is left over goes on the next night."""

    reference_relaxations: int | None = Field(None, ge=1, description="Most that are begun; unlimited when absent.")
    core_hours: float | None = Field(
        None, gt=0, description="Most core-hours of reference jobs, at which what runs is ended and kept."
    )


class Campaign(Section):
    """Hosts to be searched, and how. Name it, and give files of hosts, or a folder of them."""

    name: str = Field(pattern=f"^{NAME}$", description="Name of the campaign, e.g. tellurides; letters, digits, _ . -")
    hosts: list[str] = Field(
        [], description="Files of the hosts (CIF, POSCAR, extxyz, pymatgen JSON), or Materials Project ids."
    )
    folder: str | None = Field(
        None, description="Folder that is watched: every host file that lies in it when a run begins is searched."
    )
    priority: Priority = Field("normal", description="Of campaigns that wait at the same time, which goes first.")
    budget: Budget = Budget()
    hosts_at_once: int = Field(1, ge=1, le=64, description="Hosts that are searched at the same time.")
    settings: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not self.hosts and self.folder is None:
            raise ValueError(f"{self.name}: needs hosts, or a folder of them")
        if self.settings.host.name is not None:
            raise ValueError(f"settings.host.name = {self.settings.host.name!r}: hosts are named after their files")
        return self


def read_campaign(file: Path) -> Campaign:
    """Read a campaign file.

    Parameters
    ----------
    file
        YAML file. Without ``name`` the campaign is named after it.

    Returns
    -------
    Campaign
        With absolute paths.

    Raises
    ------
    SettingsError
        If it cannot be read, or a key or value is not valid; each fault names its key and value.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold keys such as 'hosts:', found {type(content).__name__}")
    content = {"name": file.stem} | content
    home = file.absolute().parent
    if isinstance(content.get("settings"), str):
        settings_file = home / content["settings"]
        content["settings"] = read_settings(settings_file).model_dump()
        home_of_settings = settings_file.parent
    else:
        home_of_settings = home
    try:
        campaign = Campaign.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'campaign'}: {fault['msg']} (got {fault['input']!r})"
            for fault in error.errors()
        )
        raise SettingsError(f"{file}: {faults}") from error
    return with_absolute_paths(campaign, home, home_of_settings)


def with_absolute_paths(campaign: Campaign, home: Path, home_of_settings: Path | None = None) -> Campaign:
    """Return a campaign with absolute paths.

    Parameters
    ----------
    campaign
        With paths that are meant from a folder.
    home
        That folder.
    home_of_settings
        Folder from which paths in the settings are meant, if another one.

    Returns
    -------
    Campaign
        The same. What is no file, such as the name of a force field, stays.
    """

    def absolute(path: str, root: Path) -> str:
        return str((root / path).resolve())

    hosts = [one if MATERIALS_PROJECT_ID.fullmatch(one) else absolute(one, home) for one in campaign.hosts]
    update: dict[str, Any] = {"hosts": hosts}
    if campaign.folder is not None:
        update["folder"] = absolute(campaign.folder, home)
    content = campaign.model_dump()
    settings, root = content["settings"], home_of_settings or home
    if (root / settings["surrogate"]["potential"]).is_dir():
        settings["surrogate"]["potential"] = absolute(settings["surrogate"]["potential"], root)
    cluster = settings["workers"]["cluster"]
    if cluster is not None:
        settings["workers"]["cluster"] = absolute(cluster, root)
    return Campaign.model_validate(content | update)


def hosts_of(campaign: Campaign) -> tuple[dict[str, str], dict[str, str]]:
    """Find the hosts of a campaign, those in its folder now among them.

    Parameters
    ----------
    campaign
        With absolute paths.

    Returns
    -------
    tuple of dict of str to str, and dict of str to str
        File, or Materials Project id, of each host by name, in the order of the list and then of the folder; and what is wrong
        with files that cannot be hosts, by file name.
    """
    sources = [*campaign.hosts, *_watched(campaign.folder)]
    names = [(name_from_source(source), source) for source in dict.fromkeys(sources)]
    hosts, wrong = dict[str, str](), dict[str, str]()
    for name, source in names:
        if name is None or name.startswith("."):
            wrong[source] = "hosts are named after their files; name this one after the host, e.g. CdTe.vasp"
        elif twice := [other for known, other in names if known == name and other != source]:
            wrong[source] = f"{name}: also the name of {Path(twice[0]).name}; hosts are named after their files"
        else:
            hosts[name] = source
    return hosts, wrong


def _watched(folder: str | None) -> list[str]:
    """Files of a folder by name; hidden ones, such as those that are being copied, are none."""
    if folder is None:
        return []
    try:
        return sorted(
            str(path) for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith((".", "README"))
        )
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be read as the folder of a campaign: {error}") from error
