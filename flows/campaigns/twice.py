"""A campaign that is started while it runs."""

import time

from defect_surrogate.errors import InputError
from flows.campaigns.folder import CampaignFolder
from flows.campaigns.history import read_history
from flows.campaigns.settings import Campaign

NOTED_WITHIN = 2.0
"""Seconds in which a run that has begun has noted its settings (our choice)."""


def runs_already(campaign: Campaign, folder: CampaignFolder) -> str:
    """Say that a campaign runs already.

    Parameters
    ----------
    campaign
        Resolved.
    folder
        Of the campaign; a process holds it.

    Returns
    -------
    str
        One sentence.

    Raises
    ------
    InputError
        If it runs with other settings.
    """
    wanted = campaign.model_dump(mode="json")
    for pause in (0.0, NOTED_WITHIN):
        time.sleep(pause)
        running = read_history(folder)[-1:]
        if running and running[0].campaign == wanted:
            return f"{campaign.name} runs already, as run {running[0].number}; this adds nothing to it."
    if not running:
        return f"{campaign.name} runs already; this adds nothing to it."
    raise InputError(
        f"{campaign.name}: runs with other settings (run {running[0].number}); wait for its end, end it with "
        f"defect-surrogate cancel {folder.path}, or choose another name"
    )
