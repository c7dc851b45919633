"""Profiles: the templates are valid, and what a shell or a batch system would read as more than it says is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from defect_surrogate.errors import SettingsError
from flows.cluster.profile import ClusterProfile, ResourceClass, read_profile


@pytest.mark.parametrize("name", ["local", "slurm", "pbs", "sge", "lsf"])
def test_templates_are_valid_and_named_after_their_scheduler(templates, name):
    assert read_profile(templates / f"{name}.yaml").scheduler == name


def test_ranks_and_threads_stand_in_the_launcher(templates):
    asked = read_profile(templates / "slurm.yaml").reference
    assert asked.launcher_words == ("srun", "--ntasks=64", "--cpus-per-task=1")
    assert (asked.memory, asked.walltime, asked.more_memory) == (200 * 10**9, 86400, 400 * 10**9)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"queue": "cpu; rm -rf ~"}, "is not a name"),
        ({"queue": "--wrap=evil"}, "is not a name"),
        ({"account": "a\n#SBATCH --uid=0"}, "is not a name"),
        ({"modules": ["vasp $(id)"]}, "is not a name"),
        ({"directives": ["--constraint=a\nrm -rf ~"]}, "one line"),
        ({"environment": {"A B": "1"}}, "not the name of a variable"),
        ({"walltime": "24h"}, "HH:MM:SS"),
        ({"walltime": "00:01:00", "margin": 60}, "not less than walltime"),
        ({"ranks": 3, "nodes": 2}, "shared out evenly"),
        ({"memory": "4 GB", "more_memory": "4 GB"}, "not more than memory"),
        ({"memory": "many"}, "many"),
        ({"jobs": {"minimum": 3, "maximum": 2}}, "more than maximum"),
        ({"jobs": {"max": 2}}, "Extra inputs"),
        ({"launcher": ["srun", "{nodes}"]}, "nodes"),
        ({"gpu": 1}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key_and_value(tmp_path, changed, words):
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump({"scheduler": "slurm", "reference": changed}))
    with pytest.raises(SettingsError, match="reference") as refused:
        read_profile(path)
    assert words in str(refused.value)


def test_yaml_makes_no_objects(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("scheduler: !!python/object/apply:os.system ['touch /tmp/never']")
    with pytest.raises(SettingsError, match="cannot be read as YAML"):
        read_profile(path)


@given(days=st.integers(0, 30), hours=st.integers(0, 99), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_walltimes_are_read_as_they_are_written(days, hours, minutes, seconds):
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    text = f"{days}-{hours:02d}:{minutes:02d}:{seconds:02d}"
    if total < 60:
        with pytest.raises(ValidationError):
            ResourceClass(walltime=text, margin=0)
    else:
        assert ResourceClass(walltime=text, margin=0).walltime == total


@given(st.text())
def test_no_name_has_what_a_shell_reads(text):
    try:
        queue = ClusterProfile.model_validate({"reference": {"queue": text}}).reference.queue
    except ValidationError:
        return
    assert not set(queue) & set(" \t\n;&|`$<>(){}[]*?!~\\'\"#")
    assert queue[0].isalnum()
