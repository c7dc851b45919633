"""The ASE database of finished units: a view for queries, made anew from the archive at will."""

import contextlib
import os
import uuid

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.archive.store import Archive


def reindex(archive: Archive) -> int:
    """Make the index anew from the finished units, verifying every file, and swap it in at once.

    Each row holds the relaxed structure, its energy in eV, and ``host``, ``defect``, ``label``, ``level``, ``key``,
    ``converged``, ``reason``, ``steps``, ``level_of_theory`` and ``directory`` to select by.

    Parameters
    ----------
    archive
        Where the units are, and where ``index.db`` goes.

    Returns
    -------
    int
        Number of units in the index.
    """
    temporary = archive.root / f"index-{uuid.uuid4().hex[:8]}.db"
    count = 0
    try:
        with connect(temporary, type="db") as database:
            for record in archive.records():
                host, defect, label, level = record.name.split("/")
                relaxation = record.relaxation
                atoms = AseAtomsAdaptor.get_atoms(relaxation.structure, msonable=False)
                if np.isfinite(relaxation.energy):
                    atoms.calc = SinglePointCalculator(atoms, energy=relaxation.energy)
                database.write(
                    atoms,
                    host=host,
                    defect=defect,
                    label=label,
                    level=level,
                    key=record.key,
                    converged=relaxation.converged,
                    reason=relaxation.reason,
                    steps=relaxation.steps,
                    level_of_theory=relaxation.provenance.level_of_theory,
                    directory=str(record.path.relative_to(archive.root)),
                )
                count += 1
        if count:
            os.replace(temporary, archive.root / "index.db")
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return count
