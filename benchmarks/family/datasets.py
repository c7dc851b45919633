"""The datasets of the family: all frames, and those that the bulk base may learn from and is measured on.

    python benchmarks/family/datasets.py

runs/family-dataset has every frame of every bundle; runs/family-bulk the pristine crystals of the hosts that may be learnt
from, and two unseen hosts on which the base is measured, vacancies and all.
"""

import json
import shutil
from pathlib import Path

from campaign import DATA, ROOT, UNSEEN, bundle, finish

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.dataset.store import read_dataset, write_dataset

UNPACKED = ROOT / "runs" / "family-bundles"
DATASET = ROOT / "runs" / "family-dataset"
BULK_DATASET = ROOT / "runs" / "family-bulk"
MADE_OF = ROOT / "runs" / "family-dataset.json"
MEASURED_ON = ("CdTe", "ZnSe")


def make_dataset() -> None:
    """Ingest all bundles, anew if one is not the one that was ingested."""
    digests = {path.name.removesuffix(".tar.xz"): file_digest(path) for path in sorted(DATA.glob("*.tar.xz"))}
    if DATASET.exists() and MADE_OF.exists() and json.loads(MADE_OF.read_text()) == digests:
        return
    shutil.rmtree(DATASET, ignore_errors=True)
    finish("ingest", *(unpacked(host, digest) for host, digest in digests.items()), "--out", DATASET)
    MADE_OF.write_text(json.dumps(digests, indent=1) + "\n")


def unpacked(host: str, digest: str) -> Path:
    """Unpack a bundle into a folder of its own, apart from runs/family, where a campaign keeps more frames; once."""
    folder = UNPACKED / digest[:16] / host
    if not (folder / "whole").exists():
        finish("unpack", bundle(host), "--out", folder)
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
