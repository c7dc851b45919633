"""Which runs of a campaign the server is asked for."""

from types import SimpleNamespace

from prefect.client.schemas.objects import StateType

from flows.campaigns.queue import ended_count, open_runs, tags_of


def test_open_and_ended_runs_are_told_apart_by_every_state_there_is():
    asked = []
    client = SimpleNamespace(
        read_flow_runs=lambda flow_run_filter: asked.append(flow_run_filter) or ["run"],
        count_flow_runs=lambda flow_run_filter: asked.append(flow_run_filter) or 3,
    )
    assert open_runs(client, "tellurides") == ["run"]
    assert ended_count(client, "tellurides") == 3
    assert all(one.tags.all_ == tags_of("tellurides") == ["campaign:tellurides"] for one in asked)
    waiting, ended = (set(one.state.type.any_) for one in asked)
    assert waiting | ended == set(StateType)
    assert waiting & ended == set()
    assert {StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED} <= waiting
    assert {StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED} == ended
