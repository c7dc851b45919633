"""prefect.yaml on a real server: registered, run by a process worker, and its artifacts read back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_search import SETTINGS, Search

from flows.service import LocalServer
from tests.prefect_api import ask

ROOT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).parent / "prefect")

pytestmark = pytest.mark.timeout(600)


class Api:
    """The API of a Prefect server, and Prefect's command line talking to it."""

    def __init__(self, url: str, password: str, home: Path) -> None:
        self._url, self._password = url, password
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment |= {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": password, "PREFECT_HOME": str(home)}

    def prefect(self, *arguments: str) -> None:
        """Run a command of Prefect in the root of the project."""
        command = [PREFECT, "--no-prompt", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def post(self, path: str, **content: object) -> list[dict]:
        """Ask the API for a list."""
        return ask(f"{self._url}/{path}/filter", content, self._password)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    server = LocalServer(tmp_path_factory.mktemp("server"))
    try:
        api = Api(server.wait(), server.password, tmp_path_factory.mktemp("client"))
        api.prefect("work-pool", "create", "defect-surrogate", "--type", "process")
        api.prefect("deploy", "--all")
        yield api
    finally:
        server.stop()


@pytest.fixture(scope="module")
def finished(api, tiny_search: Search):
    """The deployment run once: three surrogate relaxations of few steps, then the reference."""
    settings = SETTINGS | {"surrogate": {"max_steps": 5}, "reference": {"defect_incar": {"NSW": 0}}}
    parameters = {"source": str(tiny_search.host), "out": str(tiny_search.folder), "settings": settings}
    api.prefect("deployment", "run", "search-host/host-search", "--params", json.dumps(parameters))
    api.prefect("worker", "start", "--pool", "defect-surrogate", "--run-once")
    return tiny_search


def test_every_flow_that_people_start_has_a_deployment(api):
    deployments = {one["name"]: one for one in api.post("deployments")}
    names = {"host-search", "campaign", "nightly", "alloy-sweep", "composition-search", "dataset", "training"}
    assert set(deployments) == names
    for one in deployments.values():
        assert one["work_pool_name"] == "defect-surrogate"
        assert "defect-surrogate" in one["tags"]
        assert len(one["description"]) > 50
        assert one["global_concurrency_limit"]["limit"] in (1, 4)
        assert one["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    (schedule,) = deployments["nightly"]["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 20 * * *", "Etc/UTC")


def test_the_form_of_a_campaign_is_short_and_described(api):
    schema = next(one for one in api.post("deployments") if one["name"] == "campaign")["parameter_openapi_schema"]
    assert schema["required"] == ["campaign"]
    campaign = schema["definitions"]["Campaign"]
    assert campaign["required"] == ["name"]
    for name, one in campaign["properties"].items():
        assert one.get("description") or name == "budget"
    assert "noon" in schema["definitions"]["Budget"]["description"]


def test_form_of_the_deployment_can_be_read(api):
    deployment = next(one for one in api.post("deployments") if "search" in one["tags"])
    assert (deployment["name"], deployment["work_pool_name"]) == ("host-search", "defect-surrogate")
    assert "search" in deployment["tags"]
    assert "ground-state" in deployment["description"]
    schema = deployment["parameter_openapi_schema"]
    assert schema["required"] == ["source", "out"]
    assert "in Å" in schema["definitions"]["HostSettings"]["properties"]["min_image_distance"]["description"]
    assert schema["properties"]["source"]["description"].startswith("Path of a CIF")


def test_alloys_have_deployments_of_the_sweep_and_of_one_composition(api):
    found = [one for one in api.post("deployments") if "alloy" in one["tags"]]
    required = sorted(one["parameter_openapi_schema"]["required"] for one in found)
    assert required == [["composition", "out", "settings"], ["out", "settings"]]
    for one in found:
        schema = one["parameter_openapi_schema"]["definitions"]["AlloySettings"]
        assert "Element of the first end member" in schema["properties"]["sublattice"]["description"]


def test_run_has_readable_names_and_completes(api, finished):
    runs = {run["name"]: run["state"]["type"] for run in api.post("flow_runs")}
    assert runs["CdTe"] == "COMPLETED", runs
    assert runs["CdTe · 5 surrogate relaxations"] == "COMPLETED"
    names = {run["name"] for run in api.post("task_runs")}
    assert {"CdTe · v_Cd_0 · surrogate · Unperturbed and 2 more", "CdTe · v_Cd_0 · reference · Unperturbed"} <= names
    assert (finished.folder / "campaign.json").is_file()


def test_run_leaves_a_table_and_a_summary(api, finished):
    artifacts = {artifact["key"]: artifact for artifact in api.post("artifacts")}
    (row,) = json.loads(artifacts["vacancies-cdte"]["data"])
    assert row["vacancy"] == "CdTe/v_Cd_0"
    assert "GFN1" in artifacts["summary-cdte"]["data"]


def test_lines_of_the_search_reach_the_server(api, finished):
    messages = [log["message"] for log in api.post("logs", limit=200)]
    assert any("CdTe/v_Cd_0/Dimer/surrogate" in message and "steps" in message for message in messages), messages
