"""Campaigns whose relaxations are made up: a whole one takes a moment, and all that was begun is known."""

import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prefect import State
from prefect.exceptions import CancelledRun

from defect_surrogate.crystal_files import name_from_source, read_crystal
from defect_surrogate.errors import ReferenceRunError, ServiceError
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import Unit, digest, structure_digest
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.reports.files import CAMPAIGN_FILE, campaign_json, replace_file
from flows import batches, relaxing
from flows.campaigns import events, hosts, run, summary
from flows.campaigns.folder import CampaignFolder, ServiceFolder
from flows.campaigns.history import Entry, read_history
from flows.campaigns.settings import Campaign, resolved
from flows.relaxing import relaxers
from flows.results import failures_of
from flows.work import Work, collected
from flows.workers import Outcome
from tests.flows.conftest import FakeCluster, made_up

RUN = run.run_campaign.fn

SURROGATE, REFERENCE = ("Unperturbed", "Dimer"), ("Unperturbed", "Dimer_from_surrogate", "Rattled_from_surrogate")
"""Labels of the units of a host at each level."""


class Workers:
    """In place of Dask's workers: two for each call of a relaxer, which make results up and keep a book.

    Attributes
    ----------
    begun
        Names of units, in the order in which they were begun.
    broken
        Names of units that break.
    flaky
        Names of units that break once.
    at_work
        Is called with each unit that was begun.
    """

    def __init__(self, archive):
        self.begun, self.broken, self.at_work = [], set(), lambda _work: None
        self.flaky, self._archive = set(), archive

    def outcomes(self, waiting, _submit):
        running = deque()
        try:
            while waiting or running:
                while len(running) < 2 and (group := waiting.take()) is not None:
                    self.begun.extend(work.unit.name for work in group)
                    running.append(group)
                if not running:
                    time.sleep(0.001)
                    yield None
                    continue
                group = running.popleft()
                error = self._done(group)
                waiting.ended(group, lost=False)
                yield Outcome(group, error)
        finally:
            for group in running:
                waiting.ended(group, lost=False)

    def _done(self, group):
        (work,) = group
        self.at_work(work)
        if work.unit.name in self.flaky:
            self.flaky.discard(work.unit.name)
            return ServiceError("its disk was away")
        if work.unit.name in self.broken:
            return ReferenceRunError("no energy")
        self._archive.publish(work.unit, made_up(work, -100.0))
        return None

    def with_options(self, *, task_runner):
        return self

    def __call__(self, batch, root, *_settings):
        return batches.relaxed(batch, root, None, most=1, workers=2)

    def taken(self, level="reference"):
        """Units of a level that were begun since this was asked for last, by host."""
        names = [name.split("/") for name in self.begun]
        self.begun = []
        return sorted(f"{host}/{label}" for host, _, label, own in names if own == level)


def searched(folder):
    """In place of the search of a host: two units with the surrogate, then three at the reference level."""
    folder.begin()
    name, (crystal, _) = name_from_source(folder.source), read_crystal(folder.source)
    asked = folder.settings.model_dump(mode="json")
    works = {
        level: [
            Work(Unit(name, "v_Cd_0", label, level, crystal, f"{digest(asked[level])} {label}")) for label in labels
        ]
        for level, labels in (("surrogate", SURROGATE), ("reference", REFERENCE))
    }
    with relaxers(folder, folder.settings.workers) as relax:
        found = collected(relax.surrogate(folder.settings.surrogate)(works["surrogate"]))
        found |= collected(relax.reference(works["reference"]))
    units = [work.unit for some in works.values() for work in some]
    failures = failures_of(units, folder.archive)
    host = Host(name, crystal, crystal, {"Cd": 2.0, "Te": -2.0}, "file", structure_digest(crystal))
    unfinished = len(units) - len(found) - len(failures)
    report = campaign_report(
        [host_report(host, vacancies=[], failures=failures, unfinished=unfinished)],
        settings=folder.settings,
        minima=folder.settings.minima,
        versions={},
        created=datetime.now(UTC),
    )
    replace_file(folder.path / CAMPAIGN_FILE, campaign_json(report))
    return report


class Group:
    """The folder of a group, with a folder of hosts that is watched.

    Attributes
    ----------
    workers
        All of its campaigns.
    events
        That its campaigns told Prefect: which, and its payload.
    artifacts
        That they left there: keys, and what they hold.
    """

    def __init__(self, root: Path, crystal):
        self.place, self._crystal = ServiceFolder(root), crystal
        (root / "hosts").mkdir(parents=True)
        self.archive = self.folder("any").archive
        self.workers = Workers(self.archive)
        self.events, self.artifacts = [], {}

    @property
    def hosts(self) -> Path:
        return self.place.root / "hosts"

    def folder(self, name="tellurides") -> CampaignFolder:
        return self.place.campaign(name)

    def host(self, name: str, size=12.0) -> Path:
        """Put a host into the folder; the size of its cell, in Å, makes it one of its own."""
        path = self.hosts / f"{name}.vasp"
        crystal = self._crystal.copy()
        crystal.scale_lattice(size**3)
        crystal.to(str(path), fmt="poscar")
        return path

    def campaign(self, name="tellurides", **content) -> Campaign:
        given = {"name": name} | ({} if "hosts" in content else {"folder": "hosts"}) | content
        return resolved(Campaign.model_validate(given), self.place.root)

    def file(self, name: str, **content) -> Path:
        """Write a campaign file that is run every night."""
        path = self.place.root / "campaigns" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"folder": "../hosts"} | content))
        return path

    def run(self, name="tellurides", *, try_again=True, **content) -> State:
        """Run a campaign to its end."""
        return RUN(self.campaign(name, **content), str(self.place.root), try_again)

    def last(self, name="tellurides") -> Entry:
        return read_history(self.folder(name))[-1]

    def states(self, name="tellurides") -> dict[str, str]:
        return {one.name: one.state for one in self.last(name).hosts}


def in_a_flow(*arguments, **options):
    """As Prefect calls the flow of a campaign in another one."""
    state = RUN(*arguments, **options)
    if state.is_cancelled():
        raise CancelledRun(state.message)
    return state


@pytest.fixture
def group(tmp_path, cluster_crystal, monkeypatch) -> Group:
    """A group without hosts, whose campaigns need neither a Prefect server nor workers."""
    one, lock = Group(tmp_path / "service", cluster_crystal), threading.Lock()

    def keep(content, key, *_):
        with lock:
            one.artifacts[key] = content

    monkeypatch.setattr(relaxing, "open_cluster", lambda *_, **__: FakeCluster())
    monkeypatch.setattr(relaxing, "relax_with_reference", one.workers)
    monkeypatch.setattr(relaxing, "relax_with_surrogate", one.workers)
    monkeypatch.setattr(batches, "outcomes", one.workers.outcomes)
    monkeypatch.setattr(batches, "batch_name", lambda: "units")
    monkeypatch.setattr(hosts, "search_in", searched)
    monkeypatch.setattr(hosts, "search_campaign_host", hosts.search_campaign_host.fn)
    monkeypatch.setattr(hosts, "publish_artifacts", lambda *_: None)
    monkeypatch.setattr(run, "run_campaign", in_a_flow)
    monkeypatch.setattr(summary, "create_markdown_artifact", keep)
    monkeypatch.setattr(summary, "create_table_artifact", keep)
    monkeypatch.setattr(events, "emit_event", lambda event, resource, payload: one.events.append((event, payload)))
    return one
