"""Five hundred short units under random faults, on a real Slurm on this machine.

    python benchmarks/soak.py

writes benchmarks/soak.md and .json. Each unit is a single point of vasp-xtb that first waits some seconds; its executable is
killed now and then. Faults of tests/services/harm.py strike one after the other until all units are there. Needs Slurm, munge
and root.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "services"), str(HERE.parent)]

import pytest  # noqa: E402
from campaigns import Campaign, campaign, until  # noqa: E402
from harm import HARM, kill_driver  # noqa: E402
from slurm import Slurm  # noqa: E402

from defect_surrogate.markdown import markdown_table  # noqa: E402
from tests.crystals import cubane_clusters  # noqa: E402

DRIVER = "driver killed with -9, resumed"
PAUSE = (10.0, 40.0)
"""Seconds from the end of one fault to the next."""
LAST = 6
"""Units at the end of a campaign that are left in peace, since there may be nothing to strike."""
EXECUTABLE = """#!/bin/bash
sleep $((3 + RANDOM % 5))
if ((RANDOM % 50 == 0)); then export VASP_XTB_FAULT=killed@1; fi
exec {executable} "$@"
"""


def soak(one: Campaign, chance: random.Random) -> dict:
    """Run a campaign to its end under faults, and count."""
    struck, missed, starts = Counter(), Counter(), 1
    began, driver = time.monotonic(), one.start()
    while (left := one.units - len(one.finished())) > 0:
        time.sleep(chance.uniform(*PAUSE))
        if driver.poll() is not None:
            driver, starts = one.start(), starts + 1
        if left < LAST:
            continue
        name = chance.choice([*HARM, DRIVER])
        try:
            if name == DRIVER:
                driver = kill_driver(one, driver)
            else:
                HARM[name](one)
            struck[name] += 1
        except (Exception, pytest.fail.Exception) as error:  # the campaign was not where this fault could strike
            missed[name] += 1
            sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        sys.stderr.write(f"{time.monotonic() - began:.0f} s: {len(one.finished())} of {one.units}; {name}\n")
    seconds, code = time.monotonic() - began, one.wait(driver, 600)
    until(lambda: not one.jobs() and not one.processes() and not one.executables(), "no job and no process", 120)
    return {
        "units": one.units,
        "minutes": round(seconds / 60, 1),
        **one.tally(),
        "starts_of_the_driver": starts + struck[DRIVER],
        "last_exit_code": code,
        "tried_again": one.log.count("tried again"),
        "failures_left": len(one.archive.failures()),
        "faults": dict(sorted(struck.items())),
        "faults_that_could_not_strike": dict(sorted(missed.items())),
    }


def main() -> None:
    """Soak, and write."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--units", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        root = Path(place)
        with Slurm(root / "slurm") as slurm:
            jobs = {"jobs": {"maximum": 4, "idle": 5}}
            one = campaign(root / "campaign", slurm, cubane_clusters(), cells=given.units, reference=jobs)
            executable = one.root / "vasp-xtb"
            executable.write_text(EXECUTABLE.format(executable=Path(sys.executable).parent / "vasp-xtb"))
            executable.chmod(0o755)
            one.change(reference={"vasp_cmd": [str(executable)]})
            result = soak(one, random.Random(given.seed))
            result["slurm"] = slurm.run("sinfo", "--version").split()[-1]
    names = ("prefect", "distributed", "dask-jobqueue", "custodian")
    result |= {"seed": given.seed, **{name: version(name) for name in names}}
    (HERE / "soak.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write(result)


def write(result: dict) -> None:
    """Write the page."""
    faults = [{"fault": name, "times": str(count)} for name, count in result["faults"].items()]
    missed = sum(result["faults_that_could_not_strike"].values())
    text = [
        "# Soak",
        "",
        f"    python benchmarks/soak.py --units {result['units']} --seed {result['seed']}",
        "",
        f"{result['units']} single points of vasp-xtb, 3 to 8 s each, on four jobs of a real Slurm on one machine, under "
        f"random faults for {result['minutes']:.0f} minutes. At the end **{result['lost']} units are lost**, "
        f"{result['twice']} were computed twice, {result['believed_wrong']} believed wrongly, "
        f"{result['failures_left']} are left as failed; no job and no process is left. The driver was started "
        f"{result['starts_of_the_driver']} times, its last exit code is {result['last_exit_code']}; "
        f"{result['tried_again']} times a unit was tried again. One run of the executable in fifty was killed besides.",
        "",
        *markdown_table(faults),
        "",
        f"{missed} faults found nothing to strike. prefect {result['prefect']}, distributed {result['distributed']}, "
        f"dask-jobqueue {result['dask-jobqueue']}, custodian {result['custodian']}, slurm {result['slurm']}.",
    ]
    (HERE / "soak.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
