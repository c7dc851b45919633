"""The reference data of the family: what is computed of which host, and how it is kept. Resumable; a day on two cores.

    python benchmarks/family/campaign.py           compute what data/ lacks; any number of these side by side
    python benchmarks/family/campaign.py --stop    pack what unfinished hosts have so far, to go on elsewhere

Each host has a run folder, runs/family/<host>, and once finished a bundle, data/<host>.tar.xz, with ten frames of each
relaxation. A host with a bundle is never computed again.
"""

import argparse
import subprocess
from itertools import zip_longest
from pathlib import Path

from hosts import main as write_hosts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS = ROOT / "runs" / "family"
DATA = HERE / "data"

UNSEEN = ("CdTe", "ZnSe", "SbSeI", "AgGaSe2", "SnSe", "SnS2", "Sb2Se3", "BiSeBr")
"""Never learnt from, not even as a crystal: one or two of each of six prototypes."""

TRAINING = (
    "CdSe",
    "ZnTe",
    "SnSe2",
    "ZrS2",
    "BiSeI",
    "SbSeBr",
    "HgTe",
    "CuGaSe2",
    "AgGaS2",
    "SnS",
    "Sb2S3",
    "BiTeI",
    "ZnS",
    "HfS2",
    "MgTe",
    "Bi2S3",
    "BiSeCl",
    "CuAlS2",
    "CdS",
    "BiTeBr",
)

BULK_ONLY = (
    "HgSe",
    "MgSe",
    "CaS",
    "CaSe",
    "CaTe",
    "SnTe",
    "PbTe",
    "PbS",
    "PbSe",
    "ZrSe2",
    "HfSe2",
    "GeS",
    "GeSe",
    "CuGaS2",
    "CuGaTe2",
    "CuAlSe2",
    "AgGaTe2",
    "AgAlS2",
    "BiSCl",
    "SrS",
)
"""The bulk base learns from these and from the bulk cells of the training hosts."""

ORDER = tuple(host for trio in zip_longest(TRAINING[::2], TRAINING[1::2], UNSEEN) for host in trio if host) + BULK_ONLY
"""Unseen hosts are computed in between, so that a campaign that is stopped early has some of each."""


def compute(host: str, settings: str) -> None:
    """Compute a host, unless it is finished or another process is at it, and pack it."""
    if bundle(host).exists():
        return
    if bundle(host, "partial").exists() and not (RUNS / host).exists():
        defect_surrogate("unpack", bundle(host, "partial"), "--out", RUNS / host)
    crystal = RUNS / "hosts" / f"{host}.cif"
    if defect_surrogate("build-dataset", crystal, "--settings", HERE / settings, "--out", RUNS / host):
        defect_surrogate("pack", RUNS / host, "--out", bundle(host))
        bundle(host, "partial").unlink(missing_ok=True)


def pack_unfinished() -> None:
    """Pack what unfinished hosts have."""
    for folder in sorted(RUNS.glob("*/archive")):
        host = folder.parent.name
        if not bundle(host).exists() and any((folder / "units").glob("*/*/*/*/*/unit.json")):
            defect_surrogate("pack", folder.parent, "--out", bundle(host, "partial"))


def bundle(host: str, kind: str = "") -> Path:
    """Return the path of a host's bundle."""
    return DATA / kind / f"{host}.tar.xz"


def defect_surrogate(*words: object) -> bool:
    """Run a command, and return whether all of it was done."""
    return subprocess.run(["defect-surrogate", *(str(word) for word in words)], cwd=ROOT, check=False).returncode == 0


def finish(*words: object) -> None:
    """Run a command, and stop if not all of it was done."""
    if not defect_surrogate(*words):
        raise SystemExit(f"{' '.join(str(word) for word in words)}: not finished; run this again")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stop", action="store_true")
    (DATA / "partial").mkdir(parents=True, exist_ok=True)
    if parser.parse_args().stop:
        pack_unfinished()
    else:
        write_hosts(RUNS / "hosts")
        for host in ORDER:
            compute(host, "unseen.yaml" if host in UNSEEN else "bulk.yaml" if host in BULK_ONLY else "training.yaml")
