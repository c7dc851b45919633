"""What the server of a group does by itself: a run that died is resumed, and messages are sent when somebody is needed."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from group import COMMAND, Group
from tiny_search import wait_until

from flows.serve.place import client_environment, read_addresses

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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def alerts(group: Group, receiver: Receiver, *more: str) -> None:
    command = [COMMAND, "alerts", "--webhook", receiver.address, "--service", str(group.root), *more]
    subprocess.run(command, env=group.environment, check=True, timeout=120, capture_output=True)


def within(group: Group, code: str) -> str:
    """Run some lines as a process that speaks with the service."""
    environment = group.environment | client_environment(group.root, read_addresses(group.root))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    environment = group.environment | client_environment(group.root, read_addresses(group.root))
    command = [sys.executable, "-m", "prefect", "deployment", "run", "nightly/nightly"]
    subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
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

STATES = """
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print(*[state.name for state in client.read_flow_run_states("{id}")])
"""


def test_a_run_that_says_no_more_that_it_lives_is_resumed(group):
    """As a node that went away with worker and flow run leaves it."""
    within(group, LOST_RUN)
    group.wait_for("lost", "Completed", seconds=240)
    (run,) = group.runs(flow_runs={"name": {"any_": ["lost"]}})
    states = within(group, STATES.format(id=run["id"])).split()
    assert states[0] == "Running"
    assert states.index("Crashed") < states.index("AwaitingRetry") < states.index("Completed")
