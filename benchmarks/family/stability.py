"""Whether the unseen hosts are minima at the reference level: their supercells rattled and relaxed, without a vacancy.

    python benchmarks/family/stability.py [HOST...]

A search takes the host as it is relaxed, with the symmetry of its crystal. If a lower crystal without that symmetry is near, a
vacancy lets the whole cell fall there, and what looks like a reconstruction of the defect is one of the host. Displacements are
normal with 0.1 Å, ShakeNBreak's rattle of a vacancy is of the same size; optimiser and calculator are ASE's and tblite's own.
Resumable, a few minutes a host; writes docs/results/host-stability.md and .json.
"""

import argparse
import json
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import Trajectory, read
from ase.optimize import BFGS
from campaign import ROOT, UNSEEN, bundle
from search import RESULTS, SEARCHES
from tblite.ase import TBLite

from defect_surrogate.markdown import markdown_table

FOLDER = ROOT / "runs" / "stability"
RATTLE, SEED = 0.1, 1  # Å
FORCE, MOST_STEPS = 0.02, 200  # eV/Å
HEADINGS = {
    "host": "host",
    "atoms": "atoms",
    "below_host_eV": "below the host (eV)",
    "rms_displacement_A": "rms displacement (Å)",
    "largest_force_eV_per_A": "largest force left (eV/Å)",
}


def relaxed_host(host: str) -> Atoms:
    """Return the host as the search has relaxed it, with the energy of the archive."""
    units = SEARCHES / "host-search" / host / "archive" / "units" / host / "bulk" / "Host" / "reference"
    (frames,) = units.glob("*/frames.extxyz")
    return read(frames, "-1")


def measure(host: str) -> dict[str, Any]:
    """Rattle a host and relax it, going on where an earlier call was interrupted."""
    start = relaxed_host(host)
    energy, trajectory = float(start.get_potential_energy()), FOLDER / f"{host}.traj"
    if trajectory.exists() and trajectory.stat().st_size:
        atoms = read(trajectory, "-1")
    else:
        atoms = start.copy()
        atoms.positions += np.random.default_rng(SEED).normal(0.0, RATTLE, atoms.positions.shape)
    atoms.calc = TBLite(method="GFN1-xTB", verbosity=0)
    with Trajectory(str(trajectory), "a", atoms) as written:
        optimiser = BFGS(atoms, trajectory=written, logfile=str(trajectory.with_suffix(".log")), maxstep=0.1)
        optimiser.run(fmax=FORCE, steps=MOST_STEPS)
    moved = atoms.positions - start.positions
    moved -= np.median(moved, axis=0)
    return {
        "host": host,
        "atoms": len(atoms),
        "below_host_eV": round(energy - float(atoms.get_potential_energy()), 3) or 0.0,
        "rms_displacement_A": round(float(np.sqrt((moved**2).sum(axis=1).mean())), 3),
        "largest_force_eV_per_A": round(float(np.linalg.norm(atoms.get_forces(), axis=1).max()), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", default=[host for host in UNSEEN if bundle(host).exists()])
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [measure(host) for host in parser.parse_args().hosts]
    (RESULTS / "host-stability.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [
        "# Are the unseen hosts minima at the reference level?",
        "",
        "    python benchmarks/family/stability.py",
        "",
        f"Supercells of the relaxed hosts, rattled by {RATTLE} Å (seed {SEED}) and relaxed at GFN1-xTB, Γ only, in the same "
        f"cell. A host that falls has a lower crystal beside it; ase {version('ase')}, tblite {version('tblite')}.",
        "",
        *markdown_table([{HEADINGS[name]: str(value) for name, value in row.items()} for row in rows]),
        "",
    ]
    (RESULTS / "host-stability.md").write_text("\n".join(lines))
