"""A search whose relaxations are made up: it costs nothing, and every number in it is known."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymatgen.core import Structure

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.settings import SearchSettings
from flows.cluster.connection import Cluster
from flows.cluster.profile import ClusterProfile
from flows.progress import PACKAGES
from flows.work import Work


@pytest.fixture(autouse=True)
def _unchanged_process() -> Iterator[None]:
    """Put back what a command changes in its process."""
    loggers = [logging.getLogger(name) for name in PACKAGES]
    before = [(one.level, one.handlers[:], one.propagate) for one in loggers]
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    for one, (level, handlers, propagate) in zip(loggers, before, strict=True):
        one.level, one.handlers, one.propagate = level, handlers, propagate


class FakeCluster(Cluster):
    """Workers that are always free, and never there."""

    def __init__(self, fate=""):
        super().__init__(ClusterProfile(), Path("nowhere"))
        self._fate, self.wanted = fate, []

    def crew(self, _name):
        return self

    @property
    def task_runner(self):
        return None

    @contextlib.contextmanager
    def work(self, count):
        self.wanted.append(count)
        yield self

    def change(self, count):
        self.wanted.append(count)

    def take(self):
        return True

    def spare(self):
        pass

    def ended(self, *, lost):
        pass

    def problem(self, _name):
        return ""

    def fate(self, _name, _worker):
        return self._fate


def made_up(work: Work, energy: float) -> Relaxation:
    """A converged relaxation that ends where it started."""
    unit = work.unit
    theory = "CHGNet" if unit.level == "surrogate" else "GFN1-xTB (vasp-xtb, stand-in for VASP)"
    provenance = Provenance(theory, unit.method, 2.0, 3, (("ase", "3.29"),))
    return Relaxation(unit.level, unit.structure, energy, 2, True, "converged", "max force 0.001 eV/Å", provenance)


@pytest.fixture
def relaxer() -> Callable[..., Callable]:
    """Makes a relaxer that gives energies by label, -100 eV to all others, and no result to those that break."""

    def make(energies=None, broken=(), asked=None):
        def relax(works):
            if asked is not None:
                asked.append([work.unit.name for work in works])
            return iter(
                [
                    (
                        work.unit.name,
                        None
                        if work.unit.label in broken
                        else made_up(work, (energies or {}).get(work.unit.label, -100.0)),
                    )
                    for work in works
                ]
            )

        return relax

    return make


@pytest.fixture
def host_file(tmp_path, cluster_crystal):
    """The cluster crystal as a file."""
    path = tmp_path / "CdTe_POSCAR"
    cluster_crystal.to(str(path), fmt="poscar")
    return path


@pytest.fixture
def settings() -> SearchSettings:
    """Five sampling structures in the cell as given."""
    return SearchSettings.model_validate({"host": {"relax": False, "min_atoms": 1}, "distortions": {"increment": 0.6}})


@pytest.fixture
def end_members(tmp_path, cluster_crystal) -> list[str]:
    """Clusters of Cd4Te4, and somewhat smaller ones of Cd4Se4, as files: the end members of an alloy of four sites."""
    selenide = cluster_crystal.copy()
    selenide.replace_species({"Te": "Se"})
    centre = selenide.lattice.get_cartesian_coords([0.5, 0.5, 0.5])
    selenide = Structure(
        selenide.lattice,
        selenide.species,
        centre + 0.95 * (selenide.cart_coords - centre),
        coords_are_cartesian=True,
    )
    paths = []
    for name, structure in (("CdTe", cluster_crystal), ("CdSe", selenide)):
        paths.append(str(tmp_path / f"{name}.vasp"))
        structure.to(paths[-1], fmt="poscar")
    return paths


@pytest.fixture
def sweep_settings(end_members) -> SweepSettings:
    """Half and a quarter Se; of each vacancy all pairs of its three neighbours in one step."""
    return SweepSettings.model_validate(
        {
            "alloy": {"end_members": end_members, "sublattice": "Te", "compositions": [0.25, 0.5]},
            "host": {"relax": False, "min_atoms": 1},
            "vacancies": {"elements": ["Cd"]},
            "neighbours": {"distortions": [-0.4]},
            "distortions": {"increment": 0.6},
        }
    )
