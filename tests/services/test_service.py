"""The service of a group: its deployments, that runs of them begin and end, and what it does and tells by itself."""

import itertools
import json
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from group import COMMAND, Group
from tiny_search import wait_until

from flows.serve.place import client_environment, read_addresses
from tests.prefect_api import ask

pytestmark = pytest.mark.timeout(600)


TELL = "from flows.campaigns.events import tell"
DRAIN = "from prefect.events.worker import EventsWorker; EventsWorker.drain_all(timeout=20)"


class Receiver:
    """What a chat of a group would show: each message that is posted to an address."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append(json.loads(content)["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def group(tmp_path_factory) -> Iterator[Group]:
    with Group(tmp_path_factory.mktemp("group")) as group:
        yield group


@pytest.fixture(scope="module")
def deployments(group: Group) -> dict[str, dict]:
    return {one["name"]: one for one in group.ask("deployments/filter")}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def alerts(group: Group, receiver: Receiver, *more: str) -> None:
    command = [COMMAND, "alerts", "--webhook", receiver.address, "--service", str(group.root), *more]
    subprocess.run(command, env=group.environment, check=True, timeout=120, capture_output=True)


def runs_of(group: Group, flow: str) -> list[dict]:
    """Flow runs of a flow."""
    return group.runs(flows={"name": {"any_": [flow]}})


def ended(run: dict) -> bool:
    return run["state"]["type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


def within(group: Group, code: str) -> str:
    """Run some lines as a process that speaks with the service."""
    environment = group.environment | client_environment(group.root, read_addresses(group.root))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_flow_that_people_start_has_a_deployment(deployments):
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


def test_the_form_of_a_campaign_is_short_and_described(deployments):
    schema = deployments["campaign"]["parameter_openapi_schema"]
    assert schema["required"] == ["campaign"]
    campaign = schema["definitions"]["Campaign"]
    assert campaign["required"] == ["name"]
    for name, one in campaign["properties"].items():
        assert one.get("description") or name == "budget"
    assert "noon" in schema["definitions"]["Budget"]["description"]


def test_form_of_the_deployment_can_be_read(deployments):
    deployment = deployments["host-search"]
    assert "search" in deployment["tags"]
    assert "ground-state" in deployment["description"]
    schema = deployment["parameter_openapi_schema"]
    assert schema["required"] == ["source", "out"]
    assert "in Å" in schema["definitions"]["HostSettings"]["properties"]["min_image_distance"]["description"]
    assert schema["properties"]["source"]["description"].startswith("Path of a CIF")


def test_alloys_have_deployments_of_the_sweep_and_of_one_composition(deployments):
    found = [one for one in deployments.values() if "alloy" in one["tags"]]
    required = sorted(one["parameter_openapi_schema"]["required"] for one in found)
    assert required == [["composition", "out", "settings"], ["out", "settings"]]
    for one in found:
        schema = one["parameter_openapi_schema"]["definitions"]["AlloySettings"]
        assert "Element of the first end member" in schema["properties"]["sublattice"]["description"]


def test_nobody_is_answered_without_the_log_in_string(group):
    for password in ("", "group:wrong"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{group.api}/flow_runs/filter", {}, password)


def test_a_run_that_cannot_begin_says_why(group):
    """Of the deployment of a search, which is run to its end from the command line elsewhere."""
    parameters = json.dumps({"source": "absent.cif", "out": "runs/absent"})
    group.prefect("deployment", "run", "search-host/host-search", "--params", parameters)
    wait_until(lambda: [run for run in runs_of(group, "search-host") if ended(run)], seconds=120, what="it has ended")
    (run,) = runs_of(group, "search-host")
    assert run["state"]["type"] == "FAILED"
    assert "absent.cif" in run["state"]["message"]


def test_a_campaign_that_ends_with_failures_is_told_and_one_that_does_not_is_not(group, receiver):
    alerts(group, receiver)
    (group.root / "empty").mkdir()
    assert group.submit(group.campaign("quiet", folder=str(group.root / "empty"))).returncode == 0
    group.wait_for("quiet", "Nothing to do")
    broken = group.root / "hosts" / "broken.cif"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text('a "crystal" that is none\n')
    file = group.campaign("loud", folder=str(group.root / "hosts"))
    refused = group.submit(file)
    assert refused.returncode == 2  # no host can be used: refused before anything is queued
    assert "broken.cif" in refused.stderr
    (group.root / "campaigns" / "loud.yaml").write_text(file.read_text())  # every night it is run all the same
    group.prefect("deployment", "run", "nightly/nightly")
    group.wait_for("loud", "With failures")
    wait_until(lambda: receiver.messages, seconds=120, what="the message has come")
    assert [message.split(":")[0] for message in receiver.messages] == ["loud"]
    assert "broken" in receiver.messages[0]


def test_a_campaign_that_comes_no_farther_is_told(group, receiver):
    alerts(group, receiver, "--stalled-after", "0.01")
    within(group, f"{TELL}; tell('stuck', 'began', hosts=1); tell('done', 'began', hosts=1); {DRAIN}")
    within(group, f"{TELL}; tell('done', 'ended', message='all is well'); {DRAIN}")
    wait_until(lambda: receiver.messages, seconds=120, what="the message has come")
    assert receiver.messages == ["defect-surrogate.campaign.stuck has finished no unit for 0.01 h"]


STATES = """
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print(*[state.name for state in client.read_flow_run_states("{id}")])
"""


@pytest.fixture(scope="module")
def interrupted(group) -> Iterator[tuple[dict, list[str], list[str]]]:
    """A campaign that is killed, is resumed, and is then ended from the command line; with its states, and messages sent."""
    receiver = Receiver()
    alerts(group, receiver)
    group.host("CdTe")
    file = group.campaign("killed", hosts=["hosts/CdTe.vasp"], settings=group.slow_settings(4))
    assert group.submit(file).returncode == 0
    wait_until(group.reference_units, seconds=240, what="a reference unit")
    group.child("prefect.engine").kill()
    wait_until(lambda: the_run(group)["run_count"] == 2, seconds=180, what="it is begun again")
    there = len(group.reference_units())
    wait_until(lambda: len(group.reference_units()) > there, seconds=240, what="it goes on")
    group.slow_settings(60)  # so that it has not ended by itself before it is told to
    command = [COMMAND, "cancel", str(group.root / "campaigns" / "killed")]
    subprocess.run(command, env=group.environment, check=True, timeout=120, capture_output=True)
    group.wait_for("killed", "Cancelled", seconds=60)
    run = the_run(group)
    yield run, within(group, STATES.format(id=run["id"])).split(), receiver.messages
    receiver.close()


def the_run(group: Group) -> dict:
    (run,) = group.runs(flow_runs={"name": {"any_": ["killed"]}})
    return run


def test_a_run_that_is_killed_is_begun_again_once(interrupted):
    run, states, _ = interrupted
    assert run["run_count"] == 2
    again = ["Pending", "Submitting", "Running"]
    told = [name for name, _ in itertools.groupby(states)]  # a crash is told twice
    assert told == ["Scheduled", *again, "Crashed", "AwaitingRetry", *again, "Cancelled"]


def test_what_is_ended_on_request_is_cancelled_and_alarms_nobody(interrupted):
    _, states, messages = interrupted
    assert states[-1] == "Cancelled"
    assert messages == []


LOST_RUN = f"""
from datetime import timedelta
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.states import Running
from flows.serve.automations import set_automations

with get_client(sync_client=True) as client:
    set_automations(client, silent=timedelta(seconds=10))
    deployment = client.read_deployment_by_name("nightly/nightly")
    run = client.create_flow_run_from_deployment(deployment.id, name="lost", state=Running())
    emit_event(
        "prefect.flow-run.heartbeat",
        resource={{"prefect.resource.id": f"prefect.flow-run.{{run.id}}", "prefect.resource.name": "lost"}},
    )
{DRAIN}
"""


def test_a_run_that_says_no_more_that_it_lives_is_resumed(group):
    """As a node that went away with worker and flow run leaves it; the last test, since silence is short from here on."""
    within(group, LOST_RUN)
    group.wait_for("lost", "Completed", seconds=240)
    (run,) = group.runs(flow_runs={"name": {"any_": ["lost"]}})
    states = within(group, STATES.format(id=run["id"])).split()
    assert states[0] == "Running"
    assert states.index("Crashed") < states.index("AwaitingRetry") < states.index("Completed")
