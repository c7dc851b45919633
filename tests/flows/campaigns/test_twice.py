"""What a campaign that is started while it runs is told."""

import pytest

from defect_surrogate.errors import InputError
from flows.campaigns import twice
from flows.campaigns.folder import ServiceFolder
from flows.campaigns.history import begin_entry
from flows.campaigns.settings import Campaign
from flows.campaigns.twice import runs_already


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(twice, "NOTED_WITHIN", 0.01)


@pytest.fixture
def folder(tmp_path):
    return ServiceFolder(tmp_path).campaign("tellurides")


CAMPAIGN = Campaign(name="tellurides", hosts=["CdTe.cif"])
OTHER = Campaign(name="tellurides", hosts=["CdTe.cif"], settings={"full_reference": True})


def test_the_same_campaign_is_told_its_run(folder):
    begin_entry(folder, OTHER, None)
    begin_entry(folder, CAMPAIGN, None)
    assert runs_already(CAMPAIGN, folder) == "tellurides runs already, as run 2; this adds nothing to it."


def test_other_settings_are_refused_with_a_way_out(folder):
    begin_entry(folder, OTHER, None)
    with pytest.raises(InputError, match=r"runs with other settings \(run 1\).*defect-surrogate cancel .*tellurides"):
        runs_already(CAMPAIGN, folder)


def test_where_nothing_can_be_read_it_is_said_without_a_number(folder):
    assert runs_already(CAMPAIGN, folder) == "tellurides runs already; this adds nothing to it."
