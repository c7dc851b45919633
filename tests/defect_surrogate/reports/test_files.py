import contextlib
import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defect_surrogate.errors import ReportError
from defect_surrogate.reports.files import (
    campaign_json,
    read_campaign,
    read_structures,
    replace_file,
    write_report_files,
)
from defect_surrogate.reports.schema import CampaignReport


@pytest.fixture
def run(missed, tmp_path):
    write_report_files(missed.campaign, tmp_path, structures=missed.structures)
    return tmp_path


def test_campaign_comes_back_as_it_was(run, missed, analysed):
    assert read_campaign(run / "campaign.json") == missed.campaign
    (run / "campaign.json").write_text(campaign_json(analysed.campaign))
    assert read_campaign(run / "campaign.json") == analysed.campaign


def test_json_is_strict_sorted_and_stable(missed, run):
    text = (run / "campaign.json").read_text(encoding="utf-8")
    assert text == campaign_json(missed.campaign)
    content = json.loads(text, parse_constant=pytest.fail)
    assert list(content) == sorted(content)
    assert list(content["hosts"][0]["vacancies"][0]) == sorted(content["hosts"][0]["vacancies"][0])


def test_not_a_number_is_never_written(analysed, tmp_path):
    (host,) = analysed.campaign.hosts
    bad = dataclasses.replace(host.vacancies[0], energy_lowering=float("nan"))
    campaign = dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, vacancies=(bad,)),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report_files(campaign, tmp_path, structures=analysed.structures)
    assert not (tmp_path / "campaign.json").exists()


def test_structures_come_back_with_their_sites_in_order(run, missed):
    structures = read_structures(missed.campaign, run)
    assert structures.keys() == missed.structures.keys()
    for path, structure in structures.items():
        assert [site.specie.symbol for site in structure] == [s.specie.symbol for s in missed.structures[path]]
        assert np.allclose(structure.frac_coords, missed.structures[path].frac_coords, atol=1e-10)


def test_poscar_names_energy_level_and_unit(run):
    folder = run / "minima" / "CdTe" / "v_Cd_0"
    first = (folder / "Unperturbed.vasp").read_text().splitlines()[0]
    assert first == "E = -205.72311458 eV; HSE06 (VASP); CdTe/v_Cd_0/Unperturbed/reference"
    provisional = (folder / "full_reference" / "1_Bond_Distortion_-55.0%.vasp").read_text().splitlines()[0]
    assert provisional.endswith("NOT CONVERGED")


def test_surrogate_level_is_named_in_its_files(run):
    (path,) = (run / "minima" / "CdTe" / "v_Cd_0" / "surrogate").iterdir()
    assert "CHGNet 0.3.0; CdTe/v_Cd_0/" in path.read_text().splitlines()[0]


def test_minima_of_an_earlier_report_are_removed(run, missed):
    vacancy = run / "minima" / "CdTe" / "v_Cd_0"
    stale = [vacancy / "full_reference" / "1_Dimer.vasp", run / "minima" / "CdTe" / "v_Te_0" / "1_Dimer.vasp"]
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text("stale")
    (vacancy / "notes.txt").write_text("mine")
    write_report_files(missed.campaign, run, structures=missed.structures)
    assert not any(path.exists() for path in stale)
    assert not stale[1].parent.exists()
    assert (vacancy / "notes.txt").exists()
    assert {path.relative_to(run).as_posix() for path in run.glob("minima/**/*.vasp")} == set(missed.structures)


def test_removal_follows_no_links(run, missed, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1_Dimer.vasp").write_text("not ours")
    (run / "minima" / "link").symlink_to(elsewhere)
    write_report_files(missed.campaign, run, structures=missed.structures)
    assert (elsewhere / "1_Dimer.vasp").exists()
    assert (run / "minima" / "link").is_symlink()


def test_a_folder_without_a_report_loses_nothing(missed, tmp_path):
    mine = tmp_path / "minima" / "mine.vasp"
    mine.parent.mkdir()
    mine.write_text("mine")
    write_report_files(missed.campaign, tmp_path, structures=missed.structures)
    assert mine.exists()


def test_missing_structure_is_named(analysed, tmp_path):
    with pytest.raises(ReportError, match=r"minima/CdTe/v_Cd_0/1_Bond_Distortion_-55.0%.vasp: no structure"):
        write_report_files(analysed.campaign, tmp_path, structures={})


@pytest.mark.parametrize("path", ["../outside.vasp", "/outside.vasp", "minima/../../outside.vasp"])
def test_paths_of_a_forged_report_stay_inside(analysed, tmp_path, path):
    (host,) = analysed.campaign.hosts
    forged_vacancy = dataclasses.replace(host.vacancies[0], unperturbed_file=path)
    forged = dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, vacancies=(forged_vacancy,)),))
    with pytest.raises(ReportError, match="outside"):
        write_report_files(
            forged, tmp_path / "run", structures={**analysed.structures, path: next(iter(analysed.structures.values()))}
        )
    assert not (tmp_path / "outside.vasp").exists()


def test_link_out_of_the_folder_is_not_followed(run, missed, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = run / "minima" / "CdTe" / "v_Cd_0" / "surrogate"
    for path in folder.iterdir():
        path.rename(elsewhere / path.name)
    folder.rmdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(ReportError, match="outside"):
        read_structures(missed.campaign, run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[1, 2]", "is not a campaign.json"),
        ('{"hosts": []}', "is not a campaign.json"),
        ('{"schema_version": "1"}', "is not a campaign.json"),
        ('{"schema_version": 1}', "is of schema 1; this version of the software reads schema 3"),
        ('{"schema_version": 3, "hosts": 3}', "faults in all"),
        ('{"schema_version": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, message):
    path = tmp_path / "campaign.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=message):
        read_campaign(path)


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(ReportError, match="cannot be read as JSON"):
        read_campaign(tmp_path / "campaign.json")
    (tmp_path / "campaign.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReportError, match="cannot be read as JSON"):
        read_campaign(tmp_path / "campaign.json")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 5000), text=st.text(max_size=3))
def test_damaged_reports_are_refused_or_read_never_worse(run, where, text):
    whole = (run / "campaign.json").read_text(encoding="utf-8")
    damaged = run / "damaged.json"
    damaged.write_text(whole[:where] + text + whole[where + 2 :], encoding="utf-8", errors="replace")
    with contextlib.suppress(ReportError):
        assert isinstance(read_campaign(damaged), CampaignReport)


def test_damaged_poscar_is_named(run, missed):
    path = run / "minima" / "CdTe" / "v_Cd_0" / "Unperturbed.vasp"
    path.write_text("truncated\n1.0\n")
    with pytest.raises(ReportError, match=r"Unperturbed\.vasp: cannot be read"):
        read_structures(missed.campaign, run)


def test_a_file_is_for_whom_the_user_allows(tmp_path):
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "f", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    replace_file(path, "old")

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
