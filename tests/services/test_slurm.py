"""Campaigns through a real Slurm: end to end, and under faults of jobs, nodes, daemons and drivers.

All faults, each in a campaign of its own, are injected by benchmarks/faults.py.
"""

import contextlib
import json
import subprocess

import psutil
import pytest
import yaml
from campaigns import Campaign, campaign, until
from harm import HARM, kill_driver
from slurm import Slurm
from tiny_search import COMMAND, SETTINGS, Search

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as one:
        yield one


@contextlib.contextmanager
def environment(variables):
    """Have variables for what is started."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def make(tmp_path, slurm, cluster_crystal):
    """Makes campaigns on it, and ends what is left of them."""
    made = []

    def new(**options) -> Campaign:
        made.append(campaign(tmp_path / f"campaign-{len(made)}", slurm, cluster_crystal, **options))
        return made[-1]

    yield new
    for one in made:
        for process in one.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


def whole(one: Campaign, driver) -> None:
    """Nothing is lost, computed twice, believed wrongly, or left behind."""
    assert one.wait(driver) == 0, one.log[-3000:]
    assert one.tally() == {"lost": 0, "twice": 0, "believed_wrong": 0}, one.log[-3000:]
    until(lambda: not one.jobs() and not one.processes() and not one.executables(), "no job and no process", 60)


def test_a_search_runs_in_two_partitions_and_leaves_no_job_when_it_is_cancelled(tmp_path, slurm, cluster_crystal):
    profile = campaign(tmp_path, slurm, cluster_crystal, cells=0).root / "cluster.yaml"
    content = yaml.safe_load(profile.read_text())
    content["surrogate"] = content["reference"] | {"queue": "gpu", "memory": "2 GB", "jobs": {"maximum": 1, "idle": 5}}
    profile.write_text(yaml.safe_dump(content))
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(SETTINGS))
    search = Search(tmp_path / "run", tmp_path / "cluster.vasp", tmp_path / "search.yaml", tmp_path / "log")
    partitions = set()

    def jobs():
        found = [line.split("|") for line in slurm.run("squeue", "--noheader", "--format=%j|%P").splitlines()]
        partitions.update((name.removeprefix("defect-surrogate-"), partition) for name, partition in found)
        return found

    with environment(slurm.environment):
        driver = search.search("--cluster", str(profile))
        until(lambda: jobs() and search.finished(), "a finished unit")
        done = subprocess.run([*COMMAND, "cancel", str(search.folder)], capture_output=True, timeout=120, check=False)
        assert (done.returncode, driver.wait(timeout=30)) == (0, 130), search.log.read_text()
        until(lambda: not jobs() and not search.processes(), "no job and no process", 60)
        before = search.finished()
        driver = search.resume()
        until(lambda: jobs() is None or driver.poll() is not None, "the end", 240)
    assert driver.returncode == 0, search.log.read_text()
    assert partitions == {("surrogate", "gpu"), ("reference", "cpu")}
    assert {name: search.finished()[name] for name in before} == before
    (host,) = json.loads(driver.stdout.read())["hosts"]
    assert len(host["vacancies"][0]["relaxations"]) == len(search.finished())
    assert host["vacancies"][0]["failures"] == []
    until(lambda: not slurm.jobs(), "no job", 30)
    assert list(search.folder.rglob("*.pem")) == []


def test_one_campaign_lives_through_all_that_happens_to_it_in_a_month(make):
    one = make(cells=3 * len(HARM) + 6)
    driver, done = one.start(), 0
    for harm in HARM.values():
        done += 2
        one.wait_for(done, driver)
        harm(one)
    one.wait_for(done + 3, driver)
    before = set(one.finished())
    driver = kill_driver(one, driver)
    assert before <= set(one.finished())
    whole(one, driver)
    assert "tried again" in one.log
    assert "the process that holds the workers was lost; it is started again" in one.log
