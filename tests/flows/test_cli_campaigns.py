"""The commands about campaigns: list, show, compare, and what is refused."""

import json
import logging

import pytest
import yaml
from typer.testing import CliRunner

from defect_surrogate.errors import StoppedError
from flows.campaigns.folder import ServiceFolder
from flows.campaigns.history import Found, HostEntry, begin_entry, end_entry
from flows.campaigns.settings import Campaign
from flows.cli import app
from flows.lock import locked

TRIMER = Found("Te trimer", -101.5, -1.5, "HSE06 (VASP)")
UNKNOWN = Found("", None, None, None)
NOTHING = Found("no new bonds", -100.0, None, "HSE06 (VASP)")


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def place(tmp_path):
    return ServiceFolder(tmp_path)


@pytest.fixture
def note(place):
    """Notes a run of a campaign."""

    def make(name="tellurides", hosts=(), found=None, *, ended=True, **content):
        folder = place.campaign(name)
        given = Campaign.model_validate({"name": name, "hosts": ["CdTe.cif"], "settings": {}} | content)
        entry = begin_entry(folder, given, None)
        return end_entry(folder, entry, hosts=hosts, found=found or {}, spent="3 of 4 spent") if ended else entry

    return make


HOSTS = (HostEntry("CdTe", "finished", 9), HostEntry("CdSe", "lost", message="HostError: CdSe.cif: no atoms"))


def test_campaigns_are_listed_with_their_latest_run(place, note):
    note()
    note(hosts=HOSTS, found={"CdTe/v_Cd_0": TRIMER, "CdTe/v_Te_0": NOTHING})
    note("killed", ended=False)
    note("running", ended=False)
    (place.campaign("damaged").history).mkdir(parents=True)
    (place.campaign("damaged").history / "0001.json").write_text("{")
    with locked(place.campaign("running").path):
        result = run("list", "--service", place.root, "--json")
    assert result.exit_code == 0
    rows = {row.pop("campaign"): row for row in json.loads(result.stdout)}
    assert set(rows) == {"tellurides", "killed", "running"}
    latest = rows["tellurides"].pop("latest")
    assert latest.startswith("20")
    assert rows["tellurides"] == {
        "runs": "2",
        "state": "With failures",
        "hosts": "2",
        "vacancies": "2",
        "new bonds": "1",
        "broke": "1",
    }
    assert (rows["killed"]["state"], rows["running"]["state"]) == ("Interrupted", "Running")
    table = run("list", "--service", place.root).stdout
    assert "With failures" in table
    assert not (place.campaign("killed").path / ".lock").exists()  # looked at, and left alone


def test_a_group_without_campaigns_is_told_how_to_begin(place):
    result = run("list", "--service", place.root)
    assert (result.exit_code, result.stdout.startswith(f"{place.root}: no campaign was run there")) == (0, True)
    assert json.loads(run("list", "--service", place.root, "--json").stdout) == []


def test_a_run_is_shown_with_its_hosts_results_and_settings(place, note):
    note(hosts_at_once=3)
    note(hosts=HOSTS, found={"CdTe/v_Cd_0": TRIMER, "CdTe/v_Te_0": UNKNOWN})
    text = run("show", "tellurides", "--service", place.root).stdout
    assert text.startswith("tellurides, run 2, ")
    assert ": With failures: 1 of 2 hosts searched, 0 as before; broken or lost: CdSe; 3 of 4 spent\n" in text
    assert "  CdTe: finished; units: 9 finished, 0 broke, 0 to do\n" in text
    assert "  CdSe: could not be searched: HostError: CdSe.cif: no atoms; units: 0 finished" in text
    assert "  CdTe/v_Cd_0: Te trimer, -101.500 eV, -1.500 eV against Unperturbed (HSE06 (VASP))\n" in text
    assert "  CdTe/v_Te_0: no ground state yet\n" in text
    settings = yaml.safe_load(text.split("settings:\n", 1)[1])
    assert Campaign.model_validate(settings).name == "tellurides"
    assert "hosts_at_once: 3" in run("show", "tellurides@1", "--service", place.root).stdout
    content = json.loads(run("show", "tellurides@2", "--service", place.root, "--json").stdout)
    assert content["found"]["CdTe/v_Cd_0"]["energy"] == -101.5


def test_a_run_that_has_not_ended_is_shown(place, note):
    note(ended=False)
    text = run("show", "tellurides", "--service", place.root).stdout
    assert " to …: not ended: it runs, or was killed\n" in text


def test_control_characters_of_names_are_shown_and_not_obeyed(place, note):
    note(hosts=[HostEntry("/x/a\x1b[2J\nb.cif", "lost", message="HostError: a\x07")], found={"a\x1b[2J/v": NOTHING})
    text = run("show", "tellurides", "--service", place.root).stdout
    assert not {"\x1b", "\x07"} & set(text)
    assert r"  /x/a\x1b[2J\nb.cif: could not be searched: HostError: a\x07; units" in text


def test_two_runs_are_compared_in_settings_and_results(place, note):
    note(found={"CdTe/v_Cd_0": NOTHING, "CdTe/v_Te_0": NOTHING})
    note(found={"CdTe/v_Cd_0": TRIMER, "CdTe/v_Te_0": NOTHING, "CdSe/v_Se_0": UNKNOWN}, budget={"core_hours": 5})
    result = run("compare", "tellurides@1", "tellurides", "--service", place.root)
    assert result.stdout.splitlines() == [
        "settings: ",
        "  budget.core_hours: None → 5.0",
        "results: ",
        "  CdTe/v_Cd_0: no new bonds, -100.000 eV (HSE06 (VASP)) → Te trimer, -101.500 eV, -1.500 eV against Unperturbed "
        "(HSE06 (VASP))",
        "  CdSe/v_Se_0: not searched → no ground state yet",
    ]
    same = run("compare", "tellurides@2", "tellurides@2", "--service", place.root).stdout
    assert same.splitlines() == ["settings: the same", "results: the same"]
    content = json.loads(run("compare", "tellurides@1", "tellurides@2", "--service", place.root, "--json").stdout)
    assert content["settings"] == {"budget.core_hours": [None, 5.0]}
    assert content["results"]["CdSe/v_Se_0"] == [
        None,
        {"motif": "", "energy": None, "energy_lowering": None, "level_of_theory": None},
    ]


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("selenides", "selenides: no campaign of this name was run in"),
        ("../x", "../x: no campaign of this name was run in"),
        ("tellurides@3", "tellurides: has no run 3; there are: 1"),
        ("tellurides@0", "has no run 0"),
        ("tellurides@", "after @ comes the number of a run, e.g. tellurides@1"),
        ("tellurides@-1", "after @ comes the number of a run"),
        ("tellurides@1@2", "after @ comes the number of a run"),
        ("tellurides@²", "after @ comes the number of a run"),
    ],
)
def test_runs_that_there_are_not_are_bad_input(place, note, which, words):
    note()
    for arguments in (("show", which), ("compare", "tellurides", which)):
        result = run(*arguments, "--service", place.root)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


@pytest.mark.parametrize(("failed", "code"), [(False, 0), (True, 1)])
def test_a_campaign_that_is_run_says_how_it_ended(place, monkeypatch, failed, code):
    asked = []
    monkeypatch.setattr(
        "flows.campaigns.start.run_here", lambda *given: asked.append(given) or ("Ended", "words", failed)
    )
    (place.root / "tellurides.yaml").write_text("hosts: [CdTe.cif]\n")
    result = run("campaign", "run", place.root / "tellurides.yaml", "--service", place.root)
    assert (result.exit_code, result.stdout) == (code, "Ended: words\n")
    ((campaign, root),) = asked
    assert (campaign.hosts, root) == ([str(place.root / "CdTe.cif")], place.root)


def test_a_campaign_that_is_stopped_is_interrupted_and_a_bad_file_refused(place, monkeypatch):
    def stopped(*_):
        raise StoppedError("stopped on request, 3 left")

    monkeypatch.setattr("flows.campaigns.start.run_here", stopped)
    (place.root / "tellurides.yaml").write_text("hosts: [CdTe.cif]\n")
    result = run("campaign", "run", place.root / "tellurides.yaml", "--service", place.root)
    assert (result.exit_code, result.stdout) == (130, "")
    (place.root / "tellurides.yaml").write_text("hosts: [")
    assert run("campaign", "run", place.root / "tellurides.yaml", "--service", place.root).exit_code == 2
    assert run("campaign", "submit", place.root / "tellurides.yaml", "--service", place.root).exit_code == 2


def test_a_campaign_is_submitted_only_if_all_files_are_good(place, monkeypatch):
    asked = []
    monkeypatch.setattr("flows.campaigns.start.submitted", lambda one, _: asked.append(one.name) or f"{one.name}: ok")
    good, bad = place.root / "good.yaml", place.root / "bad.yaml"
    good.write_text("hosts: [CdTe.cif]\n")
    bad.write_text("nonsense: 1\n")
    assert run("campaign", "submit", good, bad, "--service", place.root).exit_code == 2
    assert asked == []
    result = run("campaign", "submit", good, "--service", place.root)
    assert (result.exit_code, result.stdout) == (0, "good: ok\n")


def test_the_folder_of_the_group_may_be_in_the_environment(place, note, monkeypatch):
    note()
    monkeypatch.setenv("DEFECT_SURROGATE_SERVICE", str(place.root))
    assert "tellurides" in run("list").stdout
    assert logging.getLogger("flows").handlers
