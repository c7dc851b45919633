"""Ground states of the unseen hosts at two levels of theory, GFN1-xTB and GFN2-xTB, compared as the paper's HSE06 and PBEsol.

    python benchmarks/family/levels.py [--surrogate models/gfn1-defects] [HOST...]

Needs the finished searches of search.py. At both levels the same is searched, the minima of the surrogate and the unperturbed
structure: the rest of a full reference search at one level only would look like a difference between them. Resumable; writes
docs/results/levels-of-theory.md and .json, after Supplementary Table 16 of doi:10.1038/s41524-024-01303-9.
"""

import argparse
import json
from pathlib import Path

from campaign import ROOT, RUNS, UNSEEN, finish
from search import RESULTS, SEARCHES

LEVELS = ROOT / "runs" / "levels"


def compare(host: str, surrogate: str) -> Path:
    """Search a host at both levels, compare the ground states, and return the folder of the comparison."""
    folder, crystal = LEVELS / host, RUNS / "hosts" / f"{host}.cif"
    units = folder / "first.tar.xz"
    folder.mkdir(parents=True, exist_ok=True)
    if not units.exists():
        finish("pack", SEARCHES / "host-search" / host, "--out", units)
    finish("unpack", units, "--out", folder / "first")
    for level, name in (("first", "search.yaml"), ("second", "gfn2.yaml")):
        settings = Path(__file__).parent / name
        finish("search", crystal, "--settings", settings, "--surrogate", surrogate, "--out", folder / level)
    finish("compare-levels", folder / "first", folder / "second", "--out", folder / "compared")
    return folder / "compared"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", default="models/gfn1-defects")
    parser.add_argument("hosts", nargs="*", default=[])
    options = parser.parse_args()
    hosts = options.hosts or [host for host in UNSEEN if (SEARCHES / "host-search" / host / "campaign.json").exists()]
    folders = [compare(host, options.surrogate) for host in hosts]
    pages = [f"## {folder.parent.name}\n\n{(folder / 'level-comparison.md').read_text()}" for folder in folders]
    command = " ".join(("python benchmarks/family/levels.py", *options.hosts))
    title = f"# Ground states at two levels of theory\n\n    {command}\n"
    (RESULTS / "levels-of-theory.md").write_text("\n".join((title, *pages)))
    contents = [json.loads((folder / "level-comparison.json").read_text()) for folder in folders]
    (RESULTS / "levels-of-theory.json").write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n")
