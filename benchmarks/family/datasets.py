"""The datasets of the family: all frames, those that the bulk base may learn from and is measured on, and those off the ways.

    python benchmarks/family/datasets.py

runs/family-dataset has every frame of every host's bundle; runs/family-bulk the pristine crystals of the hosts that may be
learnt from, and two unseen hosts on which the base is measured, vacancies and all; runs/family-active the frames of
active_learning.py.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from active_learning import BUNDLES
from campaign import DATA, ROOT, UNSEEN, finish

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.dataset.store import read_dataset, write_dataset

UNPACKED = ROOT / "runs" / "family-bundles"
DATASET = ROOT / "runs" / "family-dataset"
BULK_DATASET = ROOT / "runs" / "family-bulk"
ACTIVE_DATASET = ROOT / "runs" / "family-active"
MEASURED_ON = ("CdTe", "ZnSe")


def make_dataset() -> None:
    """Ingest the bundles of all hosts, anew if one is not the one that was ingested."""
    ingest(sorted(DATA.glob("*.tar.xz")), DATASET)


def make_active_dataset() -> None:
    """Ingest what active_learning.py has packed, likewise."""
    if bundles := sorted(BUNDLES.glob("*/*.tar.xz")):
        ingest(bundles, ACTIVE_DATASET)


def ingest(bundles: Sequence[Path], dataset: Path) -> None:
    """Ingest bundles, unless the dataset is of these very files; which ones it is of stands beside it."""
    digests = {str(path.relative_to(DATA)): file_digest(path) for path in bundles}
    made_of = dataset.with_suffix(".json")
    if dataset.exists() and made_of.exists() and json.loads(made_of.read_text()) == digests:
        return
    shutil.rmtree(dataset, ignore_errors=True)
    finish("ingest", *map(unpacked, bundles, digests.values()), "--out", dataset)
    made_of.write_text(json.dumps(digests, indent=1) + "\n")


def unpacked(bundle: Path, digest: str) -> Path:
    """Unpack a bundle into a folder of its own, apart from runs/family, where a campaign keeps more frames; once."""
    folder = UNPACKED / digest[:16] / bundle.name.removesuffix(".tar.xz")
    if not (folder / "whole").exists():
        finish("unpack", bundle, "--out", folder)
        (folder / "whole").touch()
    return folder


def make_bulk_dataset() -> None:
    """Leave out the vacancies of hosts that are learnt from, and the other unseen hosts."""
    frames = read_dataset(DATASET).select(
        lambda frame: frame.host in MEASURED_ON or (frame.is_bulk and frame.host not in UNSEEN)
    )
    shutil.rmtree(BULK_DATASET, ignore_errors=True)
    write_dataset(frames, BULK_DATASET)


if __name__ == "__main__":
    make_dataset()
    make_bulk_dataset()
    make_active_dataset()
