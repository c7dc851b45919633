"""A folder as a group has it: a campaign, searches, a sweep, damaged reports, hostile names, and much that is not served."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from defect_surrogate.reports.alloy import alloy_json, alloy_report, environment_report
from defect_surrogate.reports.alloy_schema import CompositionReport
from defect_surrogate.reports.files import campaign_json, write_report_files
from defect_surrogate.reports.overview import write_overview
from tests.defect_surrogate.reports.conftest import (  # noqa: F401  (fixtures)
    CREATED,
    Case,
    analysed,
    cdte,
    collapsed,
    hse,
    missed,
    v_cd,
)

HOSTILE = '"><img src=x onerror=alert(1)>\u202e\n' + "A" * 200
"""Of a folder, which may have 255 bytes."""
SCRIPT = "=<script>alert('1')</script>\u202e\"" + "B" * 300
"""Of a host, a vacancy, a motif."""
SECRET = "not to be served"


def named(case: Case, host: str, *, vacancy: str = "v_Cd_0", reference: str = "HSE06 (VASP)", **changes) -> Case:
    """The same search of another host."""
    (one,) = case.campaign.hosts
    (found,) = one.vacancies
    found = dataclasses.replace(found, name=vacancy, **changes)
    stand_in = "vasp-xtb" in reference
    one = dataclasses.replace(one, name=host, vacancies=(found,), reference=reference, reference_is_stand_in=stand_in)
    return Case(dataclasses.replace(case.campaign, hosts=(one,)), case.structures)


def write_run(folder: Path, case: Case) -> None:
    """Leave what a search leaves, and what must not be served."""
    write_report_files(case.campaign, folder, structures=case.structures)
    write_overview(case.campaign, folder)
    (folder / "report.html").write_text("<p>the report</p>")
    (folder / "run.json").write_text(json.dumps({"source": "host/CdTe.cif"}))
    for name in ("POTCAR", ".lock", "archive/units/CdTe/unit.json", "archive/campaign.json", "prefect/prefect.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SECRET)
    (folder / "minima" / ".hidden.vasp").write_text(SECRET)
    (folder / "minima" / "POTCAR").write_text(SECRET)


def write_sweep(folder: Path, case: Case) -> None:
    """Leave what the sweep of an alloy leaves, of one composition; another was lost."""
    (host,) = case.campaign.hosts
    rows = [
        environment_report(vacancy, host=host.name, realisation=1, groups={(host.name, "v_Cd"): "4 Te"})
        for vacancy in host.vacancies
    ]
    composition = CompositionReport("CdTe", {"Te": 1.0}, {"Te": 1.0}, 0.0, (30.0,), {}, {}, (), tuple(rows), 2)
    report = alloy_report(
        "Cd(Te,Se)",
        [composition],
        levels={"surrogate": "M3GNet", "reference": "GFN1-xTB (vasp-xtb, stand-in for VASP)"},
        lost={"CdSe": "ServiceError: gone"},
        versions={},
        created=CREATED,
    )
    folder.mkdir(parents=True)
    (folder / "alloy.json").write_text(alloy_json(report))
    (folder / "sweep.json").write_text("{}")
    (folder / "report.html").write_text("<p>the sweep</p>")
    write_run(folder / "compositions" / "CdTe", case)


@pytest.fixture(scope="session")
def outside(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "campaign.json").write_text(SECRET)
    (folder / "1.vasp").write_text(SECRET)
    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory, outside, analysed, missed) -> Path:  # noqa: F811
    root = tmp_path_factory.mktemp("service")
    hosts = root / "campaigns" / "tellurides" / "hosts"
    write_run(hosts / "CdTe", missed)
    write_run(hosts / "ZnTe", named(analysed, "ZnTe", energy_lowering=-0.01))
    (hosts / "PbTe").mkdir()
    (hosts / "PbTe" / "run.json").write_text("{}")
    write_run(root / "runs" / "hse", analysed)
    write_run(root / "runs" / "xtb", named(analysed, "CdTe", reference="GFN1-xTB (vasp-xtb, stand-in for VASP)"))
    write_sweep(root / "runs" / "sweep", named(missed, "CdTe-1"))
    hostile = named(analysed, SCRIPT, vacancy=SCRIPT, environment=SCRIPT)
    (root / "runs" / HOSTILE).mkdir()
    (root / "runs" / HOSTILE / "campaign.json").write_text(campaign_json(hostile.campaign))
    (root / "runs" / os.fsdecode(b"latin-\xe9")).mkdir()
    (root / "runs" / os.fsdecode(b"latin-\xe9") / "campaign.json").write_text(campaign_json(analysed.campaign))
    for name, text in (("old", '{"schema_version": 1}'), ("cut", '{"schema_ver'), ("binary", "\0")):
        (root / "runs" / name).mkdir()
        (root / "runs" / name / "campaign.json").write_text(text)
    (root / "runs" / "old" / "report.html").write_text("<p>an old report</p>")
    (root / "runs" / "bad-sweep").mkdir()
    (root / "runs" / "bad-sweep" / "alloy.json").write_text('{"schema_version": 1, "name": 7}')
    (root / "archive" / "units").mkdir(parents=True)
    (root / "archive" / "campaign.json").write_text(SECRET)
    (root / "secret.txt").write_text(SECRET)
    (root / "runs" / "link").symlink_to(root / "runs" / "hse")
    (root / "runs" / "out").symlink_to(outside)
    (root / "runs" / "hse" / "minima" / "out").symlink_to(outside)
    (root / "runs" / "hse" / "minima" / "out.vasp").symlink_to(outside / "1.vasp")
    (root / "runs" / "hse" / "summary.md").symlink_to(root / "secret.txt")
    return root
