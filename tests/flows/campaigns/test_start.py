"""A campaign started from the command line: refused before anything is begun, and begun once."""

import contextlib
import json
import os
from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Completed, Failed

from defect_surrogate.errors import HeldError, InputError, ServiceError, SettingsError, StoppedError
from flows.campaigns import run, start, twice
from flows.campaigns.history import Entry, HostEntry, begin_entry
from flows.campaigns.start import end_waiting_runs, run_here, speak_with_service, submitted
from flows.lock import locked


@pytest.fixture
def here(monkeypatch):
    """A process whose campaigns need no server, and end as they are told."""

    def end_with(state):
        @contextlib.contextmanager
        def served(path, _cluster):
            with locked(path):
                pass
            yield SimpleNamespace(ready=contextlib.nullcontext)

        monkeypatch.setattr(start, "served", served)
        monkeypatch.setattr(run, "run_campaign", lambda *_, return_state: state)

    return end_with


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(twice, "NOTED_WITHIN", 0.01)


def entry(*hosts):
    return Entry(1, {}, "", "", None, hosts, {}, "")


@pytest.mark.parametrize(
    ("hosts", "failed"), [([HostEntry("a", "finished", 3)], False), ([HostEntry("a", "lost", message="x")], True)]
)
def test_what_became_of_a_campaign_is_what_its_flow_says(group, here, hosts, failed):
    group.host("CdTe")
    here(Completed(name="Ended", message="words", data=entry(*hosts)))
    assert run_here(group.campaign(), group.place.root) == ("Ended", "words", failed)


def test_one_that_another_has_begun_meanwhile_is_no_failure(group, here):
    group.host("CdTe")
    name, message = "Already running", "words"
    here(SimpleNamespace(name=name, message=message, is_cancelled=lambda: False, result=lambda: None))  # as Prefect's
    assert run_here(group.campaign(), group.place.root) == ("Already running", "words", False)


def test_what_a_campaign_broke_with_is_raised(group, here):
    group.host("CdTe")
    here(Failed(data=ServiceError("the cluster is gone")))
    with pytest.raises(ServiceError, match="the cluster is gone"):
        run_here(group.campaign(), group.place.root)


def test_one_that_is_ended_on_request_is_interrupted(group, here):
    group.host("CdTe")
    here(Cancelled(message="stopped on request, 3 left"))
    with pytest.raises(StoppedError, match="stopped on request, 3 left"):
        run_here(group.campaign(), group.place.root)


def test_one_that_runs_already_says_so_and_with_other_settings_is_refused(group, here):
    group.host("CdTe")
    here(None)
    begin_entry(group.folder(), group.campaign(), None)
    with locked(group.folder().path):
        name, message, failed = run_here(group.campaign(), group.place.root)
        assert (name, failed) == ("Already running", False)
        assert message.startswith("tellurides runs already, as run 1")
        with pytest.raises(InputError, match="runs with other settings"):
            run_here(group.campaign(hosts_at_once=2), group.place.root)
        with pytest.raises(HeldError), locked(group.folder().path):
            pass


def test_a_campaign_of_which_no_host_can_be_used_is_refused_with_all_faults(group, here):
    here(None)
    (group.hosts / "Aa.vasp").write_text("not a crystal")
    (group.hosts / "POSCAR").write_text("of no name")
    with pytest.raises(InputError, match=r"tellurides: no host can be used: POSCAR: hosts are named.*; .*Aa\.vasp"):
        run_here(group.campaign(), group.place.root)
    (group.hosts / "Aa.vasp").unlink()
    with pytest.raises(InputError, match="no host can be used: POSCAR"):
        run_here(group.campaign(), group.place.root)
    with pytest.raises(SettingsError, match="absent"):
        run_here(group.campaign(folder="absent"), group.place.root)


@pytest.mark.parametrize("bad", [True, False])
def test_one_host_that_can_be_used_or_an_empty_folder_is_enough(group, here, bad):
    here(Completed(name="Ended", message="words", data=entry()))
    if bad:
        (group.hosts / "Aa.vasp").write_text("not a crystal")
        group.host("Bb")
    assert run_here(group.campaign(), group.place.root) == ("Ended", "words", False)


def test_a_service_that_was_never_started_is_told_if_it_is_needed(tmp_path):
    speak_with_service(tmp_path, needed=False)
    assert "PREFECT_API_URL" not in os.environ
    with pytest.raises(ServiceError, match="no service was started there: defect-surrogate serve --service"):
        speak_with_service(tmp_path, needed=True)


def test_the_service_of_the_folder_is_spoken_with_unless_the_environment_names_another(tmp_path):
    addresses = {"api": "http://127.0.0.1:4200/api", "reports": "http://127.0.0.1:4201"}
    (tmp_path / "service.json").write_text(json.dumps(addresses))
    os.environ["PREFECT_API_URL"] = "http://elsewhere/api"
    speak_with_service(tmp_path, needed=True)
    assert os.environ["PREFECT_API_URL"] == "http://elsewhere/api"
    del os.environ["PREFECT_API_URL"]
    speak_with_service(tmp_path, needed=False)
    assert "PREFECT_API_URL" not in os.environ  # it was started once, and does not run now
    with locked(tmp_path):
        speak_with_service(tmp_path, needed=False)
    assert os.environ["PREFECT_API_URL"] == addresses["api"]
    assert os.environ["DEFECT_SURROGATE_REPORTS"] == addresses["reports"]


class Server:
    """In place of a Prefect server: flow runs by idempotency key, and those that have ended."""

    def __init__(self):
        self.runs, self.ended, self.cancelled = {}, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read_deployment_by_name(self, name):
        assert name == "run-campaign/campaign"
        return SimpleNamespace(id="deployment")

    def read_flow_runs(self, *, flow_run_filter, **_):
        wanted = flow_run_filter.state.type.any_
        if StateType.RUNNING in wanted or StateType.SCHEDULED in wanted:
            return [one for one in self.runs.values() if one not in self.ended]
        return [one for one in self.ended if StateType.COMPLETED in wanted]

    def set_flow_run_state(self, number, state, *, force):
        self.cancelled.append((number, state.name))

    def create_flow_run_from_deployment(self, _id, *, parameters, tags, work_queue_name, idempotency_key):
        new = SimpleNamespace(
            id=f"run-{len(self.runs)}", name="a name", parameters=parameters, tags=tags, queue=work_queue_name
        )
        new.state_id = f"ended-{new.id}"
        return self.runs.setdefault(idempotency_key, new)


@pytest.fixture
def server(monkeypatch):
    one = Server()
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: one)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    return one


def test_a_campaign_that_is_submitted_twice_waits_once_and_again_when_it_has_ended(group, server):
    group.host("CdTe")
    campaign = group.campaign(priority="high")
    assert submitted(campaign, group.place.root) == ("tellurides: submitted: http://127.0.0.1:4200/runs/flow-run/run-0")
    assert "waits or runs already: http://127.0.0.1:4200/runs/flow-run/run-0" in submitted(campaign, group.place.root)
    (there,) = server.runs.values()
    assert (there.queue, there.tags) == ("high", ["campaign:tellurides"])
    assert there.parameters == {"campaign": campaign.model_dump(mode="json")}
    with pytest.raises(InputError, match=r"waits or runs with other settings \(a name\)"):
        submitted(group.campaign(priority="low"), group.place.root)
    server.ended.append(there)
    assert submitted(campaign, group.place.root).endswith("run-1")


def test_one_that_was_started_from_the_form_is_not_begun_again(group, server):
    """There paths are meant from the folder of the group, and what is left out is not written out."""
    group.host("CdTe")
    asked = {"campaign": {"name": "tellurides", "folder": "hosts"}}
    server.runs["form"] = SimpleNamespace(id="form-run", name="a name", parameters=asked)
    assert "waits or runs already" in submitted(group.campaign(), group.place.root)
    assert list(server.runs) == ["form"]
    server.runs["form"].parameters = {"campaign": {"name": "tellurides", "folder": "hosts", "settings": "gone.yaml"}}
    with pytest.raises(InputError, match="waits or runs with other settings"):
        submitted(group.campaign(), group.place.root)


def test_what_waits_is_ended_with_a_campaign_and_nothing_of_another_folder(group, server, tmp_path):
    group.host("CdTe")
    submitted(group.campaign(), group.place.root)
    assert end_waiting_runs(group.folder().path) == 0  # it was never run: no folder of a campaign
    begin_entry(group.folder(), group.campaign(), None)
    assert end_waiting_runs(tmp_path) == 0
    assert end_waiting_runs(group.folder().path) == 1
    assert server.cancelled == [("run-0", "Cancelled")]


def test_a_campaign_is_ended_without_a_server_too(group, monkeypatch, caplog):
    begin_entry(group.folder(), group.campaign(), None)
    assert end_waiting_runs(group.folder().path) == 0
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert end_waiting_runs(group.folder().path) == 0
    assert "a run of tellurides that waits there will begin" in caplog.text


def test_a_server_that_does_not_answer_is_told_by_its_address(group, monkeypatch):
    group.host("CdTe")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(ServiceError, match=r"no Prefect server answers at http://127\.0\.0\.1:9/api"),
    ):
        submitted(group.campaign(), group.place.root)
