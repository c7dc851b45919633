"""What a campaign file says, from where its paths are meant, and which files are hosts."""

import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.crystal_files import is_host_name
from defect_surrogate.errors import SettingsError
from defect_surrogate.settings import SearchSettings
from flows.campaigns.settings import PRIORITIES, Budget, Campaign, as_text, hosts_of, read_campaign, resolved


@pytest.fixture
def write(tmp_path):
    """Writes a campaign file and returns its path."""

    def make(**content):
        path = tmp_path / "tellurides.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return make


def test_a_file_names_its_campaign_unless_it_says_another_name(write):
    assert read_campaign(write(hosts=["a.cif"])).name == "tellurides"
    assert read_campaign(write(hosts=["a.cif"], name="others")).name == "others"


def test_paths_are_meant_from_the_folder_of_the_file(write, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir("/")
    inside = {"surrogate": {"potential": "model"}, "workers": {"cluster": "cluster.yaml"}}
    read = read_campaign(write(hosts=["a.cif", "../b.cif", "/c.cif", "mp-149"], folder="hosts", settings=inside))
    assert read.hosts == [str(tmp_path / "a.cif"), str(tmp_path.parent / "b.cif"), "/c.cif", "mp-149"]
    assert read.folder == str(tmp_path / "hosts")
    assert read.search.surrogate.potential == str(tmp_path / "model")
    assert read.search.workers.cluster == str(tmp_path / "cluster.yaml")
    assert resolved(read, tmp_path / "elsewhere") == read


def test_paths_in_a_settings_file_are_meant_from_its_folder(write, tmp_path):
    there = tmp_path / "there"
    (there / "model").mkdir(parents=True)
    (there / "hse06.yaml").write_text("surrogate: {potential: model}\n")
    read = read_campaign(write(hosts=["a.cif"], settings="there/hse06.yaml"))
    assert read.search.surrogate.potential == str(there / "model")
    assert read.hosts == [str(tmp_path / "a.cif")]


def test_the_name_of_a_force_field_stays_and_settings_may_be_absent(write):
    read = read_campaign(write(hosts=["a.cif"]))
    assert read.search == SearchSettings()
    assert read.settings == SearchSettings()  # of which the history is made
    assert read.budget == Budget(reference_relaxations=None, core_hours=None)
    assert PRIORITIES[read.priority] == 0


def test_settings_that_have_not_been_read_are_told():
    with pytest.raises(SettingsError, match=r"a: settings of hse06\.yaml have not been read"):
        _ = Campaign(name="a", hosts=["a.cif"], settings="hse06.yaml").search


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "needs hosts, or a folder of them"),
        ({"hosts": ["a.cif"], "priority": "urgent"}, "priority: Input should be 'high', 'normal' or 'low'"),
        ({"hosts": ["a.cif"], "budget": {"reference_relaxations": 0}}, "budget.reference_relaxations"),
        ({"hosts": ["a.cif"], "budget": {"core_hours": -1}}, "budget.core_hours"),
        ({"hosts": ["a.cif"], "hosts_at_once": 0}, "hosts_at_once"),
        ({"hosts": ["a.cif"], "settings": {"host": {"name": "CdTe"}}}, "hosts are named after their files"),
        ({"hosts": ["a.cif"], "settings": {"nonsense": 1}}, "nonsense"),
        ({"hosts": ["a.cif"], "name": "a/b"}, "name: String should match pattern"),
        ({"hosts": ["a.cif"], "settings": "absent.yaml"}, "absent.yaml: cannot be read"),
        (
            {
                "hosts": ["a.cif"],
                "budget": {"core_hours": 100},
                "settings": {"reference": {"vasp_cmd": ["/opt/bin/mpirun", "vasp_std"]}},
            },
            "budget.core_hours = 100: cannot be counted.* /opt/bin/mpirun vasp_std takes several",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(write, content, words):
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        read_campaign(write(**content))


def campaign(*hosts, folder=None):
    return Campaign(name="a", hosts=[str(one) for one in hosts], folder=None if folder is None else str(folder))


def test_hosts_are_listed_files_and_then_those_of_the_folder_by_name(tmp_path):
    (tmp_path / "watched").mkdir()
    for name in ("b.cif", "a.vasp", ".c.cif", "README.md"):
        (tmp_path / "watched" / name).touch()
    (tmp_path / "watched" / "d.cif").mkdir()
    (tmp_path / "watched" / "e.cif").symlink_to("nowhere")
    hosts, wrong = hosts_of(campaign("mp-149", "/x/z.cif", "/x/z.cif", folder=tmp_path / "watched"))
    assert list(hosts) == ["mp-149", "z", "a", "b"]
    assert hosts["a"] == str(tmp_path / "watched" / "a.vasp")
    assert wrong == {}


def test_a_link_is_a_host_of_its_own_name(tmp_path):
    (tmp_path / "1234.cif").touch()
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "CdTe.cif").symlink_to(tmp_path / "1234.cif")
    asked = resolved(campaign("watched/CdTe.cif", folder="watched"), tmp_path)
    assert hosts_of(asked) == ({"CdTe": str(tmp_path / "watched" / "CdTe.cif")}, {})


def test_files_of_one_name_are_refused_each_with_the_other(tmp_path):
    hosts, wrong = hosts_of(campaign("/a/CdTe.cif", "/b/POSCAR_CdTe", "/c/CdSe.cif"))
    assert hosts == {"CdSe": "/c/CdSe.cif"}
    assert "CdTe: also the name of /b/POSCAR_CdTe" in wrong["/a/CdTe.cif"]
    assert "CdTe: also the name of /a/CdTe.cif" in wrong["/b/POSCAR_CdTe"]


@pytest.mark.parametrize("folder", ["absent", "file", "a\0b"])
def test_a_folder_that_cannot_be_watched_is_refused(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be read as the folder of a campaign"):
        hosts_of(campaign(folder=f"{tmp_path}/{folder}"))


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=6
    )
)
@settings(deadline=None)
def test_whatever_files_are_called_each_is_a_host_or_told_and_names_stay_inside_their_folder(names):
    sources = list(dict.fromkeys(f"/x/{name}.cif" for name in names))
    hosts, wrong = hosts_of(campaign(*sources))
    assert sorted([*hosts.values(), *wrong]) == sorted(sources)
    for name in hosts:
        assert is_host_name(name)
        assert os.path.dirname(os.path.normpath(f"hosts/{name}")) == "hosts"


def test_names_of_files_that_are_no_text_are_shown(tmp_path):
    assert as_text(os.fsdecode(b"a\xff.cif")) == r"a\udcff.cif"
    assert as_text("ä\n") == "ä\n"
    (tmp_path / os.fsdecode(b"\xff.cif")).touch()
    hosts, wrong = hosts_of(campaign(folder=tmp_path))
    assert hosts == {}
    assert list(wrong) == [f"{tmp_path}/" + r"\udcff.cif"]
