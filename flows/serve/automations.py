"""What the Prefect server does by itself: it notices runs that died, resumes them, and tells people what needs them.

A flow run says every half minute that it lives. One that does not for minutes, in which a database that was away for one is
back, is marked as crashed, and a crashed run of a deployment is begun again: what is in the archive is not computed twice, and
``flows.resumed`` ends what keeps crashing. Messages are for a campaign that ends with failures, breaks, or comes no farther for
hours; all else is quiet.
"""

from datetime import timedelta
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import SecretStr

from defect_surrogate.errors import InputError
from defect_surrogate.relaxation import digest
from flows.campaigns.events import PREFIX
from flows.resumed import MOST_RUNS

SILENT = timedelta(minutes=5)
"""Without a sign of life for as long a flow run is taken for dead (our choice)."""
STALLED = timedelta(hours=12)
"""Without a finished unit for as long a campaign is taken for stalled: a long job, or a long queue, and a half (our choice)."""

SETTLED = timedelta(minutes=1)
"""From a crash until it is resumed: Prefect's worker tells each twice, before and after it has loaded the flow to see whether
it has hooks, which takes seconds, and longer on a busy machine; the second would undo it (our choice)."""
GOING_ON = ("Scheduled", "AwaitingRetry", "Pending", "Running", "Cancelling", "Cancelled", "Completed", "Failed")
"""States of a crashed run that somebody has seen to."""

RUN, TAG = "prefect.flow-run", "prefect.tag.defect-surrogate"
WEBHOOK = "defect-surrogate-alerts"
"""Name of the block with the address that messages are posted to."""

FAILED, BROKEN, STILL = (f"defect-surrogate: {what}" for what in ("ended with failures", "broke", "stalled"))
"""Names of the automations that send messages."""


def set_automations(client: SyncPrefectClient, *, silent: timedelta = SILENT) -> None:
    """Have the server mark flow runs that died as crashed, and resume those of deployments.

    Parameters
    ----------
    client
        Of the server; automations of an earlier version are replaced.
    silent
        Time without a sign of life after which a flow run is taken for dead.
    """
    ours = ResourceSpecification({"prefect.resource.id": TAG, "prefect.resource.role": "tag"})
    deployed = ResourceSpecification({"prefect.resource.role": "deployment"})
    runs = ResourceSpecification({"prefect.resource.id": f"{RUN}.*"})
    counts = [
        str(count) for count in range(1, MOST_RUNS + 1)
    ]  # none for what crashes before it runs: it would do so for ever
    begun = ResourceSpecification({"prefect.resource.id": f"{RUN}.*", "prefect.run-count": counts})
    _replace(
        client,
        AutomationCore(
            name="defect-surrogate: mark what died",
            description=f"A flow run that has not said for {silent / timedelta(minutes=1):g} min that it lives has crashed.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                match=runs,
                for_each={"prefect.resource.id"},
                after={f"{RUN}.heartbeat"},
                expect={f"{RUN}.*"},
                within=silent,
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="It says no more that it lives.")],
        ),
    )
    _replace(
        client,
        AutomationCore(
            name="defect-surrogate: resume what crashed",
            description="A crashed run of a deployment is begun again; finished units are not computed twice.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                match=begun,
                match_related=[ours, deployed],
                for_each={"prefect.resource.id"},
                after={f"{RUN}.Crashed"},
                expect={f"{RUN}.{state}" for state in GOING_ON},
                within=SETTLED,
            ),
            actions=[
                ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="Resumed after a crash.")
            ],
        ),
    )


def set_alerts(client: SyncPrefectClient, *, webhook: str | None, block: str | None, stalled: timedelta) -> None:
    """Have messages sent about campaigns that need somebody.

    Parameters
    ----------
    client
        Of the server; alerts that were set before are replaced.
    webhook
        Address that ``{"text": …}`` is posted to, as Slack, Mattermost and others take it.
    block
        Or a block of Prefect that sends messages, ``type/name``, e.g. ``sendgrid-email/group``.
    stalled
        Time without a finished unit after which a campaign is taken for stalled.

    Raises
    ------
    InputError
        If not one of both is given, or the server has no such block that sends messages.
    """
    if (webhook is None) == (block is None):
        raise InputError("alerts need either an address or a block of Prefect that sends messages")
    number = _saved_webhook(webhook) if webhook is not None else _block(client, str(block))
    campaigns = ResourceSpecification({"prefect.resource.id": f"{PREFIX}.*"})
    ended = {f"{PREFIX}.{what}" for what in ("ended", "ended-with-failures", "broke")}

    def action(words: str) -> ActionTypes:
        if webhook is not None:
            return CallWebhook(block_document_id=number, payload=f'{{"text": {{{{ ({words}) | tojson }}}}}}')
        return SendNotification(block_document_id=number, subject="defect-surrogate", body=f"{{{{ {words} }}}}")

    said = 'event.resource.name ~ ": " ~ event.payload.message'
    for name, event in ((FAILED, "ended-with-failures"), (BROKEN, "broke")):
        trigger = EventTrigger(posture=Posture.Reactive, match=campaigns, expect={f"{PREFIX}.{event}"})
        _replace(client, AutomationCore(name=name, trigger=trigger, actions=[action(said)]))
    hours = f"{stalled / timedelta(hours=1):g} h"
    still = f'firing.triggering_labels["prefect.resource.id"] ~ " has finished no unit for {hours}"'
    trigger = EventTrigger(
        posture=Posture.Proactive,
        match=campaigns,
        for_each={"prefect.resource.id"},
        after={f"{PREFIX}.began", f"{PREFIX}.progress"},
        expect={f"{PREFIX}.progress", *ended},
        within=stalled,
    )
    _replace(client, AutomationCore(name=STILL, trigger=trigger, actions=[action(still)]))


def _replace(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation, or update the one of its name; one that is the same stays, and knows what it waits for."""
    content = automation.model_dump(mode="json")
    for name in ("after", "expect", "for_each"):  # sets
        content["trigger"][name].sort()
    automation.description = f"{automation.description} ({digest(content)[:8]})".strip()
    there = client.read_automations_by_name(automation.name)
    if not there:
        client.create_automation(automation)
    elif there[0].description != automation.description:
        client.update_automation(there[0].id, automation)


def _saved_webhook(address: str) -> UUID:
    return UUID(str(Webhook(url=SecretStr(address)).save(WEBHOOK, overwrite=True)))


def _block(client: SyncPrefectClient, name: str) -> UUID:
    kind, _, own = name.partition("/")
    try:
        block = client.read_block_document_by_name(own, kind, include_secrets=False)
    except Exception as error:
        raise InputError(f"{name}: the Prefect server has no such block: {error}") from error
    if block.block_schema is None or "notify" not in block.block_schema.capabilities:
        raise InputError(f"{name}: is no block that sends messages, as those of slack-webhook or sendgrid-email are")
    return block.id
