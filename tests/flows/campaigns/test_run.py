"""A campaign does what the archive lacks; a host that is lost, or a hostile file, harms no other."""

import os

import pytest
import yaml

from defect_surrogate.errors import InputError
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.settings import SearchSettings
from flows.campaigns import hosts as hosts_module
from flows.campaigns.folder import DONE_FILE
from flows.campaigns.history import end_entry, read_entry
from flows.search_host import search_in

UNPERTURBED = "v_Cd_0/Unperturbed/reference"
EVERY = ["CdTe/Dimer_from_surrogate", "CdTe/Rattled_from_surrogate", "CdTe/Unperturbed"]
"""Reference units of CdTe."""


def test_a_campaign_searches_its_hosts_once(group):
    group.host("CdTe")
    state = group.run()
    assert (state.name, group.states()) == ("Completed", {"CdTe": "finished"})
    assert state.data == group.last()
    assert group.workers.taken() == EVERY
    again = group.run()
    assert again.name == "Nothing to do"
    assert again.message.startswith("0 of 1 hosts searched, 1 as before; ")
    assert group.workers.begun == []
    assert [read_entry(group.folder(), number).number for number in (1, 2)] == [1, 2]
    assert [name.rpartition(".")[2] for name, _ in group.events] == ["began", "ended"] * 2


def test_a_host_that_is_put_into_the_folder_is_searched_in_the_next_run_and_no_other(group):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    group.host("CdSe", 11.8)
    assert group.run().name == "Completed"
    assert group.states() == {"CdSe": "finished", "CdTe": "as before"}
    assert {name.split("/")[0] for name in group.workers.begun} == {"CdSe"}


def test_what_one_campaign_has_computed_no_other_computes(group):
    group.host("CdTe")
    group.run("tellurides")
    group.workers.taken()
    assert group.run("chalcogenides", hosts=["hosts/CdTe.vasp"]).name == "Completed"
    assert group.workers.begun == []
    assert group.states("chalcogenides") == {"CdTe": "finished"}


def test_what_vanished_from_the_archive_is_computed_again_and_nothing_else(group):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    (unit,) = (group.archive.root / "units" / "CdTe" / UNPERTURBED).iterdir()
    unit.rename(group.archive.root / "rejected" / "moved")
    assert group.run().name == "Completed"
    assert group.workers.begun == [f"CdTe/{UNPERTURBED}"]


def test_a_changed_file_or_setting_gives_new_units_and_keeps_the_old(group):
    group.host("CdTe")
    group.run()
    units = group.archive.root / "units" / "CdTe" / UNPERTURBED
    group.workers.taken()
    group.host("CdTe", 12.3)
    assert group.run().name == "Completed"
    assert len(group.workers.begun) == 5
    group.workers.taken()
    changed = {"settings": {"reference": {"defect_incar": {"NSW": 7}}}}
    assert group.run(**changed).name == "Completed"
    assert group.workers.taken() == EVERY  # the surrogate has nothing to do
    assert len(list(units.iterdir())) == 3
    assert group.run(**changed).name == "Nothing to do"
    assert group.run().name == "Completed"  # back to the first settings: all is there
    assert group.workers.begun == []


def test_other_workers_and_another_budget_are_no_reason_to_search_again(group):
    group.host("CdTe")
    group.run()
    more = {"settings": {"workers": {"reference": 7}}, "budget": {"core_hours": 3.0}, "priority": "high"}
    assert group.run(**more, hosts_at_once=3).name == "Nothing to do"


def test_what_broke_is_tried_again_by_hand_and_not_every_night(group):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    state = group.run()
    assert state.name == "With failures"
    assert group.states() == {"CdTe": "broke"}
    assert len(group.workers.taken()) == 3
    assert group.run(try_again=False).name == "Nothing to do"  # known, and told when it broke
    assert group.states() == {"CdTe": "as before"}
    assert group.workers.begun == []
    assert group.run(try_again=True).name == "With failures"
    assert group.workers.begun == [f"CdTe/{UNPERTURBED}"]
    group.workers.broken.clear()
    assert group.run(try_again=True).name == "Completed"
    assert group.run(try_again=False).name == "Nothing to do"


@pytest.mark.parametrize("damage", ["{", '[{"asked": 1}]', "\0"])
@pytest.mark.parametrize("file", [DONE_FILE, CAMPAIGN_FILE, "units.json", "run.json", "settings.yaml"])
def test_damaged_notes_of_a_host_are_made_anew_without_computing_anything(group, file, damage):
    group.host("CdTe")
    group.run()
    group.workers.taken()
    (group.folder().host("CdTe") / file).write_text(damage)
    if file in ("run.json", "settings.yaml"):  # which nobody reads where nothing is to be done
        (group.folder().host("CdTe") / DONE_FILE).unlink()
    assert group.run().name == "Completed"
    assert group.run().name == "Nothing to do"
    assert group.workers.begun == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_one_host_that_is_lost_does_not_end_the_others(group, at_once):
    for number, name in enumerate(("Aa", "Bb", "Cc")):
        group.host(name, 12.0 + 0.1 * number)
    (group.hosts / "Bb.vasp").write_text("not a crystal")
    state = group.run(hosts_at_once=at_once)
    assert state.name == "With failures"
    assert state.message.startswith("2 of 3 hosts searched, 0 as before; broken or lost: Bb; ")
    assert group.states() == {"Aa": "finished", "Bb": "lost", "Cc": "finished"}
    (row,) = group.artifacts["failures-tellurides"]
    assert row["unit"] == "Bb"
    assert row["cause"].startswith("HostError: ")
    assert row["next step"].startswith("Mend the host's file")
    assert group.events[-1][0].endswith("ended-with-failures")
    group.host("Bb", 12.1)
    group.workers.taken()
    assert group.run(hosts_at_once=at_once).name == "Completed"
    assert {name.split("/")[0] for name in group.workers.begun} == {"Bb"}


def test_what_broke_is_named_with_its_cause_and_what_can_be_done(group):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    group.run()
    (row,) = group.artifacts["failures-tellurides"]
    assert (row["unit"], row["cause"]) == (f"CdTe/{UNPERTURBED}", "ReferenceRunError: no energy")
    assert row["next step"].startswith("Look at its OUTCAR")


HOSTILE = ["...vasp", "POSCAR", "a|b`<b>.vasp", "Cd Te.vasp", "line\nbreak.vasp", os.fsdecode(b"\xff.vasp"), "Dd.vasp"]


def test_hostile_files_in_the_watched_folder_are_told_and_harm_nothing(group, cluster_crystal):
    group.host("CdTe")
    text = (group.hosts / "CdTe.vasp").read_text()
    for name in HOSTILE:
        (group.hosts / name).write_text(text)
    (group.hosts / "Dd.cif").write_text("data_")  # of one name with another
    (group.hosts / ".hidden.vasp").write_text("being copied")
    (group.hosts / "README.md").write_text("what lies here")
    (group.hosts / "folder.vasp").mkdir()
    (group.hosts / "gone.vasp").symlink_to("nowhere")
    state = group.run()
    assert state.name == "With failures"
    states = group.states()
    assert states.pop("CdTe") == "finished"
    assert set(states.values()) == {"lost"}
    assert len(states) == len(HOSTILE)  # one is hidden, and one is there twice
    assert all(row["cause"].startswith("HostError: ") for row in group.artifacts["failures-tellurides"])
    page = group.artifacts["campaign-tellurides"]
    assert "<b>" not in page
    assert r"a\|b\`\<b\>.vasp" in page
    assert page.count("\n| ") == 2 + 1 + len(states)  # one line for each host
    assert group.last() == state.data
    assert sorted(path.name for path in (group.folder().path / "hosts").iterdir()) == ["CdTe"]


def test_files_of_one_name_are_both_refused_and_one_file_named_twice_is_one_host(group):
    path = group.host("CdTe")
    other = group.place.root / "other" / "CdTe.cif"
    other.parent.mkdir()
    other.write_text("data_")
    assert group.run(hosts=["hosts/CdTe.vasp", str(path)], folder="hosts").name == "Completed"
    assert group.run(hosts=[str(path), str(other)]).name == "With failures"
    assert group.states() == {str(path): "lost", str(other): "lost"}
    assert str(path) in group.last().hosts[1].message


def test_the_name_of_a_campaign_leads_nowhere_else(group):
    for name in ("..", "../x", "a/b", ".x", "", "x\n", "ä", "a" * 65):
        with pytest.raises(ValueError, match="name"):
            group.campaign(name)
        with pytest.raises(InputError, match="cannot be the name of a campaign"):
            group.place.campaign(name)


def test_a_changed_model_is_a_reason_to_search_again(group):
    group.host("CdTe")
    model = group.place.root / "model"
    model.mkdir()
    (model / "model.pt").write_bytes(b"weights")
    asked = {"settings": {"surrogate": {"potential": "model"}}}
    group.run(**asked)
    assert group.run(**asked).name == "Nothing to do"
    (model / "model.pt").write_bytes(b"others")
    assert group.run(**asked).name == "Completed"


def test_a_real_search_is_found_in_the_history(group, monkeypatch, settings):
    """All but the relaxations is done."""
    monkeypatch.setattr(hosts_module, "search_in", search_in)
    group.host("CdTe")
    content = yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json")))
    assert SearchSettings.model_validate(content) == settings
    assert group.run(settings=content, budget={"reference_relaxations": 1}).name == "Budget spent"
    (found,) = group.last().found.values()
    assert list(group.last().found) == ["CdTe/v_Cd_0"]
    assert (found.motif, found.energy) == ("no new bonds", -100.0)
    assert found.level_of_theory.startswith("GFN1-xTB")
    assert (group.folder().host("CdTe") / "report.html").is_file()
    assert group.run(settings=content).name == "Completed"
    assert group.run(settings=content).name == "Nothing to do"
    assert list(group.last().found) == ["CdTe/v_Cd_0"]
    assert len(group.artifacts["results-tellurides"]) == 1
    assert end_entry(group.folder(), group.last(), hosts=(), found={}, spent="").hosts == ()
