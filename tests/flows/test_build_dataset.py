"""The flow with the real stand-in on a tiny host: all is computed once, and a host that cannot be read ends no other."""

import pytest
import yaml
from ase import Atoms
from tblite.ase import TBLite

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.store import read_dataset
from defect_surrogate.errors import InputError
from defect_surrogate.settings import BuildSettings
from defect_surrogate.training.settings import TrainSettings
from flows.build_dataset import ATOMS_FILE, build_dataset
from flows.driver import count_units
from flows.ingest import ingest_trees
from flows.run_folder import open_folder, open_run
from flows.service import prefect_server
from flows.training_driver import host_names, run_build

SETTINGS = {
    "host": {"relax": False, "min_atoms": 1},
    "distortions": {"increment": 0.6},
    "reference": {"defect_incar": {"NSW": 0}},
    "bulk": {"configurations": 1},
    "isolated_atoms": True,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory, cluster_crystal):
    """The folder after the flow was run twice, what each run returned, and the finished units after each."""
    root = tmp_path_factory.mktemp("build")
    cluster_crystal.to(str(root / "cluster.vasp"), fmt="poscar")
    (root / "broken.cif").write_text("data_nothing\n")
    settings = BuildSettings.model_validate(SETTINGS)
    returned, units = [], []
    with prefect_server(root / "prefect") as server, server.ready():
        for _ in range(2):
            sources = [str(root / "broken.cif"), str(root / "cluster.vasp")]
            returned.append(build_dataset(sources, str(root / "set"), settings))
            files = (root / "set" / "archive" / "units").glob("*/*/*/*/*/unit.json")
            units.append({file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files})
    return root / "set", returned, units


def test_a_host_that_cannot_be_read_ends_no_other(built):
    _, returned, _ = built
    assert returned[0] == {"broken": -1, "cluster": 0, "atoms": 0}


def test_a_second_call_computes_nothing(built):
    _, returned, units = built
    assert returned[1] == returned[0]
    assert units[1] == units[0]


def test_status_counts_what_was_built(built):
    counts = {one.defect: (one.finished, one.total) for one in count_units(open_folder(built[0]))}
    assert counts == {"cluster/bulk": (1, 1), "cluster/v_Cd_0": (5, 5), "atoms/Cd": (1, 1), "atoms/Te": (1, 1)}


def test_energies_of_isolated_atoms_are_those_of_the_stand_in_and_go_into_a_training(built):
    energies = yaml.safe_load((built[0] / ATOMS_FILE).read_text())
    for element in ("Cd", "Te"):
        atom = Atoms(element, cell=[20.0] * 3, pbc=True)
        atom.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
        assert energies[element] == pytest.approx(atom.get_potential_energy(), abs=2e-3)
    assert TrainSettings(data=["set"], isolated_atoms=energies).isolated_atoms == energies


def test_atoms_are_no_frames_of_a_host(built, tmp_path):
    summary = ingest_trees([built[0]], tmp_path / "set")
    assert (summary.hosts, summary.compositions, summary.relaxations) == (("cluster",), ("CdTe",), 6)
    assert {frame.defect for frame in read_dataset(tmp_path / "set").frames} == {"bulk", "v_Cd_0"}
    assert sum(1 for _ in Archive(built[0] / "archive").records()) == 8


def test_a_folder_of_built_data_is_no_search(built):
    with pytest.raises(InputError, match="set: of build-dataset, not of a search: run build-dataset again"):
        open_run(built[0])


def test_hosts_are_named_after_their_files_which_must_differ(tmp_path):
    assert host_names(["a/CdTe.cif", "mp-406", "b/ZnTe.poscar.gz"]) == ["CdTe", "mp-406", "ZnTe"]
    with pytest.raises(InputError, match=r"a/POSCAR: hosts are named after their files.*CdTe\.vasp"):
        run_build(["a/POSCAR"], tmp_path / "set", BuildSettings())
    with pytest.raises(InputError, match="CdTe: two files of one name"):
        run_build(["a/CdTe.cif", "b/CdTe.vasp"], tmp_path / "set", BuildSettings())
    with pytest.raises(InputError, match="atoms: cannot be the name of a host"):
        run_build(["atoms.cif"], tmp_path / "set", BuildSettings())
    assert not (tmp_path / "set").exists()
