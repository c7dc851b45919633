"""What the kernel says of processes that it killed for memory, as the files of both kinds of control groups say it."""

import pytest

from defect_surrogate.errors import MemoryExceededError, ReferenceInterruptedError
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import memory, reference_method, relax_with_vasp

EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Makes files of control groups, by their paths."""
    own = tmp_path / "own"
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN", own)

    def make(lines, files):
        own.write_text("\n".join(lines) + "\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return make


def test_version_two_counts_for_the_whole_job_of_slurm(groups):
    groups(
        ["0::/system.slice/slurmstepd.scope/job_17/step_batch/user/task_0"],
        {
            "system.slice/slurmstepd.scope/memory.events": EVENTS.format(99),
            "system.slice/slurmstepd.scope/job_17/memory.events": EVENTS.format(2),
            "system.slice/slurmstepd.scope/job_17/step_batch/user/task_0/memory.events": EVENTS.format(0),
        },
    )
    assert memory.processes_killed_for_memory() == 2


def test_version_one_counts_each_step_for_itself(groups):
    groups(
        ["9:pids:/", "4:memory:/slurm/uid_0/job_17/step_batch", "0::/"],
        {
            "memory/slurm/uid_0/job_17/memory.oom_control": CONTROL.format(0),
            "memory/slurm/uid_0/job_17/step_0/memory.oom_control": CONTROL.format(3),
            "memory/slurm/uid_0/job_18/memory.oom_control": CONTROL.format(50),
        },
    )
    assert memory.processes_killed_for_memory() == 3


def test_where_the_kernel_does_not_say_it_is_none(groups):
    assert memory.processes_killed_for_memory() == 0
    groups(["0::/user.slice", "4:memory:/user.slice"], {"user.slice/memory.events": EVENTS.format(7)})  # others' too
    assert memory.processes_killed_for_memory() == 0


@pytest.mark.parametrize(("more", "error"), [(0, ReferenceInterruptedError), (1, MemoryExceededError)])
def test_a_killed_run_needs_more_memory_if_the_kernel_killed_it(cluster_crystal, tmp_path, monkeypatch, more, error):
    counts = iter([4, 4 + more])
    monkeypatch.setattr("defect_surrogate.vasp.run.processes_killed_for_memory", lambda: next(counts))
    monkeypatch.setenv("VASP_XTB_FAULT", "killed@2")
    method = reference_method(cluster_crystal, ReferenceSettings(), cell="defect")
    with pytest.raises(error):
        relax_with_vasp(cluster_crystal, method, directory=tmp_path)
