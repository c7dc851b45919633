"""Reports of the real HSE06 search: analysed as it is, and as the full reference search that a surrogate is compared with."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Structure

from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import Level, Provenance, Relaxation, structure_digest
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.reports.schema import CampaignReport, FailureReport
from defect_surrogate.settings import MinimaSettings, SearchSettings
from defect_surrogate.vacancies import Vacancy

DIMER, TETRAHEDRON = "Bond_Distortion_-55.0%", "Unperturbed"
CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def relaxation(structure: Structure, energy: float, level: Level = "reference", **changes) -> Relaxation:
    theory = "CHGNet 0.3.0" if level == "surrogate" else "HSE06 (VASP)"
    plain = Relaxation(
        level=level,
        structure=structure,
        energy=energy,
        steps=30,
        converged=True,
        reason="converged",
        detail="max force 0.009 eV/Å",
        provenance=Provenance(
            theory, f"digest of {theory}", 100.0 if level == "reference" else 10.0, 31, (("x", "1"),)
        ),
    )
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="session")
def cdte(hse_search: Path) -> Host:
    bulk = Structure.from_file(hse_search / "bulk_POSCAR")
    unit_cell = Structure.from_file(hse_search / "host_primitive_POSCAR")
    return Host("CdTe", unit_cell, bulk, {"Cd": 2.0, "Te": -2.0}, "bulk_POSCAR", structure_digest(unit_cell))


@pytest.fixture(scope="session")
def v_cd(cdte: Host) -> Vacancy:
    ideal = cdte.supercell.copy()
    ideal.remove_sites([0])
    return Vacancy("CdTe", "v_Cd", 0, "Cd", 0, (0.0, 0.0, 0.0), ("Te",) * 4, (), 1, 2, ideal)


@pytest.fixture(scope="session")
def hse(hse_search: Path) -> dict[str, Relaxation]:
    """The 26 finished HSE06 relaxations by label."""
    energies = yaml.safe_load((hse_search / "vac_1_Cd_0.yaml").read_text())
    labels = {f"Bond_Distortion_{factor:.1%}": energy for factor, energy in energies["distortions"].items()}
    labels["Unperturbed"] = energies["Unperturbed"]
    return {
        label: relaxation(Structure.from_file(hse_search / label / "CONTCAR"), energy)
        for label, energy in labels.items()
    }


@pytest.fixture(scope="session")
def collapsed(hse: dict[str, Relaxation]) -> dict[str, Relaxation]:
    """A surrogate that ends every start in the tetrahedral structure, as the untuned force fields do."""
    structure = hse[TETRAHEDRON].structure
    return {label: relaxation(structure, -150.0 + 0.001 * i, "surrogate") for i, label in enumerate(sorted(hse))}


@dataclasses.dataclass(frozen=True)
class Case:
    campaign: CampaignReport
    structures: dict[str, Structure]


@pytest.fixture(scope="session")
def analysed(cdte: Host, v_cd: Vacancy, hse: dict[str, Relaxation]) -> Case:
    """What ``analyse`` reports."""
    settings = MinimaSettings()
    report = vacancy_report(
        v_cd,
        sampling_structures=len(hse),
        surrogate=None,
        reference=hse,
        oxidation_states=cdte.oxidation_states,
        settings=settings,
    )
    host = host_report(cdte, vacancies=[report])
    campaign = campaign_report([host], settings=None, minima=settings, versions={"x": "1"}, created=CREATED)
    return Case(campaign, minimum_structures(report, surrogate=None, reference=hse))


@pytest.fixture(scope="session")
def missed(cdte: Host, v_cd: Vacancy, hse: dict[str, Relaxation], collapsed: dict[str, Relaxation]) -> Case:
    """A full reference search beside a surrogate that misses the dimer, with every kind of trouble."""
    lowest = min(collapsed, key=lambda label: collapsed[label].energy)
    nan = float("nan")
    surrogate = dict(collapsed)
    surrogate["Bond_Distortion_-57.5%"] = relaxation(
        collapsed[lowest].structure, nan, "surrogate", converged=False, reason="diverged", detail="energy is nan"
    )
    reference = dict(hse)
    del reference["Bond_Distortion_-60.0%"]
    reference[f"{lowest}_from_surrogate"] = relaxation(hse[TETRAHEDRON].structure, hse[TETRAHEDRON].energy + 0.002)
    reference["Bond_Distortion_-55.0%"] = dataclasses.replace(
        reference["Bond_Distortion_-55.0%"],
        converged=False,
        reason="step limit",
        detail="300 steps, max force 0.02 eV/Å",
    )
    failures = [
        FailureReport("CdTe/v_Cd_0/Bond_Distortion_-60.0%/reference", "ReferenceRunError", "killed by signal 9")
    ]
    settings = SearchSettings(full_reference=True)
    report = vacancy_report(
        v_cd,
        sampling_structures=len(hse),
        dropped=["Bond_Distortion_60.0%"],
        surrogate=surrogate,
        reference=reference,
        full_reference=True,
        failures=failures,
        keys={("reference", "Unperturbed"): "ab" * 32},
        oxidation_states=cdte.oxidation_states,
        settings=settings.minima,
    )
    host = host_report(
        cdte, vacancies=[report], relaxation=relaxation(cdte.supercell, -300.0), relaxation_key="cd" * 32
    )
    campaign = campaign_report([host], settings=settings, minima=settings.minima, versions={"x": "1"}, created=CREATED)
    return Case(campaign, minimum_structures(report, surrogate=surrogate, reference=reference))
