"""Finished units for tests that look into an archive."""

from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.relaxation import Provenance, Relaxation, Unit


def publish(archive: Archive, unit: Unit, energy: float = -12.3456789, **changes) -> Structure:
    """Publish a unit that has relaxed to a neighbouring structure, and return that; its energy is in eV."""
    content = {"steps": 2, "converged": True, "reason": "converged", "detail": "", "frames": ()} | changes
    provenance = Provenance("GFN1-xTB (stand-in)", "method", 1.5, 3, (("tblite", "0.8.0"),), ())
    relaxed = unit.structure.copy().perturb(0.05, seed=1)
    archive.publish(unit, Relaxation(unit.level, relaxed, energy, provenance=provenance, **content))
    return relaxed
