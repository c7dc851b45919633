"""Settings of a search: every choice a user can make, its default, and where the default comes from.

Unless a field says otherwise its default is that of Mosquera-Lois et al., npj Comput. Mater. 2024
(doi:10.1038/s41524-024-01303-9), Methods. Unknown keys are refused, so that a misspelt setting is an error and not a default.
"""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

HYBRID_INCAR: dict[str, str | int | float | bool] = {
    "ALGO": "Normal",
    "GGA": "PE",
    "LHFCALC": True,
    "HFSCREEN": 0.208,  # HSE06, doi:10.1063/1.2404663; the value the doped and ShakeNBreak authors use
    "AEXX": 0.25,
    "PREC": "Accurate",
    "ISMEAR": 0,
    "SIGMA": 0.05,
    "LREAL": "Auto",
    "ISPIN": 2,
    "LORBIT": 11,
    "LWAVE": False,
    "LCHARG": False,
    "NELM": 100,
}

DEFECT_INCAR: dict[str, str | int | float | bool] = HYBRID_INCAR | {
    "ENCUT": 350.0,
    "EDIFF": 1e-4,
    "EDIFFG": -0.01,
    "IBRION": 2,
    "ISIF": 2,
    "ISYM": 0,
    "NSW": 300,
    "PRECFOCK": "Fast",
}

HOST_INCAR: dict[str, str | int | float | bool] = HYBRID_INCAR | {
    "ENCUT": 585.0,
    "EDIFF": 1e-6,
    "EDIFFG": -1e-5,
    "IBRION": 2,
    "ISIF": 3,
    "NSW": 200,
}

SettingsT = TypeVar("SettingsT", bound="Section")

IncarValue = str | int | float | bool | list[int] | list[float]


class Section(BaseModel):
    """A section of a settings file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HostSettings(Section):
    """How the host crystal is prepared."""

    name: str | None = Field(
        None, description="Name in paths and reports; when absent that of the file, or the reduced formula of a POSCAR."
    )
    relax: bool = Field(True, description="Relax cell and ions of the host at the reference level first.")
    oxidation_states: dict[str, float] | None = Field(
        None, description="Oxidation state of each element; guessed from the composition when absent."
    )
    min_image_distance: float = Field(
        10.0, gt=0, le=50, description="Least distance between periodic images in the supercell, in Å."
    )
    min_atoms: int = Field(50, ge=1, description="Least number of atoms in the supercell (the default of doped).")
    force_cubic: bool = Field(False, description="Prefer a near-cubic supercell, as doped's option of this name.")
    max_atoms: int = Field(250, ge=1, description="Largest supercell accepted, in atoms; larger ones are refused.")


class VacancySettings(Section):
    """Which vacancies are searched."""

    elements: list[str] | None = Field(None, description="Elements to remove; all cations when absent.")
    charge: int = Field(0, ge=-8, le=8, description="Charge state of every vacancy, in units of e.")


class DistortionSettings(Section):
    """The ShakeNBreak sampling structures: 13 bond distortions, a dimer and the unperturbed structure by default."""

    increment: float = Field(0.1, gt=0, le=0.6, description="Step of the bond distortions between -60 % and +60 %.")
    dimer_bond_length: float | None = Field(
        2.0, gt=0.5, le=5.0, description="Length of the enforced dimer, in Å; no such start if null."
    )
    rattle_standard_deviation: float | None = Field(
        None, gt=0, le=1.0, description="Of the rattle, in Å; 10 % of the bulk bond length when absent."
    )
    seed: int = Field(42, ge=0, description="Each structure's own seed is derived from it and from its label.")


class SurrogateSettings(Section):
    """The force field and its convergence."""

    potential: str = Field(
        "chgnet", description="Name in the registry, or path of a checkpoint, from the folder of the settings file."
    )
    other_level_of_theory: bool = Field(
        False, description="Accept a model whose card says that it was made for another level than the reference's."
    )
    optimiser: Literal["FIRE", "FIRE, then L-BFGS"] = Field(
        "FIRE, then L-BFGS",
        description="FIRE alone, step for step as in ASE, or until forces are small, and L-BFGS for the rest: the same minima, "
        "seldom a lower one, in a third to a half of the evaluations. Our choice: the paper has FIRE.",
    )
    force_criterion: Literal["mean", "max"] = Field(
        "mean", description="Mean or maximum over atoms of the force norms."
    )
    force_tolerance: float = Field(1e-5, gt=0, le=1, description="Convergence threshold of the criterion, in eV/Å.")
    max_steps: int = Field(1500, ge=1, description="Most ionic steps of one relaxation.")
    frame_interval: int = Field(
        10, ge=1, description="Every how many steps a frame is kept (the first and the last always are)."
    )
    merge_basins: bool = Field(
        False,
        description="End a relaxation that has fallen into a basin in which two others of the same defect have converged. "
        "Which ones go to the end then depends on the order they run in.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Most structures that a worker relaxes as one batch; when absent one on a CPU, and on a GPU as many as its "
        "memory holds.",
    )


class MinimaSettings(Section):
    """When two relaxed structures are one local minimum, and how many minima are followed."""

    soap_cutoff: float = Field(5.0, gt=0, description="Radius of the SOAP descriptor of the defect site, in Å.")
    soap_n_max: int = Field(10, ge=1, description="Radial basis functions of the SOAP descriptor.")
    soap_l_max: int = Field(10, ge=0, description="Highest degree of the spherical harmonics of the descriptor.")
    soap_sigma: float = Field(1.0, gt=0, description="Width of the atomic Gaussians, in Å.")
    distance_threshold: float = Field(
        1e-3,
        gt=0,
        lt=2,
        description="Cosine distance below which two structures are one minimum. Our choice: the paper gives none.",
    )
    energy_tolerance: float = Field(
        0.05,
        gt=0,
        description="Energies within which two structures can be one minimum, in eV. Our choice: the paper gives none.",
    )
    most_relaxed: int | None = Field(
        None,
        ge=1,
        description="Minima of the surrogate that are relaxed at the reference level: a budget for each defect, spent on the "
        "lowest of each motif first. All, as in the paper, when absent.",
    )
    most_transferred: int = Field(
        1,
        ge=0,
        description="Of those that only the minima of other environments of an alloy led to, how many are relaxed on top, if "
        "there is a budget. Our choice.",
    )


class ReferenceSettings(Section):
    """VASP, or the licence-free stand-in ``vasp-xtb``, under custodian."""

    vasp_cmd: list[str] = Field(
        ["vasp-xtb"], min_length=1, description="Command of the executable, e.g. ['srun', 'vasp_std']."
    )
    vasp_gam_cmd: list[str] | None = Field(
        None,
        min_length=1,
        description="Command for what is calculated at Γ only, as defects are, e.g. ['vasp_gam']; vasp_cmd when absent.",
    )
    defect_incar: dict[str, IncarValue] = Field(
        {}, description="INCAR tags that change or add to the defaults for defects."
    )
    host_incar: dict[str, IncarValue] = Field(
        {}, description="INCAR tags that change or add to the defaults for hosts."
    )
    host_kpoint_density: int = Field(900, ge=1, description="Monkhorst-Pack mesh of the host, k-points per site.")
    potcar_functional: str = Field("PBE", description="pymatgen's name of the POTCAR set.")
    potcar_symbols: dict[str, str] = Field({}, description="POTCAR of an element, e.g. {Cd: Cd}; pymatgen's otherwise.")
    max_errors: int = Field(5, ge=1, description="Most corrections by custodian in one relaxation.")
    walltime: int | None = Field(
        None, ge=60, description="Most seconds of one relaxation, after which it is stopped; unlimited when absent."
    )

    @property
    def is_stand_in(self) -> bool:
        """Whether the executable is ``vasp-xtb``, which samples Γ only and is not VASP."""
        return any(Path(word).name == "vasp-xtb" for word in self.vasp_cmd)


class WorkerSettings(Section):
    """Where units are relaxed, and how often broken work is tried again."""

    cluster: str | None = Field(
        None,
        description="File of a cluster's profile, or folder of workers that defect-surrogate cluster start started; this "
        "machine when absent.",
    )
    surrogate: int = Field(
        2, ge=1, description="On this machine: single-threaded processes relaxing with the force field."
    )
    reference: int = Field(2, ge=1, description="On this machine: reference relaxations run at the same time.")
    retries: int = Field(2, ge=0, description="Further tries of a unit whose work broke by no fault of its own.")


class ReferenceSearchSettings(Section):
    """What any search has that relaxes vacancies at the reference level."""

    host: HostSettings = HostSettings()
    vacancies: VacancySettings = VacancySettings()
    distortions: DistortionSettings = DistortionSettings()
    reference: ReferenceSettings = ReferenceSettings()
    workers: WorkerSettings = WorkerSettings()


class SearchSettings(ReferenceSearchSettings):
    """All settings of the search of one host."""

    surrogate: SurrogateSettings = SurrogateSettings()
    minima: MinimaSettings = MinimaSettings()
    full_reference: bool = Field(
        False, description="Relax every sampling structure at the reference level too, and compare."
    )


class BulkSettings(Section):
    """Strained and rattled supercells of the host, each evaluated once at the reference level, for training."""

    configurations: int = Field(
        10, ge=0, le=1000, description="Of each host; the paper uses 5, 10 or 20 frames of each host's relaxation."
    )
    largest_strain: float = Field(
        0.04, gt=0, le=0.2, description="Each of the six components is drawn between minus and plus this. Our choice."
    )
    largest_rattle: float = Field(
        0.25,
        gt=0,
        le=1.0,
        description="Standard deviation of the displacements in the most rattled cell, in Å; none in the first. Our choice.",
    )
    seed: int = Field(42, ge=0, description="Each cell's own seed is derived from it and from its label.")


class BuildSettings(ReferenceSearchSettings):
    """All settings of ``build-dataset``: what is computed of each host, without a surrogate."""

    bulk: BulkSettings = BulkSettings()
    defects: bool = Field(
        True, description="Relax the sampling structures of the vacancies; bulk cells alone if false."
    )
    isolated_atoms: bool = Field(False, description="Evaluate an isolated atom of each element too.")
