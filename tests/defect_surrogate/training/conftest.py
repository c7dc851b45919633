"""Tiny alkali halides, labelled by a pair potential plus an energy for each element, and networks of a few hundred weights."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from defect_surrogate.dataset.frames import BULK, Dataset, LabelledFrame
from defect_surrogate.training.data import TrainingData
from defect_surrogate.training.settings import ArchitectureSettings, TrainSettings

PLANTED = {"Na": -1.5, "K": -1.0, "Cl": -3.0, "Br": -2.5}
LEVEL = "HSE06 (VASP)"


def labelled(atoms: Atoms, name: str, *, last: bool = False, stress: bool = True) -> LabelledFrame:
    """Label atoms with the pair potential and the planted energies."""
    host, defect, label, step = name.split("/")
    atoms = atoms.copy()
    atoms.calc = LennardJones(sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)
    return LabelledFrame(
        host=host,
        defect=defect,
        label=label,
        step=int(step),
        last=last,
        composition=host,
        source="5e" * 32,
        numbers=atoms.numbers.copy(),
        positions=atoms.positions.copy(),
        cell=atoms.cell.array.copy(),
        energy=atoms.get_potential_energy() + sum(PLANTED[symbol] for symbol in atoms.symbols),
        forces=atoms.get_forces(),
        stress=atoms.get_stress(voigt=False) if stress else None,
    )


@pytest.fixture(scope="session")
def salt() -> Callable[..., Atoms]:
    """Makes a rattled rock-salt cube of eight atoms, or of seven without its first; the numbers depend on the seed alone."""

    def make(formula: str = "NaCl", *, vacancy: bool = False, rattle: float = 0.15, seed: int = 0) -> Atoms:
        atoms = bulk(formula, "rocksalt", a=5.6, cubic=True)
        atoms.rattle(rattle, seed=seed)
        return atoms[1:] if vacancy else atoms

    return make


@pytest.fixture(scope="session")
def frame(salt) -> Callable[..., LabelledFrame]:
    """Makes a frame from its name, with atoms that depend on the name alone unless they are given."""

    def make(name: str = "NaCl/v_Na_0/Dimer/0", *, atoms: Atoms | None = None, **changes: bool) -> LabelledFrame:
        host, defect, _, step = name.split("/")
        if atoms is None:
            rattle = 0.25 / (1 + int(step))
            atoms = salt(host, vacancy=defect != BULK, rattle=rattle, seed=sum(name.encode()))
        return labelled(atoms, name, **changes)

    return make


@pytest.fixture(scope="session")
def dataset(frame) -> Dataset:
    """Four salts: bulk cells with and without stress, and two relaxations of a vacancy each."""
    names = [
        f"{host}/{defect}/{label}/{step}"
        for host, cation in (("KBr", "K"), ("KCl", "K"), ("NaBr", "Na"), ("NaCl", "Na"))
        for defect, labels, steps in (
            (f"v_{cation}_0", ("Dimer", "Unperturbed"), 4),
            (BULK, ("Strained_00", "Strained_01"), 1),
        )
        for label in labels
        for step in range(steps)
    ]
    frames = [frame(name, last=not name.endswith(("0", "1", "2")), stress=not name.endswith("01/0")) for name in names]
    return Dataset(LEVEL, tuple(sorted(frames, key=lambda one: (one.host, one.defect, one.label, one.step))))


@pytest.fixture(scope="session")
def data(dataset) -> TrainingData:
    """Three salts to learn from, a part of one for validation, and the fourth held out."""
    seen = {("NaCl", "Dimer", 2), ("KBr", "Dimer", 2)}
    validation = dataset.select(lambda one: (one.host, one.label, one.step) in seen)
    kept = {one.name for one in validation.frames}
    return TrainingData(
        level_of_theory=LEVEL,
        digests=(dataset.digest,),
        train=dataset.select(lambda one: one.host != "KCl" and one.name not in kept),
        validation=validation,
        unseen=(),
        test=dataset.select(lambda one: one.host == "KCl"),
    )


@pytest.fixture(scope="session")
def tiny() -> ArchitectureSettings:
    """The smallest M3GNet, whose radial basis needs no computer algebra."""
    return ArchitectureSettings(units=4, blocks=1, cutoff=4.5, threebody_cutoff=3.6, smooth=False)


@pytest.fixture(scope="session")
def settings(tiny) -> TrainSettings:
    """Three epochs of the tiny network."""
    return TrainSettings.model_validate(
        {
            "data": ["unused"],
            "architecture": tiny.model_dump(),
            "optimisation": {"epochs": 3, "learning_rate": 0.01},
            "baseline": None,
        }
    )


HOLDER = """
import subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + sys.argv[2], "tmpfs", sys.argv[1]], check=True)
print("mounted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Makes a file system of a size such as ``64k``, in the mount namespace of a process that ends with the test."""
    holders = []

    def make(size: str) -> Path:
        place = tmp_path / "small"
        place.mkdir()
        command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", HOLDER, str(place), size]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        return Path(f"/proc/{holder.pid}/root{place}")

    yield make
    for holder in holders:
        holder.communicate()
