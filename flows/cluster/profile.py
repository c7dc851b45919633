"""The profile of a cluster: its batch system, and what a job of each of the two resource classes asks for.

A profile is a YAML file, as those in ``deployments/clusters``. It says nothing of what is searched; the settings of a
search say nothing of where.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from dask.utils import parse_bytes
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from defect_surrogate.settings import Section
from defect_surrogate.settings_files import read_settings

Level = Literal["surrogate", "reference"]
"""Resource classes are named after the level of theory that they serve."""

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:/@%+=-]*")
"""Names of queues, accounts and modules: nothing that a shell or a batch system reads as more than a name."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WALLTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)")


def _word(value: str) -> str:
    if not WORD.fullmatch(value):
        raise ValueError(f"{value!r} is not a name; letters, digits and _.,:/@%+=- are")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} must be one line of printable characters")
    return value


def _seconds(value: object) -> object:
    """Read ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    if isinstance(value, str) and (found := WALLTIME.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if isinstance(value, str):
        raise ValueError("walltimes are HH:MM:SS or D-HH:MM:SS, in quotes")
    return value


def _bytes(value: object) -> object:
    """Read ``16 GB``."""
    return parse_bytes(value) if isinstance(value, str) else value


Word = Annotated[str, AfterValidator(_word)]
Line = Annotated[str, AfterValidator(_one_line)]
Seconds = Annotated[int, BeforeValidator(_seconds)]
Bytes = Annotated[int, BeforeValidator(_bytes)]


class Jobs(Section):
    """How many batch jobs of a class there are at a time."""

    minimum: int = Field(0, ge=0, description="Kept while a campaign runs, with work or without.")
    maximum: int = Field(1, ge=1, description="As many as there is work for, up to this.")
    idle: int = Field(60, ge=0, description="Seconds after which a job without work is given back.")

    @model_validator(mode="after")
    def _ordered(self) -> "Jobs":
        if self.minimum > self.maximum:
            raise ValueError(f"minimum = {self.minimum} is more than maximum = {self.maximum}")
        return self


class ResourceClass(Section):
    """What a batch job asks for. Each job is one worker, which has one unit, or one batch of structures, at a time."""

    queue: Word | None = Field(None, description="Queue or partition.")
    account: Word | None = Field(None, description="Account or project that is charged.")
    nodes: int = Field(1, ge=1, description="Nodes; more than one only for VASP.")
    ranks: int = Field(1, ge=1, description="MPI ranks of VASP, over all nodes; 1 for the surrogate.")
    threads: int = Field(1, ge=1, description="Threads of the surrogate, or of each rank (OMP_NUM_THREADS).")
    gpus: int = Field(0, ge=0, le=16, description="GPUs on each node; the surrogate has use for one.")
    memory: Bytes = Field(4_000_000_000, ge=10**6, description="Memory on each node, e.g. 64 GB.")
    more_memory: Bytes | None = Field(
        None,
        description="Memory for a second and last try of a unit that ran out of it; without, such a unit is given up.",
    )
    walltime: Seconds = Field(3600, ge=60, description="Of a job, HH:MM:SS or D-HH:MM:SS, in quotes.")
    margin: int = Field(
        300, ge=0, description="Seconds before the end of a job in which nothing is begun, and VASP is told to stop."
    )
    jobs: Jobs = Jobs()
    launcher: list[Line] = Field(
        [], description="Words before the VASP command, in which {ranks} and {threads} stand for these numbers."
    )
    modules: list[Word] = Field([], description="Environment modules that are loaded.")
    environment: dict[str, Line] = Field({}, description="Environment variables that are set, to the letter.")
    prologue: list[Line] = Field(
        [], description="Lines of shell before the worker starts, in which variables are read."
    )
    directives: list[Line] = Field([], description="More directives of the batch system, e.g. --constraint=icelake.")
    scratch: Line | None = Field(
        None,
        description="Directory of the node for large files (WAVECAR, CHGCAR), e.g. $TMPDIR; the unit's own if absent.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ResourceClass":
        if self.margin >= self.walltime:
            raise ValueError(f"margin = {self.margin} s is not less than walltime = {self.walltime} s")
        if self.ranks % self.nodes:
            raise ValueError(f"ranks = {self.ranks} cannot be shared out evenly over nodes = {self.nodes}")
        if self.more_memory is not None and self.more_memory <= self.memory:
            raise ValueError(f"more_memory = {self.more_memory} is not more than memory = {self.memory}")
        for name in self.environment:
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"environment: {name!r} is not the name of a variable")
        for word in self.launcher:
            if "{" in word.replace("{ranks}", "").replace("{threads}", ""):
                raise ValueError(f"launcher: in {word!r} only {{ranks}} and {{threads}} stand for something")
        return self

    @property
    def cores(self) -> int:
        """Cores of a job."""
        return self.ranks * self.threads

    @property
    def launcher_words(self) -> tuple[str, ...]:
        """Words before the VASP command, with the numbers of ranks and threads."""
        numbers = {"{ranks}": str(self.ranks), "{threads}": str(self.threads)}
        return tuple(re.sub(r"\{\w+\}", lambda found: numbers[found[0]], word) for word in self.launcher)


class ClusterProfile(Section):
    """A cluster, or this machine."""

    scheduler: Literal["local", "slurm", "pbs", "sge", "lsf"] = Field(
        "local", description="Batch system; local: processes of this machine."
    )
    interface: Word | None = Field(
        None,
        description="Network interface by which jobs reach the campaign's machine, e.g. ib0; the first one if absent.",
    )
    poll: int = Field(15, ge=1, description="Seconds between two questions to the batch system about its queue.")
    parallel_environment: Word = Field("smp", description="SGE's name for one node's cores.")
    surrogate: ResourceClass = ResourceClass()
    reference: ResourceClass = ResourceClass()

    def of(self, level: Level) -> ResourceClass:
        """Resources for units of a level of theory."""
        return self.surrogate if level == "surrogate" else self.reference

    @property
    def is_local(self) -> bool:
        """Whether workers are processes of this machine, and speak over its loopback interface alone."""
        return self.scheduler == "local"


def read_profile(path: Path) -> ClusterProfile:
    """Read a profile.

    Parameters
    ----------
    path
        YAML file.

    Returns
    -------
    ClusterProfile
        The profile, defaults filled in.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a key or a value is not valid; each fault names its key and value.
    """
    return read_settings(path, ClusterProfile)
