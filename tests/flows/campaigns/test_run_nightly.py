"""Every night all campaign files are run, and what is broken ends no other."""

from flows.campaigns import run


def test_every_night_all_campaign_files_are_run_the_urgent_first(group):
    for number, name in enumerate(("Aa", "Bb", "Cc")):
        group.host(name, 12.0 + 0.1 * number)
    group.file("a-low", hosts=["../hosts/Aa.vasp"], folder=None, priority="low")
    group.file("b-high", hosts=["../hosts/Bb.vasp"], folder=None, priority="high")
    group.file("c-normal", hosts=["../hosts/Cc.vasp"], folder=None)
    state = run.nightly.fn(str(group.place.root))
    assert (state.name, state.data) == ("Completed", {})
    order = dict.fromkeys(name.split("/")[0] for name in group.workers.begun)
    assert list(order) == ["Bb", "Cc", "Aa"]
    assert [folder.name for folder in group.place.campaigns()] == ["a-low", "b-high", "c-normal"]


def deep(depth):
    return "[" * depth + "]" * depth


BROKEN = {
    "yaml": "hosts: [",
    "list": "- a",
    "key": "hosts: [a.cif]\nnonsense: 1",
    "number-key": "1: 2",
    "nothing": "",
    "no text": "\xff",
    "settings": "hosts: [a.cif]\nsettings: absent.yaml",
    "nul": 'folder: "a\\0b"',
    "nul-settings": 'hosts: [a.cif]\nsettings: "a\\0b"',
    "deep": f"hosts: {deep(3000)}",
    "long": f"hosts: [a.cif]\nsettings: {'a' * 300}",
    "budget": "hosts: [a.cif]\nbudget: {core_hours: .nan}",
    "path": "name: ../../etc\nhosts: [a.cif]",
    "no-folder": "folder: absent",
    "good": "name: tellurides\nfolder: ../hosts",
}


def test_broken_campaign_files_do_not_end_the_others(group):
    group.host("CdTe")
    campaigns = group.place.root / "campaigns"
    campaigns.mkdir()
    for name, text in BROKEN.items():
        (campaigns / f"{name}.yaml").write_text(text, encoding="latin-1")
    (campaigns / ".good.yaml").write_text("being written")
    (campaigns / "folder.yaml").mkdir()
    (campaigns / "tellurides-again.yaml").write_text(BROKEN["good"])
    state = run.nightly.fn(str(group.place.root))
    assert group.last().ended is not None
    assert group.states() == {"CdTe": "finished"}
    assert set(state.data) == {f"{name}.yaml" for name in BROKEN if name != "good"} | {"tellurides-again.yaml"}
    assert "also the name of the campaign of good.yaml" in state.data["tellurides-again.yaml"]
    assert state.name == "With failures"
    assert state.message.startswith("lost: ")
    rows = {row["campaign"]: row for row in group.artifacts["failures-nightly"]}
    assert rows["yaml.yaml"]["next step"].startswith("Mend what the message names")
    assert sum(name.endswith(".broke") for name, _ in group.events) == len(state.data)


def test_a_campaign_that_is_ended_at_night_is_not_lost_and_ends_no_other(group):
    group.host("Aa")
    group.host("Bb", 12.1)
    group.file("first", hosts=["../hosts/Aa.vasp"], folder=None)
    group.file("second", hosts=["../hosts/Bb.vasp"], folder=None)
    group.workers.at_work = lambda work: group.folder("first").request_stop() if work.unit.host == "Aa" else None
    state = run.nightly.fn(str(group.place.root))
    assert (state.name, state.data) == ("Completed", {})
    assert group.states("second") == {"Bb": "finished"}


def test_a_file_that_is_no_host_is_told_once_and_each_time_by_hand(group):
    group.host("CdTe")
    (group.hosts / "notes.txt").write_text("what to do next")
    (group.hosts / "CdTe.vasp~").write_text("of an editor")
    for _ in range(2):
        assert group.run(try_again=False).name == "With failures"
        assert set(group.states()) == {"CdTe", "notes.txt"}
    (group.hosts / "notes.txt").rename(group.hosts / "other.txt")
    group.run(try_again=False)
    group.run()
    told = [name.rpartition(".")[2] for name, _ in group.events]
    loud, quiet = "ended-with-failures", "ended"
    assert [name for name in told if name.startswith("ended")] == [loud, quiet, loud, loud]


def test_a_night_without_campaign_files_is_quiet(group):
    state = run.nightly.fn(str(group.place.root))
    assert (state.name, state.data) == ("Completed", {})
