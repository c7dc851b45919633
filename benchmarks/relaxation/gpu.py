"""The relaxer on a GPU: 500 structures in flight against the serial loop, what the hardware allows, and where the time goes.

    python benchmarks/relaxation/gpu.py --out benchmarks/relaxation/gpu.json

The serial loop is ASE's FIRE with matgl's PESCalculator, on the same GPU. Starts are those of cpu.py, and copies of them whose
atoms are displaced by a few hundredths of an ångström, so that no two are the same.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase.optimize import FIRE
from bound import best_seconds, bytes_moved, copy_rate, flops, matrix_rate
from matgl.ext.ase import PESCalculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from starts import MODEL, defects
from torch.profiler import ProfilerActivity, profile

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import Potential, load_potential, relaxations
from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.matgl_checkpoints import load_checkpoint

IN_FLIGHT = 500
SIZES = (1, 32, 128, 500, 2000)
SERIAL_STEPS = 40
DISPLACED = 0.03
SEED = 7


def copies(starts: Sequence[Structure], count: int) -> Iterator[Structure]:
    """Yield starts, over and over, displaced from the second time on."""
    random = np.random.default_rng(SEED)
    for i in range(count):
        structure = starts[i % len(starts)].copy()
        if i >= len(starts):
            structure.perturb(DISPLACED, seed=int(random.integers(2**31)))
        yield structure


def batch_of(structures: Sequence[Structure], device: torch.device) -> Batch:
    """Structures as a force field takes them."""
    sizes = torch.tensor([len(one) for one in structures])
    return Batch(
        names=tuple(range(len(structures))),
        numbers=torch.tensor([site.specie.Z for one in structures for site in one], device=device),
        positions=torch.tensor(np.concatenate([one.cart_coords for one in structures]), device=device),
        owners=torch.repeat_interleave(torch.arange(len(structures)), sizes).to(device),
        cells=torch.tensor(np.array([one.lattice.matrix for one in structures]), device=device),
    )


def serial(starts: Sequence[Structure]) -> float:
    """Seconds of a step of the serial loop."""
    model = load_checkpoint(str(MODEL)).model
    calculator = PESCalculator(model.to("cuda" if torch.cuda.is_available() else "cpu"), stress_unit="eV/A3")
    seconds = []
    for start in starts:
        atoms = AseAtomsAdaptor.get_atoms(start, msonable=False)
        atoms.calc = calculator
        moves = FIRE(atoms, logfile=None)
        atoms.get_forces()
        for _ in range(SERIAL_STEPS):
            began = time.perf_counter()
            moves.step()
            atoms.get_forces()
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def evaluations(potential: Potential, starts: Sequence[Structure], device: torch.device) -> list[dict[str, float]]:
    """Seconds and memory of an evaluation by the number of structures."""
    rows = []
    for count in SIZES:
        batch = batch_of(list(copies(starts, count)), device)
        potential.force_field.evaluate(batch)
        peak = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = best_seconds(lambda: potential.force_field.evaluate(batch), device, rounds=3)  # noqa: B023
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated()
        rows.append({"structures": count, "seconds": seconds, "per_structure": seconds / count, "bytes": peak})
        print(rows[-1], flush=True)
    return rows


def whole(potential: Potential, starts: Sequence[Structure], count: int, in_flight: int) -> dict[str, float]:
    """Relaxations from a queue to the paper's criterion."""
    settings = SurrogateSettings(batch_size=in_flight)
    queue = list(copies(starts, count))
    began, steps, converged = time.perf_counter(), 0, 0
    for _, ended in relaxations(queue, potential, settings=settings):
        if isinstance(ended, Exception):
            raise ended
        steps += ended.provenance.evaluations
        converged += ended.converged
    seconds = time.perf_counter() - began
    return {
        "relaxations": count,
        "in_flight": in_flight,
        "seconds": seconds,
        "evaluations": steps,
        "converged": converged,
        "evaluations_per_second": steps / seconds,
    }


def costs(potential: Potential, starts: Sequence[Structure]) -> list[dict[str, float | str]]:
    """Where the time of some steps goes, by kernel."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    settings = SurrogateSettings(batch_size=len(starts), max_steps=8)
    with profile(activities=activities) as profiler:
        list(relaxations(starts, potential, settings=settings))
    name = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    events = [  # of a GPU its kernels, which are counted for the operations that launch them, too
        event for event in profiler.key_averages() if not (torch.cuda.is_available() and event.key.startswith("aten::"))
    ]
    total = sum(getattr(event, name) for event in events)
    most = sorted(events, key=lambda event: -getattr(event, name))[:25]
    return [{"name": e.key, "share": getattr(e, name) / total, "calls": e.count} for e in most]


def step_of_torch_sim(potential: Potential, starts: Sequence[Structure], device: torch.device) -> float | None:
    """Seconds of a step of torch-sim's FIRE with this very force field; None where torch-sim is not installed."""
    try:
        import torch_sim  # noqa: PLC0415
        from torch_sim.models.interface import ModelInterface  # noqa: PLC0415
        from torch_sim.optimizers import fire  # noqa: PLC0415
    except ImportError:
        return None

    class Model(ModelInterface):
        """Of torch-sim."""

        _device, _dtype, _compute_stress, _compute_forces = device, torch.float64, False, True

        def forward(self, state: object, **_: object) -> dict[str, torch.Tensor]:
            count = state.n_systems
            batch = Batch(
                tuple(range(count)), state.atomic_numbers, state.positions, state.system_idx, state.row_vector_cell
            )
            energies, forces = potential.force_field.evaluate(batch)
            return {"energy": energies, "forces": forces}

    def seconds(steps: int) -> float:
        began = time.perf_counter()
        torch_sim.optimize(
            system=list(starts),
            model=Model(),
            optimizer=fire,
            convergence_fn=lambda state, _: torch.zeros(state.n_systems, dtype=torch.bool, device=device),
            max_steps=steps,
            md_flavor="ase_fire",
        )
        return time.perf_counter() - began

    seconds(5)
    return (seconds(45) - seconds(5)) / 40


def step_of_ours(potential: Potential, starts: Sequence[Structure], optimiser: str) -> float:
    """Seconds of a step of this relaxer, all structures in flight."""

    def seconds(steps: int) -> float:
        settings = SurrogateSettings(
            optimiser=optimiser, max_steps=steps, batch_size=len(starts), force_tolerance=1e-30
        )
        began = time.perf_counter()
        list(relaxations(starts, potential, settings=settings))
        return time.perf_counter() - began

    seconds(5)
    return (seconds(45) - seconds(5)) / 40


def main() -> None:
    """Everything, into one file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    starts = [start for defect in defects() for start in defect.starts.values()]
    potential = load_potential(str(MODEL))
    found: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "versions": {name: version(name) for name in ("torch", "matgl", "ase", "pymatgen")},
        "seed": SEED,
    }

    def keep(name: str, value: object) -> None:
        found[name] = value
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
        print(name, str(value)[:600], flush=True)

    keep("serial_seconds_per_step", serial(starts[:: len(starts) // 3]))
    keep("evaluations", evaluations(potential, starts, device))
    batch = batch_of(list(copies(starts, IN_FLIGHT)), device)

    def evaluate() -> object:
        return potential.force_field.evaluate(batch)

    bound = {"matrix_flops_per_second": matrix_rate(device), "copy_bytes_per_second": copy_rate(device)}
    keep("bound", bound | {"flops": flops(evaluate), "bytes": bytes_moved(evaluate), "structures": IN_FLIGHT})
    together = list(copies(starts, IN_FLIGHT))
    keep("torch_sim_seconds_per_step", step_of_torch_sim(potential, together, device))
    keep("seconds_per_step", step_of_ours(potential, together, "FIRE"))
    keep("costs", costs(potential, together))
    whole(potential, starts, len(starts), len(starts))  # warms up
    of_all = whole(potential, starts, arguments.count, IN_FLIGHT)
    keep("relaxations", of_all | {"serial_seconds_per_step": found["serial_seconds_per_step"]})


if __name__ == "__main__":
    main()
