"""A sweep by the real command line: killed with -9 in the middle and resumed, with one composition lost on the way."""

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from tiny_search import Search, wait_until

pytestmark = pytest.mark.timeout(600)

SETTINGS = {
    "alloy": {
        "end_members": ["CdTe.vasp", "CdSe.vasp"],
        "sublattice": "Te",
        "compositions": [0.25, 0.5],
    },
    "host": {"relax": False, "min_atoms": 1},
    "vacancies": {"elements": ["Cd"]},
    "neighbours": {"distortions": [-0.4]},
    "transfer": {"minima": 1},
    "surrogate": {"force_tolerance": 3e-2, "max_steps": 15},
    "surrogate_only": True,
    "compositions_at_once": 2,
    "workers": {"surrogate": 1},
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, cluster_crystal):
    """The folder of a sweep that was killed once and resumed, and what was relaxed before and after."""
    root: Path = tmp_path_factory.mktemp("sweep")
    selenide = cluster_crystal.copy()
    selenide.replace_species({"Te": "Se"})
    for name, structure in (("CdTe", cluster_crystal), ("CdSe", selenide)):
        structure.to(str(root / f"{name}.vasp"), fmt="poscar")
    (root / "sweep.yaml").write_text(yaml.safe_dump(SETTINGS))
    search = Search(root / "run", root / "CdTe.vasp", root / "sweep.yaml", root / "log")
    process = search.start("sweep", str(root / "sweep.yaml"), "--out", str(search.folder))
    wait_until(lambda: len(search.finished()) >= 4, seconds=240, what="four units finished")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = search.finished()
    process = search.resume()
    output = process.communicate(timeout=450)[0]
    return search, before, search.relaxed_now(), process.returncode, json.loads(output)


def test_nothing_is_computed_twice(sweep):
    search, before, relaxed, code, _ = sweep
    assert code == 0
    after = search.finished()
    assert len(before) >= 4
    assert {name: after[name] for name in before} == before
    assert relaxed == set(after) - set(before)


def test_every_environment_of_every_supercell_is_there(sweep):
    *_, report = sweep
    rows = report["rows"]
    assert {row["composition"] for row in rows} == {"CdTe0.75Se0.25", "CdTe0.5Se0.5"}
    for composition in report["compositions"]:
        assert sum(sum(one["sites"]) for one in composition["statistics"]) == 4
    assert all(row["bonds"] is not None for row in rows)
    assert all(row["transferred_structures"] + row["duplicates"] for row in rows if row["sites"] < 4)
    assert report["reference"] is None
    assert report["lost"] == {}


def test_pages_lead_to_each_other(sweep):
    search, *_ = sweep
    page = (search.folder / "report.html").read_text()
    for name in ("CdTe0.75Se0.25", "CdTe0.5Se0.5"):
        assert f'href="compositions/{name}/report.html#vacancy-0"' in page
        assert (search.folder / "compositions" / name / "report.html").is_file()


def test_a_lost_composition_does_not_end_the_others(sweep):
    """The folder of one composition becomes a file; the other is reported, and the exit code tells."""
    search, *_ = sweep
    lost = search.folder / "compositions" / "CdTe0.75Se0.25"
    lost.rename(search.folder / "aside")
    lost.write_text("in the way")
    process = search.resume()
    report = json.loads(process.communicate(timeout=450)[0])
    lost.unlink()
    (search.folder / "aside").rename(lost)
    assert process.returncode == 1
    assert list(report["lost"]) == ["CdTe0.75Se0.25"]
    assert {row["composition"] for row in report["rows"]} == {"CdTe0.5Se0.5"}
    assert search.relaxed_now() == set()


def test_report_and_status_look_only(sweep):
    search, *_ = sweep
    finished = search.finished()
    for command in ("report", "status"):
        process = search.start(command, str(search.folder), "--json")
        content = json.loads(process.communicate(timeout=450)[0])
        assert process.returncode == 0
        if command == "status":
            assert all(one["finished"] == one["total"] for one in content["counts"])
        else:
            assert content["lost"] == {}
    assert search.finished() == finished
