"""Why a ground state was missed: what the surrogate makes of the structure that the full reference search found."""

from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.distortions import UNPERTURBED
from defect_surrogate.reconstruction import motif, new_anion_bonds
from defect_surrogate.reports.schema import HostReport, VacancyReport
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import Potential, relax

SAME = 0.01
"""eV within which two relaxations of one motif have ended in one minimum."""


def explain_miss(folder: Path, host: HostReport, vacancy: VacancyReport, potential: Potential) -> str:
    """Relax the missed ground state with the surrogate, and say where it goes and how high the surrogate holds it."""
    assert vacancy.full_reference_minima is not None
    assert vacancy.ground_state is not None
    if not vacancy.surrogate_minima:
        return f"**{host.name} {vacancy.name}.** No relaxation with the surrogate came to a minimum."
    missed, own = vacancy.full_reference_minima[0], vacancy.surrogate_minima[0]
    start = Structure.from_file(folder / missed.structure_file)
    (relaxation,) = relax([start], potential, settings=SurrogateSettings(force_tolerance=1e-3))
    ideal = Structure.from_file(folder / "structures" / host.name / "reference" / vacancy.name / UNPERTURBED / "POSCAR")
    reached = motif(new_anion_bonds(relaxation.structure, ideal=ideal, oxidation_states=host.oxidation_states))
    above = relaxation.energy - own.energy
    if not relaxation.rankable:
        end = f"does not come to a minimum ({relaxation.detail})"
    elif abs(above) < SAME and reached == own.motif:
        end = f"falls into its own lowest minimum, {own.motif}"
    elif above < 0:
        end = (
            f"ends in {reached}, {-above:.2f} eV lower than its own lowest minimum ({own.motif}), to which no start led"
        )
    else:
        end = f"ends in {reached}, {above:.2f} eV above its own lowest minimum ({own.motif})"
    higher = vacancy.ground_state.energy - missed.energy
    return (
        f"**{host.name} {vacancy.name}.** Missed: {missed.motif}, {higher:.2f} eV lower than "
        f"what was found ({vacancy.ground_state.motif}). Started from the missed structure the surrogate {end}."
    )
