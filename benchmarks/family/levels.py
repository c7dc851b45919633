"""Ground states of the same vacancies at two levels of theory, GFN1-xTB and GFN2-xTB, compared as the paper's HSE06 and PBEsol.

    python benchmarks/family/levels.py [--surrogate models/gfn1-defects] [HOST...]

At both levels the same is searched, the minima of the surrogate and the unperturbed structure: the rest of a full reference
search at one level only would look like a difference between them. Resumable, some forty minutes of one core a
host; writes docs/results/levels-of-theory.md and .json, after Supplementary Table 16 of doi:10.1038/s41524-024-01303-9.
"""

import argparse
import json
from pathlib import Path

from campaign import ROOT, RUNS, bundle, finish
from search import RESULTS

LEVELS = ROOT / "runs" / "levels"
HOSTS = ("ZnSe", "ZnS")
"""Of the family's hosts that GFN2-xTB can do: one unseen by the surrogate, and one it has learnt from."""

LIMITS = """\
Only hosts are here whose vacancies GFN2-xTB can do in supercells at Γ. In CdTe and CdSe most steps of a relaxation end at
NELM without convergence, in AgGaSe2 every single point tried; in SnS, SnSe, SnSe2 and ZrS2 tblite cannot solve its
eigenvalue problem, and in SbSeI the energies run away. GFN1-xTB has none of this. The surrogate has learnt GFN1-xTB: at
the second level it only chooses what is relaxed.

In both hosts the chalcogens that GFN1-xTB binds to each other stay apart at GFN2-xTB, where the unperturbed vacancy is the
lowest of the four structures relaxed: how deep such reconstructions are, and whether there are any, is up to the level.
"""


def compare(host: str, surrogate: str) -> Path:
    """Search a host at both levels, compare the ground states, and return the folder of the comparison."""
    folder, crystal = LEVELS / host, RUNS / "hosts" / f"{host}.cif"
    finish("unpack", bundle(host), "--out", folder / "first")
    for level, name in (("first", "search.yaml"), ("second", "gfn2.yaml")):
        settings = Path(__file__).parent / name
        finish("search", crystal, "--settings", settings, "--surrogate", surrogate, "--out", folder / level)
    finish("compare-levels", folder / "first", folder / "second", "--out", folder / "compared")
    return folder / "compared"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", default="models/gfn1-defects")
    parser.add_argument("hosts", nargs="*", default=HOSTS)
    options = parser.parse_args()
    folders = [compare(host, options.surrogate) for host in options.hosts]
    pages = [f"## {folder.parent.name}\n\n{(folder / 'level-comparison.md').read_text()}" for folder in folders]
    command = " ".join(("python benchmarks/family/levels.py", *options.hosts))
    head = f"# Ground states at two levels of theory\n\n    {command}\n\n{LIMITS}"
    (RESULTS / "levels-of-theory.md").write_text("\n".join((head, *pages)))
    contents = [json.loads((folder / "level-comparison.json").read_text()) for folder in folders]
    (RESULTS / "levels-of-theory.json").write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n")
