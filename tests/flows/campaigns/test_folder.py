"""Where campaigns live, how far a host is, and what makes it be searched again."""

import json

import pytest

from defect_surrogate.errors import InputError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SearchSettings
from flows.campaigns import folder as module
from flows.campaigns.folder import (
    DONE_FILE,
    CampaignFolder,
    Done,
    ServiceFolder,
    asked_for,
    campaign_of,
    read_done,
    write_done,
)


@pytest.fixture
def place(tmp_path):
    return ServiceFolder(tmp_path / "service")


def test_campaigns_share_an_archive_and_sampling_structures_and_nothing_else(place):
    one, other = place.campaign("one"), place.campaign("other")
    assert one.archive.root == other.archive.root == place.root / "archive"
    assert one.sampling == other.sampling == place.root / "sampling"
    assert len({one.path, other.path, one.spent, other.spent, one.history, other.history}) == 6
    assert one.name == "one"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/a", ".hidden", "a\n", "a b", "é", "x" * 65])
def test_a_name_that_leads_elsewhere_is_refused(place, name):
    with pytest.raises(InputError, match="cannot be the name of a campaign"):
        place.campaign(name)


def test_campaigns_are_those_that_were_run_and_files_those_that_are_no_drafts(place):
    campaigns = place.root / "campaigns"
    for path in ("b/history", "a/history", "never", ".x/history", "folder.yaml"):
        (campaigns / path).mkdir(parents=True)
    for name in ("b.yaml", "a.yaml", ".a.yaml", "a.yaml~", "notes.txt"):
        (campaigns / name).touch()
    assert [one.name for one in place.campaigns()] == ["a", "b"]
    assert [path.name for path in place.campaign_files()] == ["a.yaml", "b.yaml"]
    assert ServiceFolder(place.root / "absent").campaigns() == []
    assert ServiceFolder(place.root / "absent").campaign_files() == []


def test_a_campaign_is_chosen_by_name_and_a_miss_names_what_there_is(place):
    with pytest.raises(InputError, match="there are: none"):
        place.searched("third")
    for name in ("one", "other"):
        place.campaign(name).history.mkdir(parents=True)
    assert place.searched("other") == place.campaign("other")
    with pytest.raises(InputError, match="third: no campaign of this name was run in .*; there are: one, other"):
        place.searched("third")


def test_a_path_is_known_as_that_of_a_campaign(place, monkeypatch):
    folder = place.campaign("one")
    assert campaign_of(folder.path) is None
    folder.history.mkdir(parents=True)
    assert campaign_of(folder.path) == folder
    monkeypatch.chdir(folder.path.parent)
    assert campaign_of(module.Path("one")) == folder
    assert campaign_of(folder.path.parent) is None
    (place.root / "runs" / "x" / "history").mkdir(parents=True)
    assert campaign_of(place.root / "runs" / "x") is None


def test_units_of_a_campaign_are_those_of_its_hosts(place, cluster_crystal):
    folder = place.campaign("one")
    for name in ("CdTe", "CdSe"):
        path = folder.host(name)
        path.mkdir(parents=True)
        (path / "run.json").touch()
        unit = Unit(name, "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "m")
        CampaignFolder(path).note_units([unit])
    (folder.host("CdSe") / "units.json").write_text("damaged")
    folder.host("never").mkdir()
    assert [path.name for path in folder.hosts()] == ["CdSe", "CdTe"]
    assert list(folder.units()) == ["CdTe/v_Cd_0/Dimer/surrogate"]


def test_how_far_a_host_is_is_read_back(tmp_path):
    done = Done("digest", 3, 1, 2)
    write_done(tmp_path / "CdTe", done)
    assert read_done(tmp_path / "CdTe") == done


@pytest.mark.parametrize("damage", ["", "{", "[]", "1", "null", "{}", '{"asked": "a"}', '{"a": 1}', b"\xff"])
def test_a_damaged_note_is_as_good_as_none(tmp_path, damage):
    assert read_done(tmp_path) is None
    (tmp_path / DONE_FILE).write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    assert read_done(tmp_path) is None


def test_content_settings_and_versions_decide_and_paths_and_workers_do_not(tmp_path, monkeypatch):
    one, other = tmp_path / "a.cif", tmp_path / "b.cif"
    one.write_text("crystal")
    other.write_text("crystal")
    settings = SearchSettings()
    asked = asked_for(str(one), settings)
    assert asked == asked_for(str(other), settings)
    more = settings.model_copy(update={"workers": settings.workers.model_copy(update={"reference": 8})})
    assert asked == asked_for(str(one), more)
    assert asked != asked_for(str(one), settings.model_copy(update={"full_reference": True}))
    other.write_text("another")
    assert asked != asked_for(str(other), settings)
    monkeypatch.setattr(module, "library_versions", lambda: {"ase": "4"})
    assert asked != asked_for(str(one), settings)


def test_weights_of_a_force_field_in_a_folder_decide_too(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pt").write_bytes(b"weights")
    settings = SearchSettings.model_validate({"surrogate": {"potential": str(tmp_path / "model")}})
    asked = asked_for("mp-149", settings)
    (tmp_path / "model" / "model.pt").write_bytes(b"Weights")
    assert asked != asked_for("mp-149", settings)


@pytest.mark.parametrize("source", ["mp-149", "absent.cif", "a\0b.cif", "x" * 300 + ".cif"])
def test_what_is_no_file_has_a_digest_all_the_same(source):
    assert len(json.dumps(asked_for(source, SearchSettings()))) == 66
