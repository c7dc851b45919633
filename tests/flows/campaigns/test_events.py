"""What a campaign tells Prefect as it goes: not too often, and how it ended."""

import pytest
from prefect.exceptions import TerminationSignal

from defect_surrogate.errors import ServiceError, StoppedError
from flows.campaigns import events
from flows.campaigns.events import Progress, tell


@pytest.fixture
def told(monkeypatch):
    """Names of the events and their payloads."""
    every = []
    monkeypatch.setattr(events, "emit_event", lambda event, resource, payload: every.append((event, resource, payload)))
    return every


def test_an_event_names_its_campaign_as_a_resource(told):
    tell("tellurides", "began", hosts=3)
    ((name, resource, payload),) = told
    assert name == "defect-surrogate.campaign.began"
    assert resource["prefect.resource.id"] == "defect-surrogate.campaign.tellurides"
    assert payload == {"hosts": 3}


def test_signs_of_progress_are_rare_and_count_all_units(told, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    with Progress("tellurides") as progress:
        for second in range(1, 200):
            now[0] = float(second)
            progress.unit()
    assert [payload["units"] for _, _, payload in told] == [60, 120, 180]


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (ServiceError("the cluster is gone"), "broke", "ServiceError: the cluster is gone"),
        (KeyboardInterrupt(), "ended", "KeyboardInterrupt: "),
        (TerminationSignal(15), "ended", "TerminationSignal: 15"),
        (StoppedError("stopped on request"), "ended", "StoppedError: stopped on request"),
    ],
)
def test_what_ended_a_campaign_is_told_and_that_it_was_ended_is_no_break(told, error, name, message):
    with pytest.raises(type(error)), Progress("tellurides") as progress:
        progress.unit()
        raise error
    ((event, _, payload),) = told
    assert (event.rpartition(".")[2], payload) == (name, {"message": message, "units": 1})


def test_a_campaign_that_ends_by_itself_is_told_by_others(told):
    with Progress("tellurides"):
        pass
    assert told == []
