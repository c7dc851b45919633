"""Speed and memory of training beside matgl's own trainer: one network, one set of frames, one machine, one thread.

The trainers take turns, several rounds long, since a machine is never quiet; a ratio is taken within a round. The network is
M3GNet (cutoffs 5 and 4 Å, 64 units, 3 blocks), the loss the mean squared errors of energy per atom, forces and stress with
weights 1, 1 and 0.1, the optimiser Adam with four frames a step. Frames are rattled supercells of eight prototypes, with
made-up labels, on which the time of a step does not depend. That both trainers compute one loss is checked first.

This trainer is timed from its call to the end of its last step, with the clipping of gradients and the averaging of weights
that matgl's does not have. matgl's is timed from the start of the epoch to the end of the last step, in Lightning's
``barebones`` mode (no logger, progress bar, checkpoint or sanity check), labels as arrays and graphs in memory; once with
batches made in the process itself, and once by two worker processes, its default on two cores, whose CPU time is not counted.
It makes its triples anew for each batch: ``include_line_graph`` of matgl 4.1.2 has no effect in its dataset, and its trainer
does not pass it on. Neither time has validation in it. Graphs are made before, which is timed apart.

Memory is the peak of a process that reads a dataset of 20 000 frames of 64 atoms and makes all graphs, keeping both.
``python benchmarks/training.py`` takes five minutes and writes ``training.json`` and ``training.md`` beside this file.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # before torch is loaded

import numpy as np
import torch
from family.hosts import crystal
from lightning.pytorch.callbacks import Callback
from matgl.apps.pes import Potential
from matgl.ext.pymatgen import Structure2Graph
from matgl.graph.data import MGLDataset, collate_fn_pes
from matgl.utils.training import MGLPotentialTrainer, PotentialLightningModule
from pymatgen.core import Structure

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.dataset.store import read_dataset, write_dataset
from defect_surrogate.training.graphs import FrameGraph, batch_of, frame_graphs
from defect_surrogate.training.loss import batch_errors, weighted_loss
from defect_surrogate.training.models import new_model, threebody_cutoff
from defect_surrogate.training.settings import ArchitectureSettings, OptimisationSettings
from defect_surrogate.training.trainer import train

HERE = Path(__file__).parent
SUPERCELLS = {
    "CdTe": (2, 2, 2),
    "PbS": (2, 2, 2),
    "CdS": (3, 3, 2),
    "CuInSe2": (2, 2, 1),
    "SnS2": (4, 3, 2),
    "GeSe": (1, 3, 3),
    "Sb2S3": (1, 3, 1),
    "SbSI": (2, 3, 1),
}
SIXTY_FOUR_ATOMS = ("CdTe", "PbS", "CuInSe2")
FRAMES_IN_MEMORY = 20_000
REFERENCE_ENERGY = -3.0  # eV
SETTINGS = OptimisationSettings(epochs=1)
OURS, MATGL, MATGL_WORKERS = "defect-surrogate", "matgl", "matgl, two loader processes"


@dataclass(frozen=True)
class Spread:
    """Median and extremes over the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Return the spread of values."""
        return cls(*(round(float(value), 4) for value in (np.median(values), values.min(), values.max())))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lowest:.3g}–{self.highest:.3g})"


@dataclass(frozen=True)
class Throughput:
    """Speed of one trainer.

    Attributes
    ----------
    trainer
        Its name.
    frames_per_second
        Frames per second of wall time.
    cpu_seconds
        CPU time of a frame, s; None where other processes work too.
    ratio, cpu_ratio
        Wall and CPU time of this trainer divided by those of defect-surrogate in the same round, dimensionless.
    graph_seconds
        CPU time to make the graph of a frame, s.
    """

    trainer: str
    frames_per_second: Spread
    cpu_seconds: Spread | None
    ratio: Spread
    cpu_ratio: Spread | None
    graph_seconds: float


@dataclass(frozen=True)
class Memory:
    """Memory of a large training set.

    Attributes
    ----------
    frames, edges
        Number of frames, of 64 atoms, and of the edges of all graphs.
    libraries_megabytes
        Peak before the first frame, MB (10⁶ bytes).
    dataset_megabytes
        Peak beyond it once the dataset is read, MB.
    total_megabytes
        Peak beyond it once the graphs are made, MB.
    read_seconds, graph_seconds
        Wall times, s.
    """

    frames: int
    edges: int
    libraries_megabytes: int
    dataset_megabytes: int
    total_megabytes: int
    read_seconds: float
    graph_seconds: float


@dataclass(frozen=True)
class Result:
    """All that is measured.

    Attributes
    ----------
    cores, rounds, frames
        Numbers of cores of the machine, of rounds, and of frames in each.
    loss_difference
        Relative difference of the losses of both on one batch with equal weights, dimensionless.
    throughputs, memory
        The figures.
    """

    cores: int
    rounds: int
    frames: int
    loss_difference: float
    throughputs: tuple[Throughput, ...]
    memory: Memory


class Clock(Callback):
    """Wall and CPU time, in s, from the start of the epoch to the end of its last step."""

    def on_train_epoch_start(self, *_: object) -> None:
        """Start."""
        self._began = np.array([time.perf_counter(), time.process_time()])

    def on_train_batch_end(self, *_: object) -> None:
        """Take the time."""
        self.elapsed = np.array([time.perf_counter(), time.process_time()]) - self._began


def rattled(compounds: Sequence[str], count: int, *, seed: int = 42) -> list[LabelledFrame]:
    """Make frames, in turn of each compound; displacements are normal with 0.1 Å."""
    rng = np.random.default_rng(seed)
    cells = {compound: crystal(compound).make_supercell(SUPERCELLS[compound]) for compound in compounds}
    return [
        LabelledFrame(
            host=compound,
            defect="v_X_0",
            label="Rattled",
            step=step,
            last=False,
            composition=compound,
            source="0" * 64,
            numbers=np.array(cells[compound].atomic_numbers),
            positions=cells[compound].cart_coords + rng.normal(0, 0.1, (len(cells[compound]), 3)),
            cell=cells[compound].lattice.matrix.copy(),
            energy=(REFERENCE_ENERGY + rng.normal(0, 0.1)) * len(cells[compound]),
            forces=rng.normal(0, 1, (len(cells[compound]), 3)),
            stress=np.diag(rng.normal(0, 0.01, 3)),
        )
        for step in range(-(-count // len(compounds)))
        for compound in compounds
    ][:count]


def network(elements: Sequence[str]) -> Potential:
    """Return the network, always with the same weights."""
    references = np.full(len(elements), REFERENCE_ENERGY)
    return new_model(ArchitectureSettings(), elements=elements, reference_energies=references, seed=1)


def matgl_dataset(
    frames: Sequence[LabelledFrame], structures: Sequence[Structure], elements: Sequence[str], folder: str
) -> MGLDataset:
    """Make matgl's graphs, kept in memory."""
    labels = {
        "energies": [frame.energy for frame in frames],
        "forces": [frame.forces for frame in frames],
        "stresses": [frame.stress * 160.21766 for frame in frames],
    }
    converter = Structure2Graph(tuple(elements), cutoff=5.0)
    return MGLDataset(structures=list(structures), converter=converter, labels=labels, root=folder, save_cache=False)


def train_ours(graphs: Sequence[FrameGraph], elements: Sequence[str]) -> np.ndarray:
    """Return wall and CPU time of one epoch, s."""
    potential, clock = network(elements), Clock()
    with tempfile.TemporaryDirectory() as folder:
        clock.on_train_epoch_start()
        train(
            potential,
            graphs,
            graphs[:1],
            settings=SETTINGS,
            folder=Path(folder),
            identity="benchmark",
            on_step=clock.on_train_batch_end,
        )
    return clock.elapsed


def train_matgl(dataset: MGLDataset, elements: Sequence[str], *, workers: int) -> np.ndarray:
    """Return wall and CPU time of one epoch, s."""
    clock = Clock()
    trainer = MGLPotentialTrainer(
        network(elements).model,
        loss="mse_loss",
        lr=SETTINGS.learning_rate,
        batch_size=SETTINGS.batch_size,
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        trainer_kwargs={"barebones": True, "callbacks": [clock], "limit_val_batches": 0, "limit_test_batches": 0},
        loader_kwargs={"num_workers": workers},
    )
    splits = dict.fromkeys(("train", "valid", "test"), dataset)
    trainer.fit(splits, atomrefs=np.full(len(elements), REFERENCE_ENERGY))
    return clock.elapsed


def loss_difference(graphs: Sequence[FrameGraph], dataset: MGLDataset, elements: Sequence[str]) -> float:
    """Return the relative difference of the losses of one batch, made by each trainer's own code."""
    count = SETTINGS.batch_size
    potential = network(elements)
    batch = batch_of(graphs[:count], threebody_cutoff=threebody_cutoff(potential), device=torch.device("cpu"))
    errors = batch_errors(potential, batch, huber_delta=SETTINGS.huber_delta)
    ours = float(weighted_loss(errors.losses, errors.counts, SETTINGS))
    module = PotentialLightningModule(
        network(elements).model,
        element_refs=np.full(len(elements), REFERENCE_ENERGY),
        energy_weight=SETTINGS.energy_weight,
        force_weight=SETTINGS.force_weight,
        stress_weight=SETTINGS.stress_weight,
    )
    losses, _ = module.step(collate_fn_pes([dataset[index] for index in range(count)]))
    return abs(float(losses["Total_Loss"]) / ours - 1)


def compare(rounds: int, count: int) -> tuple[float, tuple[Throughput, ...]]:
    """Let the trainers take turns; return the difference of their losses, and their speeds."""
    frames = rattled(list(SUPERCELLS), count)
    elements = Dataset("made up", tuple(frames)).elements
    references = np.full(len(elements), REFERENCE_ENERGY)
    structures = [frame.structure for frame in frames]
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        graphs = frame_graphs(frames, elements=elements, cutoff=5.0, reference_energies=references)
        ours_made = time.process_time()
        dataset = matgl_dataset(frames, structures, elements, folder)
        making = {OURS: ours_made - began, MATGL: time.process_time() - ours_made}
        difference = loss_difference(graphs, dataset, elements)
        trainers: dict[str, Callable[[], np.ndarray]] = {
            OURS: lambda: train_ours(graphs, elements),
            MATGL: lambda: train_matgl(dataset, elements, workers=0),
            MATGL_WORKERS: lambda: train_matgl(dataset, elements, workers=2),
        }
        times: dict[str, list[np.ndarray]] = {name: [] for name in trainers}
        for turn in range(-1, rounds):  # the first warms up
            names = list(trainers) if turn % 2 else list(reversed(trainers))
            for name in names:
                elapsed = trainers[name]()
                if turn >= 0:
                    times[name].append(elapsed / count)
    seconds = {name: np.array(values) for name, values in times.items()}
    throughputs = (
        _throughput(name, values, making[OURS if name == OURS else MATGL] / count, seconds[OURS])
        for name, values in seconds.items()
    )
    return difference, tuple(throughputs)


def measure_memory() -> Memory:
    """Write a large dataset, and read it in a process of its own."""
    frames = sorted(rattled(SIXTY_FOUR_ATOMS, FRAMES_IN_MEMORY), key=lambda frame: (frame.host, frame.step))
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Dataset("made up", tuple(frames)), Path(folder) / "dataset")
        command = [sys.executable, __file__, "--memory-of", str(Path(folder) / "dataset")]
        return Memory(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def memory_of(folder: Path) -> Memory:
    """Read a dataset and make its graphs, in a fresh process."""
    before, began = _peak(), time.perf_counter()
    dataset = read_dataset(folder)
    after_reading, read = _peak(), time.perf_counter()
    references = np.full(len(dataset.elements), REFERENCE_ENERGY)
    graphs = frame_graphs(dataset.frames, elements=dataset.elements, cutoff=5.0, reference_energies=references)
    made, after = time.perf_counter(), _peak()
    return Memory(
        frames=len(dataset),
        edges=sum(graph.edges.shape[1] for graph in graphs),
        libraries_megabytes=round(before),
        dataset_megabytes=round(after_reading - before),
        total_megabytes=round(after - before),
        read_seconds=round(read - began, 1),
        graph_seconds=round(made - read, 1),
    )


def _peak() -> float:
    """Peak resident memory of this process, MB; unlike that of getrusage, it does not begin with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def _throughput(name: str, seconds: np.ndarray, making: float, ours: np.ndarray) -> Throughput:
    ratios, counted = seconds / ours, name != MATGL_WORKERS
    return Throughput(
        trainer=name,
        frames_per_second=Spread.of(1 / seconds[:, 0]),
        cpu_seconds=Spread.of(seconds[:, 1]) if counted else None,
        ratio=Spread.of(ratios[:, 0]),
        cpu_ratio=Spread.of(ratios[:, 1]) if counted else None,
        graph_seconds=round(making, 6),
    )


def _page(result: Result) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "matgl", "lightning", "torch_geometric"))
    difference = max(result.loss_difference, 1e-7)  # what single precision resolves
    head = (
        "# Speed and memory of training\n\nMade by `python benchmarks/training.py`, which says what is measured, with fixed "
        f"seeds; {versions}; {result.cores} cores, one thread; {result.rounds} rounds of {result.frames} frames. On a batch "
        f"with equal weights the losses of both differ by no more than {difference:.0e} of their value. Medians of the rounds, "
        "with their extremes; a ratio is the time of a trainer divided by that of defect-surrogate in the same round.\n"
    )
    speeds = (
        f"| {each.trainer} | {each.frames_per_second} | {each.cpu_seconds or 'not counted'} | {each.ratio} | "
        f"{each.cpu_ratio or 'not counted'} | {1000 * each.graph_seconds:.2f} |"
        for each in result.throughputs
    )
    memory = (f"| {name.replace('_', ' ')} | {value} |" for name, value in asdict(result.memory).items())
    columns = "| trainer | frames/s | CPU s/frame | ratio of wall times | of CPU times | CPU ms to make a graph |"
    rules = "| --- | ---: | ---: | ---: | ---: | ---: |"
    return "\n".join([head, columns, rules, *speeds, "", "| memory | |", "| --- | ---: |", *memory, ""])


def main() -> None:
    """Measure, and write the result beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=48, help="in each round")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for training.json and training.md")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if arguments.memory_of:
        print(json.dumps(asdict(memory_of(arguments.memory_of))))
        return
    memory = measure_memory()
    difference, throughputs = compare(arguments.rounds, arguments.frames)
    cores = os.cpu_count() or 1
    result = Result(cores, arguments.rounds, arguments.frames, difference, throughputs, memory)
    (arguments.out / "training.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (arguments.out / "training.md").write_text(_page(result))
    print(_page(result))


if __name__ == "__main__":
    main()
