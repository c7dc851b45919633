"""Where a model leads on training hosts, and what the reference level says of it: frames off the ways that it has learnt.

    python benchmarks/family/active_learning.py [--surrogate models/gfn1-defects]   resumable; any number of these side by side

A model that has learnt relaxations knows the ways from ShakeNBreak's starts to the minima of the reference level. Its own
relaxations leave them, and end in minima that are not there. On each training host the starts are relaxed with the model, and
its minima for some steps at the reference level: these go to data/active/<model>/<host>.tar.xz.
"""

import argparse
import json
import shutil
from pathlib import Path

from campaign import DATA, HERE, ROOT, RUNS, TRAINING, bundle, defect_surrogate, finish
from hosts import main as write_hosts

from defect_surrogate.distortions import FROM_SURROGATE

ACTIVE = ROOT / "runs" / "active"
BUNDLES = DATA / "active"


def follow(host: str, surrogate: str, model: str) -> None:
    """Search a training host with the model, unless that is done or another process is at it, and pack what came of it."""
    packed, folder = BUNDLES / model / f"{host}.tar.xz", ACTIVE / model / host
    if packed.exists():
        return
    finish("unpack", bundle(host), "--out", folder)
    given = ("--settings", HERE / "active.yaml", "--surrogate", surrogate, "--out", folder)
    if defect_surrogate("search", RUNS / "hosts" / f"{host}.cif", *given):
        packed.parent.mkdir(parents=True, exist_ok=True)
        finish("pack", only_followed(folder), "--out", packed)


def only_followed(folder: Path) -> Path:
    """Copy the units that started from minima of the model, whose bundle repeats none of the host's own, into an archive."""
    source, target = folder / "archive", folder / "followed"
    shutil.rmtree(target, ignore_errors=True)
    for unit in source.glob(f"units/*/*/*{FROM_SURROGATE}/reference/*"):
        shutil.copytree(unit, target / unit.relative_to(source))
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", default="models/gfn1-defects")
    options = parser.parse_args()
    write_hosts(RUNS / "hosts")
    digest = json.loads((ROOT / options.surrogate / "card.json").read_text())["digest"][:8]
    for each in TRAINING:
        if bundle(each).exists():
            follow(each, options.surrogate, digest)
