"""From what cpu.py, gpu.py and growth.py measured to results.md and results.json.

python benchmarks/relaxation/page.py
"""

import functools
import json
import math
import operator
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from compare import FIRE, cpu_bound, cpu_rows
from cpu import SAMPLES
from methods import SETTINGS
from starts import RUNS, defects

from defect_surrogate.markdown import markdown_table

HERE = Path(__file__).parent


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def number(value: float, digits: int = 3) -> str:
    """Return a number with some digits."""
    return f"{value:.{digits}g}"


def main() -> None:
    """Write both files."""
    rows, bound = cpu_rows(), cpu_bound()
    growth_file = RUNS / "growth.json"
    growth = json.loads(growth_file.read_text()) if growth_file.exists() else []
    shortcuts_file = RUNS / "shortcuts.json"
    shortcuts = json.loads(shortcuts_file.read_text()) if shortcuts_file.exists() else None
    gpu_file = HERE / "gpu.json"
    gpu = json.loads(gpu_file.read_text()) if gpu_file.exists() else None
    ratios = [row["ratio"] for row in rows]
    content: dict[str, Any] = {
        "cpu": {
            "ratio_vs_ase_fire": {"worst": min(ratios), "median": float(np.median(ratios))},
            "same_minima": not any(row["missed"] for row in rows),
            "bound_fraction": bound["fraction"],
            "bound": bound,
            "bound_atoms": len(defects()[0].starts["Unperturbed"]),
            "defects": rows,
            "growth": growth,
            "shortcuts": shortcuts,
        },
        "gpu": gpu,
        "machine": f"{_processor()}, two cores",
        "versions": {name: version(name) for name in ("torch", "matgl", "ase", "pymatgen", "numpy")},
        "criterion": SETTINGS.model_dump(include={"force_criterion", "force_tolerance", "max_steps"}),
    }
    (HERE / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "results.md").write_text(one_line_each(page(content)))


def one_line_each(text: str) -> str:
    """Join the lines of each paragraph; tables, and what is indented, stay as they are."""
    blocks = text.strip("\n").split("\n\n")
    return "\n\n".join(b if b.startswith(("|", " ")) else " ".join(b.split()) for b in blocks) + "\n"


def page(content: dict[str, Any]) -> str:
    """Return the text of results.md."""
    cpu, gpu, criterion = content["cpu"], content["gpu"], content["criterion"]
    ratios, bound = cpu["ratio_vs_ase_fire"], cpu["bound"]
    by_flops = bound["flops"] / bound["matrix_flops_per_second"]
    by_bytes = bound["bytes"] / bound["copy_bytes_per_second"]
    others = [
        {"defect": row["defect"]}
        | {name: f"{row.get(f'ratio of {name}', math.nan):.2f}" for name in SAMPLES if name != FIRE}
        for row in cpu["defects"]
    ]
    return f"""# Relaxation

    make bench-relaxation

The fifteen sampling structures of each of {len(cpu["defects"])} vacancies in hosts that the model has not learnt from (the
starts in benchmarks/family/data), to the paper's criterion ({criterion["force_criterion"]} force below
{criterion["force_tolerance"]:g} eV/Å, or {criterion["max_steps"]} steps), with models/gfn1-defects, an M3GNet. Two cores;
loading is not timed. ASE's FIRE with matgl's `PESCalculator` has torch's default of two threads; this relaxer has two
processes of one thread each and one queue, as in a search. {content["machine"]};
{", ".join(f"{name} {number}" for name, number in content["versions"].items())}.

**{ratios["worst"]:.1f} times less wall time than ASE's FIRE at worst, {ratios["median"]:.1f} in the median.** Same minima, or
lower ones: {"yes" if cpu["same_minima"] else "**no**, see the columns *missed*"}.

{_table([_row(row) for row in cpu["defects"]])}

Wall time and ratio are of all fifteen; the ways were timed one after the other, on the quiet machine within a day.
*Missed*: basins that only ASE's FIRE reached, from a start that ended no lower here. *Elsewhere*: starts that ended in
another basin, and by how much higher (+) or lower (-) each.

What the optimiser does to this, and what rounding: this relaxer with `optimiser: FIRE` takes ASE's steps, from energies and
forces that differ in the sixth digit.

{_table([_fire_row(row) for row in cpu["defects"] if "fire_alone" in row])}

## Other ways

Times less wall time than ASE's FIRE on the same starts, three of each defect with ASE's L-BFGS and two with matgl's
`Relaxer`, which knows the largest force only and was given five times the tolerance. torch-sim is below, on a GPU.

{_table(others)}

## The bound

One evaluation of {cpu["bound_atoms"]} atoms on one core takes {1e3 * bound["seconds"]:.1f} ms. Its
{bound["flops"] / 1e9:.3f} GFLOP, by torch's FlopCounterMode, would take {1e3 * by_flops:.1f} ms at the
{bound["matrix_flops_per_second"] / 1e9:.0f} GFLOP/s of a matrix product: **{100 * bound["fraction"]:.0f} % of that bound**.
All operations of torch read and write {bound["bytes"] / 1e6:.0f} MB, at the {bound["copy_bytes_per_second"] / 1e9:.1f} GB/s
of a copy in memory {1e3 * by_bytes:.1f} ms; part of it stays in the caches.

## Growth

{_table([_growth(row) for row in cpu["growth"]]) or "Not measured."}

Two steps of each structure, one thread, one structure at a time. *Grown*: of the process's largest memory after its first
structure.

## Ending relaxations early

{_shortcuts(cpu["shortcuts"]) if cpu["shortcuts"] else "Not measured."}

## On a GPU

{"Not measured: null." if gpu is None else _gpu(gpu)}
"""


def _table(rows: list[dict[str, str]]) -> str:
    return "\n".join(markdown_table(rows))


def _fire_row(row: dict[str, Any]) -> dict[str, str]:
    alone = row["fire_alone"]
    return {
        "defect": row["defect"],
        "ratio": f"{row['ratio_fire_alone']:.1f}",
        "minima": f"{alone['minima_fire']} → {alone['minima_ours']}",
        "missed": str(len(alone["missed"])),
        "elsewhere, eV": _elsewhere(alone),
    }


def _elsewhere(compared: dict[str, Any]) -> str:
    return ", ".join(f"{value:+.2f}" for value in sorted(compared["elsewhere"].values())) or "–"


def _row(row: dict[str, Any]) -> dict[str, str]:
    return {
        "defect": row["defect"],
        "atoms": str(row["atoms"]),
        "ASE FIRE, s": f"{row['fire_seconds']:.0f}",
        "ours, s": f"{row['seconds']:.1f}",
        "ratio": f"{row['ratio']:.1f}",
        "evaluations": f"{row['evaluations_fire']} → {row['evaluations_ours']}",
        "µs per atom and evaluation": f"{row['us_fire']:.0f} → {row['us_ours']:.0f}",
        "not converged": f"{row['unconverged_fire']} → {row['unconverged_ours']}",
        "minima": f"{row['minima_fire']} → {row['minima_ours']}",
        "missed": str(len(row["missed"])),
        "elsewhere, eV": _elsewhere(row),
        "lowest, eV": f"{row['ground_state_difference']:+.3f}",
    }


def _growth(row: dict[str, Any]) -> dict[str, str]:
    return {
        "structures": str(row["structures"]),
        "atoms": str(row["atoms"]),
        "ms per evaluation": f"{1e3 * row['seconds_per_evaluation']:.1f}",
        "µs per atom and evaluation": f"{1e6 * row['seconds_per_evaluation'] / row['atoms']:.0f}",
        "grown, MB": f"{row['grown_bytes'] / 1e6:.0f}",
    }


def _shortcuts(found: dict[str, Any]) -> str:
    rows, orders = found["defects"], found["orders"]
    evaluations = sum(row["evaluations"] for row in rows)

    def added(*path: str) -> float:
        return float(sum(functools.reduce(operator.getitem, path, row) for row in rows))

    merging = [
        {
            "defect": row["defect"],
            "starts": str(row["starts"]),
            "pairs merged": str(row["pairs"]["merged"]),
            "falsely": str(row["pairs"]["false"]),
            "merged in turn": str(row["in_turn"]["merged"]),
            "falsely in turn": str(row["in_turn"]["false"]),
            "saved in turn": f"{100 * row['in_turn']['saved'] / orders / row['evaluations']:.0f} %",
            "saved side by side": f"{100 * row['saved_side_by_side'] / row['evaluations']:.0f} %",
        }
        for row in rows
    ]
    high = [
        {
            "eV above the lowest end": window,
            "ended": f"{added('too_high', window, 'ended') / orders:.1f}",
            "that go to the ground state": f"{added('too_high', window, 'ground_states') / orders:.1f}",
            "evaluations saved": f"{100 * added('too_high', window, 'saved') / orders / evaluations:.0f} %",
        }
        for window in rows[0]["too_high"]
    ]
    falls = [fall for row in rows for fall in row["falls"]]
    false, merged = added("in_turn", "false"), added("in_turn", "merged")
    in_turn = 100 * added("in_turn", "saved") / orders / evaluations
    beside = 100 * added("saved_side_by_side") / evaluations
    return f"""From full runs with every frame kept, {len(falls)} of {len(rows)} vacancies, with seven starts each in the hosts
that the model was trained on. Two ends more than 2 meV apart, or 1e-4 by the site's fingerprint, are two minima here, which
is stricter than in a search.

**`surrogate.merge_basins`.** *In turn*: one after the other, in {orders} orders drawn at random (seed {found["seed"]}); it is
false to merge one that would have ended where none has ended before. **{false:.0f} of {merged:.0f}** were; {in_turn:.1f} % of
the evaluations are saved, and {beside:.1f} % if all of a vacancy fly side by side. *Pairs*: each relaxation against the end of
each other, without the rule that two have to have ended there: {added("pairs", "false"):.0f} of {added("pairs", "merged"):.0f}
are false (in SbSeBr, against `Unperturbed`, which its symmetry keeps on a saddle).

{_table(merging)}

**Too high to matter**: no such rule is made. Once no force was above 0.1 eV/Å, energies still fell by
{np.median(falls):.2f} eV in the median and by {max(falls):.1f} eV at most. Of relaxations that are then so far above the
lowest end before them (means over the orders):

{_table(high)}"""


def _gpu(gpu: dict[str, Any]) -> str:
    whole, bound = gpu["relaxations"], gpu["bound"]
    serial = whole["serial_seconds_per_step"]
    (at_once,) = (row for row in gpu["evaluations"] if row["structures"] == bound["structures"])
    seconds = at_once["seconds"]
    by_flops = bound["flops"] / bound["matrix_flops_per_second"]
    by_bytes = bound["bytes"] / bound["copy_bytes_per_second"]
    each = bound["structures"] / whole["evaluations_per_second"]
    kernels = [cost for cost in gpu["costs"] if not cost["name"].startswith("aten::")]
    sizes = [
        {
            "structures": str(row["structures"]),
            "ms": f"{1e3 * row['seconds']:.1f}",
            "ms per structure": f"{1e3 * row['per_structure']:.3f}",
            "memory, GB": f"{row['bytes'] / 1e9:.2f}",
        }
        for row in gpu["evaluations"]
    ]
    largest = [
        {"kernel": _short(cost["name"]), "share of the GPU's time": f"{100 * cost['share']:.1f} %"}
        for cost in kernels[:8]
    ]
    return f"""{gpu["device"]}; {", ".join(f"{k} {v}" for k, v in gpu["versions"].items())}. {gpu.get("note", "")}

**{whole["evaluations_per_second"] * serial:.0f} times the throughput of the serial loop**, ASE's FIRE with `PESCalculator`
on the same GPU, of which a step takes {1e3 * serial:.0f} ms: {whole["relaxations"]} relaxations with {whole["in_flight"]} in
flight in {whole["seconds"]:.0f} s, {whole["evaluations_per_second"]:.0f} evaluations a second, {whole["converged"]} converged.

{_table(sizes)}

**The bound.** At {bound["structures"]} structures an evaluation takes {1e3 * seconds:.1f} ms. Its {bound["flops"] / 1e9:.0f}
GFLOP would take {1e3 * by_flops:.1f} ms at the measured rate of a single-precision matrix product
({100 * by_flops / seconds:.0f} % of that bound), the {bound["bytes"] / 1e9:.0f} GB that its operations read and write
{1e3 * by_bytes:.1f} ms at that of a copy ({100 * by_bytes / seconds:.0f} %). The relaxations as a whole, with all that is not
evaluation, and with their last stretch in which few are left, reached {100 * by_flops / each:.0f} % and
{100 * by_bytes / each:.0f} %.

**Not as fast as it could be.** A step of torch-sim 0.3's batched FIRE with this force field takes
{1e3 * gpu["torch_sim_seconds_per_step"]:.0f} ms at {bound["structures"]} structures, a step of this relaxer's FIRE
{1e3 * gpu["seconds_per_step"]:.0f} ms: torch-sim's is faster. The largest costs of that step were what is no evaluation,
{1e3 * (gpu["seconds_per_step"] - seconds):.0f} ms (neighbours found structure by structure and frames made at once, both
changed since), and of the evaluation:

{_table(largest)}"""


def _short(kernel: str) -> str:
    return kernel.replace("void ", "").replace("at::native::", "").replace("|", "/")[:90]


if __name__ == "__main__":
    main()
