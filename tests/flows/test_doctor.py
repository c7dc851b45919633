"""What doctor says of things that are there and things that are not."""

import pytest

from flows.doctor import examine


def by_subject():
    return {check.subject: check for check in examine()}


def test_this_environment_can_search(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    checks = by_subject()
    for subject in ("Python", "torch", "prefect", "pymatgen", "vasp-xtb", "force field chgnet", "Prefect server"):
        assert checks[subject].state == "ok", checks[subject]


def test_every_miss_comes_with_advice(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    checks = by_subject()
    for subject in ("vasp_std", "vasp_gam", "vasp_ncl", "POTCARs", "scheduler", "force fields matgl:NAME"):
        assert checks[subject].state == "optional"
    assert all(check.advice for check in checks.values() if check.state != "ok")
    assert checks["vasp-xtb"].state == "ok"  # beside the running Python


@pytest.mark.parametrize("command", ["sbatch", "qsub", "bsub", "vasp_gam"])
def test_programs_on_the_path_are_seen(monkeypatch, tmp_path, command):
    program = tmp_path / command
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = by_subject()
    check = checks["vasp_gam" if command == "vasp_gam" else "scheduler"]
    assert check.state == "ok"
    assert command in check.found


def test_potcar_sets_are_named(monkeypatch, tmp_path):
    (tmp_path / "POT_GGA_PAW_PBE_54").mkdir()
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    assert by_subject()["POTCARs"].found.startswith("POT_GGA_PAW_PBE_54 in")
