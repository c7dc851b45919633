"""Where campaigns live: one folder for a group, with one archive, so that no campaign computes what another has.

::

    service/
        archive/                          every finished unit of all campaigns
        sampling/                         sampling structures, made anew if lost
        campaigns/
            tellurides.yaml               a campaign file: it is run every night
            tellurides/
                hosts/CdTe/               as the folder of a search, without an archive of its own
                history/0001.json         each run: settings, what it did, what it found
                spent.json                what this night has spent
                STOP                      asks it to end
        runs/                             single searches and sweeps, if started with such an ``out``
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from defect_surrogate.errors import InputError
from defect_surrogate.relaxation import digest
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.versions import library_versions
from defect_surrogate.settings import SearchSettings
from flows.campaigns.settings import NAME
from flows.work_folder import WorkFolder

DONE_FILE = "done.json"


@dataclass(frozen=True)
class Done:
    """How far a host is, of what was asked for when this was written.

    Attributes
    ----------
    asked
        Digest of the host's file, the settings, and the versions of the libraries.
    finished, failed, unfinished
        Units.
    """

    asked: str
    finished: int
    failed: int
    unfinished: int


@dataclass(frozen=True)
class ServiceFolder:
    """The folder of a group.

    Attributes
    ----------
    root
        The folder, absolute.
    """

    root: Path

    def campaign(self, name: str) -> "CampaignFolder":
        """Return the folder of a campaign, which need not be there yet.

        Raises
        ------
        InputError
            If this cannot be the name of one.
        """
        if not re.fullmatch(NAME, name):
            raise InputError(f"{name!r}: cannot be the name of a campaign; letters, digits, _ . - can")
        return CampaignFolder(self.root / "campaigns" / name, shared_archive=self.root / "archive")

    def campaigns(self) -> list["CampaignFolder"]:
        """Return the folders of the campaigns that were run, by name."""
        paths = sorted((self.root / "campaigns").glob("*/history"))
        return [self.campaign(path.parent.name) for path in paths if re.fullmatch(NAME, path.parent.name)]

    def searched(self, name: str) -> "CampaignFolder":
        """Return the folder of a campaign that was run.

        Raises
        ------
        InputError
            If there is none of this name; the error names those that there are.
        """
        known = {one.name: one for one in self.campaigns()}
        if name not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"{name}: no campaign of this name was run in {self.root}; there are: {names}")
        return known[name]

    def campaign_files(self) -> list[Path]:
        """Return the campaign files that are run every night, by name; hidden ones, such as an editor's, are none."""
        files = (self.root / "campaigns").glob("*.yaml")
        return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


@dataclass(frozen=True)
class CampaignFolder(WorkFolder):
    """The folder of a campaign in that of its group.

    Attributes
    ----------
    path
        The folder.
    shared_archive
        Root of the archive of the group.
    """

    @property
    def name(self) -> str:
        """Name of the campaign."""
        return self.path.name

    @property
    def history(self) -> Path:
        """Folder with a file for each run."""
        return self.path / "history"

    @property
    def spent(self) -> Path:
        """File of what this night has spent."""
        return self.path / "spent.json"

    def host(self, name: str) -> Path:
        """Return the folder of a host."""
        return self.path / "hosts" / name

    def hosts(self) -> list[Path]:
        """Return the folders of the hosts that were searched, by name."""
        return sorted(path.parent for path in self.path.glob("hosts/*/run.json"))

    def units(self) -> dict[str, str]:
        """Key of each unit of the latest search of each host, as far as they are known, by name."""
        known: dict[str, str] = {}
        for path in self.hosts():
            known |= WorkFolder(path).units()
        return known


def asked_for(source: str, settings: SearchSettings) -> str:
    """Digest of what decides whether a host has to be searched again; files of a force field that is a folder are in it.

    Parameters
    ----------
    source
        Its file, or Materials Project id.
    settings
        Of the search; who relaxes does not count.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    host, model = _digests(Path(source)) or source, _digests(Path(settings.surrogate.potential))
    return digest([host, model, settings.model_dump(mode="json", exclude={"workers": True}), library_versions()])


def read_done(host: Path) -> Done | None:
    """Read how far a host is; None if that was never written, or cannot be read."""
    try:
        return Done(**json.loads((host / DONE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_done(host: Path, done: Done) -> None:
    """Write how far a host is."""
    replace_file(host / DONE_FILE, json.dumps(asdict(done)))


def _digests(path: Path) -> list[str]:
    """Digest a file, or the files of a folder; nothing of what is neither, such as a name, or cannot be read."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
    except (OSError, ValueError):
        return []


def campaign_of(path: Path) -> CampaignFolder | None:
    """Return the campaign whose folder a path is; None if it is none."""
    path = path.absolute()
    is_one = path.parent.name == "campaigns" and (path / "history").is_dir()
    return ServiceFolder(path.parents[1]).campaign(path.name) if is_one else None
