"""The history of a campaign is whole at any time, survives damage, and tells what changed."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.errors import InputError
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.settings import SearchSettings
from flows.campaigns.folder import ServiceFolder
from flows.campaigns.history import (
    Entry,
    Found,
    HostEntry,
    begin_entry,
    changed_results,
    changed_settings,
    end_entry,
    found_in,
    read_entry,
    read_history,
)
from flows.campaigns.settings import Campaign
from flows.results import write_results
from flows.run_folder import create_run
from flows.search import search

TRIMER = Found("Te trimer", -101.5, -1.5, "HSE06 (VASP)")
NOTHING = Found("no new bonds", -100.0, 0.0, "HSE06 (VASP)")


@pytest.fixture
def folder(tmp_path):
    return ServiceFolder(tmp_path).campaign("tellurides")


def campaign(**content):
    return Campaign.model_validate({"name": "tellurides", "hosts": ["CdTe.cif"]} | content)


def an_entry(number=1, found=(), **content):
    given = campaign(**content).model_dump(mode="json")
    return Entry(number, given, "2026-11-28T20:00:00+00:00", None, None, (), dict(found), "")


def test_a_run_is_noted_when_it_begins_and_when_it_ends(folder):
    begun = begin_entry(folder, campaign(), "flow run")
    assert (begun.number, begun.ended, begun.flow_run) == (1, None, "flow run")
    assert read_history(folder) == [begun]
    hosts = [HostEntry("CdTe", "finished", 5), HostEntry("CdSe", "lost", message="HostError: CdSe.cif: “odd”\n")]
    ended = end_entry(folder, begun, hosts=hosts, found={"CdTe/v_Cd_0": TRIMER}, spent="1 relaxation")
    assert ended.ended is not None
    assert read_history(folder) == [ended]
    assert read_entry(folder, 1).hosts == tuple(hosts)
    assert read_entry(folder, None).found["CdTe/v_Cd_0"].has_new_bonds


def test_each_run_has_a_number_of_its_own_also_beside_damaged_and_foreign_files(folder):
    folder.history.mkdir(parents=True)
    for name, content in (("0007.json", b"{"), ("notes.json", b"{}"), ("²³.json", b"[]"), ("0003.json", b"\xff")):
        (folder.history / name).write_bytes(content)
    (folder.history / "0004.json").mkdir()
    assert begin_entry(folder, campaign(), None).number == 8
    assert [one.number for one in read_history(folder)] == [8]
    assert begin_entry(folder, campaign(), None).number == 9
    (folder.history / "12345.json").write_text("")
    assert begin_entry(folder, campaign(), None).number == 12346
    assert [one.number for one in read_history(folder)] == [8, 9, 12346]


def test_a_run_that_there_is_not_is_told_with_those_that_there_are(folder):
    with pytest.raises(InputError, match="tellurides: has no run ; there are: none"):
        read_entry(folder, None)
    begin_entry(folder, campaign(), None)
    begin_entry(folder, campaign(), None)
    with pytest.raises(InputError, match="tellurides: has no run 3; there are: 1, 2"):
        read_entry(folder, 3)


DAMAGED = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
        max_leaves=8,
    ).map(lambda content: json.dumps(content).encode()),
)


@settings(deadline=None)  # files are written
@given(damage=DAMAGED, cut=st.integers(0, 500))
def test_no_damage_of_a_file_hides_the_others(tmp_path_factory, damage, cut):
    folder = ServiceFolder(tmp_path_factory.mktemp("group")).campaign("tellurides")
    first = begin_entry(folder, campaign(), None)
    begin_entry(folder, campaign(), None)
    second = folder.history / "0002.json"
    whole = second.read_bytes()
    for content in (damage, whole[: min(cut, len(whole) - 1)]):
        second.write_bytes(content)
        assert read_history(folder)[0] == first
        assert len(read_history(folder)) == 1


def test_readers_see_whole_files_while_a_run_is_noted(folder):
    begun = begin_entry(folder, campaign(), None)
    over, seen = threading.Event(), []

    def read():
        while not over.is_set():
            seen.append([(one.number, len(one.hosts)) for one in read_history(folder)])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for count in range(1, 30):
        end_entry(folder, begun, hosts=[HostEntry("CdTe" * 50, "finished")] * 50 * count, found={}, spent="")
    over.set()
    for reader in readers:
        reader.join()
    assert seen
    assert all(len(entries) == 1 and entries[0][1] % 50 == 0 for entries in seen)


def test_what_changed_in_the_settings_is_named_by_key():
    before = an_entry(settings={"reference": {"defect_incar": {"NSW": 3}}}, hosts_at_once=2)
    changed = {"reference": {"defect_incar": {"ENCUT": 400}}, "host": {"oxidation_states": {"Cd": 2}}}
    after = an_entry(2, settings=changed, budget={"core_hours": 2})
    assert changed_settings(before, after) == {
        "hosts_at_once": (2, 1),
        "settings.reference.defect_incar.NSW": (3, None),
        "settings.reference.defect_incar.ENCUT": (None, 400),
        "settings.host.oxidation_states.Cd": (None, 2.0),
        "budget.core_hours": (None, 2.0),
    }
    assert changed_settings(before, before) == {}


def test_what_was_found_anew_or_otherwise_is_named():
    before = an_entry(found={"a/v": NOTHING, "b/v": TRIMER, "c/v": NOTHING})
    after = an_entry(2, found={"a/v": TRIMER, "b/v": TRIMER, "d/v": NOTHING})
    assert changed_results(before, after) == {
        "a/v": (NOTHING, TRIMER),
        "c/v": (NOTHING, None),
        "d/v": (None, NOTHING),
    }


def test_what_was_found_is_taken_from_the_report(host_file, settings, relaxer, tmp_path):
    run = create_run(tmp_path / "run", str(host_file), settings)
    relaxers = {"relax_surrogate": relaxer(), "relax_reference": relaxer({"Unperturbed": -99.0})}
    report = write_results(run, [search(run.source, settings, **relaxers)])
    ((name, found),) = found_in(report).items()
    assert name == "CdTe/v_Cd_0"
    assert (found.energy, found.energy_lowering) == (-100.0, -1.0)
    assert found.level_of_theory.startswith("GFN1-xTB")


def test_a_host_of_which_nothing_is_known_yet_has_found_nothing(cluster_host):
    from datetime import UTC, datetime

    report = campaign_report(
        [host_report(cluster_host, vacancies=[])],
        settings=SearchSettings(),
        minima=SearchSettings().minima,
        versions={},
        created=datetime.now(UTC),
    )
    assert found_in(report) == {}
    assert not Found("", None, None, None).has_new_bonds
    assert not NOTHING.has_new_bonds
