"""What a campaign is: its hosts, how they are searched, and what a night may spend on them.

A campaign file is YAML with the keys of ``Campaign``. Paths in it are meant from its folder; ``settings`` may be the name of a
settings file.
"""

import os
import shlex
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from defect_surrogate.crystal_files import MATERIALS_PROJECT_ID, is_host_name, name_from_source
from defect_surrogate.errors import SettingsError
from defect_surrogate.settings import SearchSettings, Section
from defect_surrogate.settings_files import read_settings

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

Priority = Literal["high", "normal", "low"]

PRIORITIES: dict[Priority, int] = {"high": 1, "normal": 0, "low": -1}
"""Of campaigns on the same workers those with the larger number go first."""


LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "srun", "aprun", "jsrun", "prun")
"""Programs that start others on several cores."""


class Budget(Section):
    """What a night, from noon to noon, may spend at the reference level.

    What is left over goes on when the campaign is started again in a later night: by itself if its file lies in ``campaigns/``.
    """

    reference_relaxations: int | None = Field(None, ge=1, description="Most that are begun; unlimited when absent.")
    core_hours: float | None = Field(
        None,
        gt=0,
        description="Most core-hours of reference jobs, at which what runs is ended and kept; cores as in the profile of the "
        "workers, one for each worker of this machine without one.",
    )


class Campaign(Section):
    """Hosts to be searched, and how. Name it, and give files of hosts, or a folder of them."""

    name: str = Field(
        pattern=f"^{NAME}$",
        description="Name of the campaign, e.g. tellurides; letters, digits, _ . -; in a file, that of the file when absent.",
    )
    hosts: list[str] = Field(
        [], description="Files of the hosts (CIF, POSCAR, extxyz, pymatgen JSON), or Materials Project ids."
    )
    folder: str | None = Field(
        None, description="Folder that is watched: every host file that lies in it when a run begins is searched."
    )
    priority: Priority = Field(
        "normal",
        description="high, normal or low: of campaigns on the same workers, whose work goes first; of those that wait, which "
        "begins first, unless they are started from the form, where the work queue decides.",
    )
    budget: Budget = Budget()
    hosts_at_once: int = Field(1, ge=1, le=64, description="Hosts that are searched at the same time, 64 at most.")
    settings: SearchSettings | str | None = Field(
        None,
        description="Of the searches, without host.name; or the file that has them, e.g. hse06.yaml; defaults when absent.",
    )

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not self.hosts and self.folder is None:
            raise ValueError(f"{self.name}: needs hosts, or a folder of them")
        if isinstance(self.settings, SearchSettings) and self.settings.host.name is not None:
            raise ValueError(f"settings.host.name = {self.settings.host.name!r}: hosts are named after their files")
        if isinstance(self.settings, SearchSettings) and self.budget.core_hours is not None:
            self._refuse_uncounted(self.settings)
        return self

    def _refuse_uncounted(self, settings: SearchSettings) -> None:
        """Refuse core-hours of a command that takes nobody knows how many cores."""
        command = settings.reference.vasp_cmd
        if settings.workers.cluster is None and Path(command[0]).name in LAUNCHERS:
            raise ValueError(
                f"budget.core_hours = {self.budget.core_hours:g}: cannot be counted, since a worker of this machine counts as "
                f"one core, and {shlex.join(command)} takes several; give workers.cluster a profile with their number"
            )

    @property
    def search(self) -> SearchSettings:
        """Settings of the searches; those in a file have to be read before, by ``resolved``."""
        if isinstance(self.settings, str):
            raise SettingsError(f"{self.name}: settings of {self.settings} have not been read")
        return self.settings or SearchSettings()


def read_campaign(file: Path) -> Campaign:
    """Read a campaign file.

    Parameters
    ----------
    file
        YAML file. Without ``name`` the campaign is named after it.

    Returns
    -------
    Campaign
        Resolved.

    Raises
    ------
    SettingsError
        If it cannot be read, or a key or value is not valid; each fault names its key and value.
    """
    return resolved(read_settings(file, Campaign, {"name": file.stem}), file.absolute().parent)


def resolved(campaign: Campaign, home: Path) -> Campaign:
    """Return a campaign with absolute paths, and with its settings.

    Parameters
    ----------
    campaign
        With paths that are meant from a folder, those in its settings too; in a settings file, from that file's folder.
    home
        That folder.

    Returns
    -------
    Campaign
        What is no file, such as the name of a force field, stays.

    Raises
    ------
    SettingsError
        If its settings file cannot be read.
    """
    root = home
    if isinstance(campaign.settings, str):
        file = home / campaign.settings
        campaign, root = campaign.model_copy(update={"settings": read_settings(file)}), file.parent
    settings = campaign.search.model_dump()
    if (root / settings["surrogate"]["potential"]).is_dir():
        settings["surrogate"]["potential"] = _absolute(settings["surrogate"]["potential"], root)
    if settings["workers"]["cluster"] is not None:
        settings["workers"]["cluster"] = _absolute(settings["workers"]["cluster"], root)
    content = campaign.model_dump() | {
        "hosts": [one if MATERIALS_PROJECT_ID.fullmatch(one) else _absolute(one, home) for one in campaign.hosts],
        "folder": None if campaign.folder is None else _absolute(campaign.folder, home),
        "settings": settings,
    }
    return Campaign.model_validate(content)


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
        with files that cannot be hosts, by path.
    """
    sources = [*campaign.hosts, *_watched(campaign.folder)]
    names = [(name_from_source(source), source) for source in dict.fromkeys(sources)]
    hosts, wrong = dict[str, str](), dict[str, str]()
    for name, source in names:
        shown = as_text(source)
        if name is None or not is_host_name(name):
            wrong[shown] = "hosts are named after their files; name this one after the host, e.g. CdTe.vasp"
        elif twice := [other for known, other in names if known == name and other != source]:
            wrong[shown] = f"{name}: also the name of {twice[0]}; hosts are named after their files"
        else:
            hosts[name] = source
    return hosts, wrong


def as_text(name: str) -> str:
    """Return the name of a file as text, which it need not be."""
    return name.encode(errors="backslashreplace").decode()


def _absolute(path: str, root: Path) -> str:
    return os.path.abspath(root / path)  # links keep their names, after which hosts are named


def _watched(folder: str | None) -> list[str]:
    """Files of a folder by name; hidden ones, such as those that are being copied, are none."""
    if folder is None:
        return []
    try:
        return sorted(
            str(path)
            for path in Path(folder).iterdir()
            if path.is_file() and not path.name.startswith((".", "README")) and not path.name.endswith("~")
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"{folder!r}: cannot be read as the folder of a campaign: {error}") from error
