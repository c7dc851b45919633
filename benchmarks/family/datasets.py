"""The datasets of the family: all frames, and those that the bulk base may learn from and is measured on.

    python benchmarks/family/datasets.py

runs/family-dataset has every frame of every bundle; runs/family-bulk the pristine crystals of the hosts that may be learnt
from, and the unseen hosts on which the base is measured, vacancies and all.
"""

import shutil

from campaign import DATA, ROOT, RUNS, UNSEEN, bundle, finish

from defect_surrogate.dataset.store import read_dataset, write_dataset

DATASET = ROOT / "runs" / "family-dataset"
BULK_DATASET = ROOT / "runs" / "family-bulk"
MEASURED_ON = ("CdTe", "ZnSe")


def make_dataset() -> None:
    """Ingest all bundles; anew if there are more than there were."""
    hosts = sorted(path.name.removesuffix(".tar.xz") for path in DATA.glob("*.tar.xz"))
    if DATASET.exists():
        if list(read_dataset(DATASET).hosts) == hosts:
            return
        shutil.rmtree(DATASET)
    for host in hosts:
        if not (RUNS / host / "archive").exists():
            finish("unpack", bundle(host), "--out", RUNS / host)
    finish("ingest", *(RUNS / host for host in hosts), "--out", DATASET)


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
