"""The entries of a report: bonds, minima, relaxations, methods, failures, and the comparison with the full search.

Part of the schema of ``campaign.json``; ``schema`` says the units and what null means.
"""

from dataclasses import dataclass
from typing import Literal

from defect_surrogate.reconstruction import Bond, motif_kind


@dataclass(frozen=True)
class BondReport:
    """A new anion–anion bond: shorter than the sum of covalent radii with a tolerance, absent from ideal and host.

    Attributes
    ----------
    elements
        Symbols of the two atoms, alphabetical.
    sites
        Indices of the two atoms in the structure.
    length
        Å.
    """

    elements: tuple[str, str]
    sites: tuple[int, int]
    length: float


@dataclass(frozen=True)
class MinimumReport:
    """A distinct minimum.

    Attributes
    ----------
    label
        Distortion whose relaxation has the lowest energy of the cluster.
    labels
        Every distortion that ended in this minimum, sorted.
    energy
        eV per supercell, at the level of the list the minimum is in.
    relative_energy
        Energy above the lowest minimum of the same list, eV.
    energy_to_unperturbed
        Energy minus that of the relaxed ``Unperturbed`` of the same level, eV, negative when lower; null without one.
    converged
        Whether the representative relaxation met its convergence criterion; null when that is not recorded.
    motif
        In words, e.g. ``Te–Te dimer, 2.76 Å`` or ``no new bonds``.
    bonds
        New anion–anion bonds.
    structure_file
        POSCAR of the minimum, relative to the run folder.
    """

    label: str
    labels: tuple[str, ...]
    energy: float
    relative_energy: float
    energy_to_unperturbed: float | None
    converged: bool | None
    motif: str
    bonds: tuple[BondReport, ...]
    structure_file: str

    @property
    def kind(self) -> str:
        """Its motif without lengths, e.g. ``Te trimer (chain)``, by which a budget takes turns."""
        return motif_kind(Bond(one.elements, one.sites, one.length) for one in self.bonds)


@dataclass(frozen=True)
class RelaxationReport:
    """One relaxation, in one line.

    Attributes
    ----------
    label
        Distortion of the starting structure.
    level
        ``surrogate`` or ``reference``.
    energy
        eV per supercell; null if diverged, or if no finite energy was reached.
    steps
        Ionic steps.
    converged
        Whether the criterion was met; null when that is not recorded.
    reason
        Why it stopped.
    detail
        The reason in numbers.
    seconds
        Wall time, s; null when not known.
    corrections
        What custodian changed, in words.
    method
        Digest of the method, as in ``methods``.
    key
        Key of the unit in the archive; null when the relaxation was not made by this software.
    """

    label: str
    level: Literal["surrogate", "reference"]
    energy: float | None
    steps: int
    converged: bool | None
    reason: str
    detail: str
    seconds: float | None
    corrections: tuple[str, ...]
    method: str
    key: str | None


@dataclass(frozen=True)
class MethodReport:
    """A way of relaxing that was used, and how often.

    Attributes
    ----------
    level
        ``surrogate`` or ``reference``.
    level_of_theory
        In words, e.g. ``HSE06 (VASP 6.4.2)``.
    digest
        Digest of all that decides a result besides the starting structure.
    versions
        Library or executable → version.
    relaxations
        How many relaxations were made with it.
    """

    level: Literal["surrogate", "reference"]
    level_of_theory: str
    digest: str
    versions: dict[str, str]
    relaxations: int


@dataclass(frozen=True)
class FailureReport:
    """A unit that has no result, and why.

    Attributes
    ----------
    unit
        Name of the unit, e.g. ``CdTe/v_Cd_0/Dimer/reference``.
    error
        Class of the error.
    message
        What it said.
    """

    unit: str
    error: str
    message: str


@dataclass(frozen=True)
class ComparisonReport:
    """Surrogate + reference against the full reference search of the same sampling structures.

    Attributes
    ----------
    full_reference_finished
        Relaxations of the full reference search that finished; it is at its end with as many as sampling structures.
    hit
        Whether surrogate + reference found an energy at most 0.05 eV above the lowest of the full reference search; null
        while one of the two is unfinished, but false once a finished surrogate + reference is known to have missed. A
        relaxation of surrogate + reference that broke has led nowhere.
    new_ground_state
        Whether it found one lower by more than 0.05 eV; null where ``hit`` is.
    energy_difference
        E(surrogate + reference) − E(full reference search), eV, from what has finished.
    full_reference_ground_state
        Label of the lowest relaxation of the full reference search.
    full_reference_motif
        Its motif.
    missed_motif
        Motif of the ground state that was missed; null unless ``hit`` is false.
    speedup
        Ratio t(full reference search) / (t(reference relaxations of the minima) + t(surrogate)); null when a time is not known
        or one of the two is unfinished or has a relaxation that broke.
    full_reference_seconds
        Sum of the wall times of the full reference search, s; null when not known.
    minima_reference_seconds
        Sum of the wall times of the reference relaxations of the surrogate minima, s; null when not known.
    """

    full_reference_finished: int
    hit: bool | None
    new_ground_state: bool | None
    energy_difference: float
    full_reference_ground_state: str
    full_reference_motif: str
    missed_motif: str | None
    speedup: float | None
    full_reference_seconds: float | None
    minima_reference_seconds: float | None
