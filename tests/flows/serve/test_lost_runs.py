"""Flow runs whose processes live are told from those whose are gone."""

import os
import subprocess
import sys

from flows.serve.lost_runs import ENGINE, VARIABLE, living_runs


def test_the_process_of_a_flow_run_is_found_as_long_as_it_lives_and_what_it_started_is_not():
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    environment = os.environ | {VARIABLE: "0cee4ed5-573a-4ed0-ad1f-cc879ada2823"}
    engine = subprocess.Popen([*sleep, ENGINE], env=environment, stdout=subprocess.PIPE)
    worker = subprocess.Popen(sleep, env=environment, stdout=subprocess.PIPE)
    try:
        engine.stdout.readline()
        worker.stdout.readline()
        assert living_runs()[engine.pid] == environment[VARIABLE]
        assert worker.pid not in living_runs()
        engine.kill()
        engine.wait()
        assert engine.pid not in living_runs()
    finally:
        for process in (engine, worker):
            process.kill()
            process.wait()
            process.stdout.close()
