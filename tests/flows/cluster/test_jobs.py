"""Job scripts of each batch system, as its users expect them, and what stands in them and what does not."""

import re
import stat
from pathlib import Path

import pytest

from defect_surrogate.errors import SettingsError
from flows.cluster.jobs import Place, batch_job
from flows.cluster.profile import ClusterProfile, read_profile

SNAPSHOTS = Path(__file__).parent / "snapshots"


def script(profile: ClusterProfile, level: str, folder: Path, **more) -> str:
    place = Place(folder)
    return batch_job(profile, level, place, scheduler="tls://10.1.2.3:8786", name=f"w-{level}-1", **more).job_script()


@pytest.mark.parametrize("scheduler", ["slurm", "pbs", "sge", "lsf"])
@pytest.mark.parametrize("level", ["surrogate", "reference"])
def test_job_scripts_are_those_written_from_the_manuals(templates, tmp_path, scheduler, level):
    """Directives in the snapshots were written from the manuals of sbatch, qsub (OpenPBS, Grid Engine) and bsub."""
    text = script(read_profile(templates / f"{scheduler}.yaml"), level, tmp_path)
    text = text.replace(str(tmp_path), "/shared/run/workers")
    text = re.sub(r"^\S+ -m distributed", "python -m distributed", text, flags=re.MULTILINE)
    assert text == (SNAPSHOTS / f"{scheduler}-{level}.sh").read_text()


def test_more_memory_is_asked_for_where_it_is_needed(templates, tmp_path):
    profile = read_profile(templates / "slurm.yaml")
    assert "#SBATCH --mem=190735M\n" in script(profile, "reference", tmp_path)
    assert "#SBATCH --mem=381470M\n" in script(profile, "reference", tmp_path, memory=profile.reference.more_memory)


def test_values_stand_quoted_and_the_users_own_lines_as_they_are(tmp_path):
    profile = ClusterProfile.model_validate(
        {
            "scheduler": "slurm",
            "reference": {
                "environment": {"NOTE": "$(id); echo 'x'"},
                "prologue": ["source /opt/site.sh && ulimit -s unlimited"],
            },
        }
    )
    text = script(profile, "reference", tmp_path)
    assert "export NOTE='$(id); echo '\"'\"'x'\"'\"''\n" in text
    assert "\nsource /opt/site.sh && ulimit -s unlimited\n" in text


def test_key_is_in_a_file_of_the_owner_and_in_no_script(templates, tmp_path):
    place = Place(tmp_path / "workers")
    place.make()
    key = place.folder / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    text = script(read_profile(templates / "slurm.yaml"), "reference", place.folder)
    assert "PRIVATE KEY" in key.read_text()
    assert not any(line in text for line in key.read_text().splitlines() if "-----" not in line)
    place.clean()
    assert not key.exists()


@pytest.mark.parametrize("name", ["my run", "a;b", "$(id)", "r'n", "a\nb"])
def test_hostile_folders_are_refused(templates, tmp_path, name):
    with pytest.raises(SettingsError, match="cannot stand in a job script"):
        script(read_profile(templates / "slurm.yaml"), "reference", tmp_path / name)


def test_ranks_on_several_nodes_are_shared_out_evenly(tmp_path):
    """By sbatch's manual ``--ntasks`` alone leaves that open, while ``--mem`` is of each node."""
    profile = ClusterProfile.model_validate({"scheduler": "slurm", "reference": {"nodes": 2, "ranks": 96}})
    assert "#SBATCH --ntasks-per-node=48\n" in script(profile, "reference", tmp_path)
