"""Somebody's finished HSE06 search, read and reported."""

import json
import shutil

import pytest

from defect_surrogate.errors import FolderError, HostError
from defect_surrogate.settings import MinimaSettings
from flows.analyse import analyse


def test_hybrid_dft_search_of_the_cadmium_vacancy(hse_search, tmp_path):
    report = analyse(hse_search, bulk=hse_search / "bulk_POSCAR", out=tmp_path, settings=MinimaSettings())
    (vacancy,) = report.hosts[0].vacancies
    assert len(vacancy.minima) == 2
    assert vacancy.ground_state.motif == "Te–Te dimer, 2.75 Å"
    assert vacancy.energy_lowering == pytest.approx(-0.755, abs=1e-3)
    assert json.loads((tmp_path / "campaign.json").read_text())["hosts"][0]["name"] == "CdTe"
    assert (tmp_path / "report.html").is_file()


def test_two_inequivalent_sites_are_told_apart_by_their_folders(hse_search, tmp_path):
    for name in ("v_Cd_s1_0", "v_Cd_s2_0"):
        for label in ("Unperturbed", "Bond_Distortion_-40.0%"):
            shutil.copytree(hse_search / label, tmp_path / "tree" / name / label)
        shutil.copy(hse_search / "vac_1_Cd_0.yaml", tmp_path / "tree" / name / f"{name}.yaml")
    report = analyse(
        tmp_path / "tree", bulk=hse_search / "bulk_POSCAR", out=tmp_path / "out", settings=MinimaSettings()
    )
    assert [vacancy.name for vacancy in report.hosts[0].vacancies] == ["v_Cd_s1_0", "v_Cd_s2_0"]


def test_an_empty_tree_and_an_unreadable_bulk_are_refused(hse_search, tmp_path):
    with pytest.raises(FolderError, match="no distortion folder"):
        analyse(tmp_path, bulk=hse_search / "bulk_POSCAR", out=None, settings=MinimaSettings())
    with pytest.raises(HostError, match="absent_POSCAR"):
        analyse(hse_search, bulk=tmp_path / "absent_POSCAR", out=None, settings=MinimaSettings())
