"""From an archive to a dataset on disk."""

from dataclasses import replace

import numpy as np
import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.store import read_dataset
from defect_surrogate.errors import DatasetError
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit
from flows.ingest import ingest_trees


@pytest.fixture
def run(tmp_path, cluster_crystal):
    """A run folder with the host, and a relaxation whose last step was not kept."""
    vacancy = cluster_crystal.copy()
    vacancy.remove_sites([0])
    archive = Archive(tmp_path / "run" / "archive")
    for defect, label, structure in (("bulk", "Host", cluster_crystal), ("v_Cd_0", "Dimer", vacancy)):
        frames = tuple(Frame(structure, energy, np.ones((len(structure), 3)), None) for energy in (-30.0, -31.0))
        provenance = Provenance("GFN1-xTB (vasp-xtb, stand-in for VASP)", "method", 2.0, 3, ())
        relaxation = Relaxation("reference", structure, -31.0, 2, True, "converged", "", provenance, frames)
        relaxation = relaxation if defect == "bulk" else replace(relaxation, steps=3)
        archive.publish(Unit("Cd4Te4", defect, label, "reference", structure, "method"), relaxation)
    return tmp_path / "run"


def test_an_archive_becomes_a_dataset_on_disk(run, tmp_path):
    summary = ingest_trees([run], tmp_path / "set")
    dataset = read_dataset(tmp_path / "set")
    assert (summary.digest, summary.level_of_theory) == (dataset.digest, dataset.level_of_theory)
    assert (summary.hosts, summary.compositions) == (("Cd4Te4",), ("CdTe",))
    assert (summary.relaxations, summary.frames, summary.bulk_frames) == (2, 4, 2)
    (incomplete,) = summary.incomplete
    assert (incomplete.label, incomplete.dropped, incomplete.reasons) == ("Dimer", 1, "1 step not kept in the archive")
    rows = (tmp_path / "set" / "ingested.csv").read_text().splitlines()
    assert rows[0] == "tree,folder,host,defect,label,found,taken,dropped,reasons"
    assert len(rows) == 3
    again = ingest_trees([run], tmp_path / "other")
    assert again.digest == summary.digest


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path, monkeypatch):
    monkeypatch.delattr("flows.ingest.ingest")  # refused before anything is read
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.tex").write_text("")
    with pytest.raises(DatasetError, match="set: holds something already"):
        ingest_trees([run], tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thesis.tex"]


def test_nothing_to_take_writes_nothing(tmp_path):
    (tmp_path / "tree").mkdir()
    with pytest.raises(DatasetError, match="tree: no finished calculation there"):
        ingest_trees([tmp_path / "tree"], tmp_path / "set")
    assert not (tmp_path / "set").exists()
