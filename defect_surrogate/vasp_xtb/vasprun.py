"""vasprun.xml: the parts that pymatgen, ASE and custodian read, written step by step.

A ``calculation`` stays open until the next ionic step or the normal end, because the last one carries the eigenvalues
and the density of states; the closing tags of the file come with the normal end only.
"""

import time
from collections.abc import Iterable
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from . import NATURE, VERSION
from .engine import Evaluation, tblite_version
from .incar import INTEGER_TAGS, REAL_TAGS, read_logical
from .inputs import Job
from .outcar import KILOBAR
from .poscar import Poscar

NEDOS = 301


class Vasprun:
    """Writer of one vasprun.xml.

    Parameters
    ----------
    file
        Open for writing; flushed and closed by its owner.
    job
        The run.
    """

    def __init__(self, file: TextIO, job: Job) -> None:
        self._file = file
        self._job = job
        self._last: tuple[np.ndarray, np.ndarray, Evaluation] | None = None

    def header(self) -> None:
        """Write what comes before the first ionic step, as far as it does not depend on the basis."""
        settings = self._job.settings
        self._lines(
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<modeling>",
            " <generator>",
            _item("program", NATURE),
            _item("version", VERSION),
            _item("subversion", f"{settings.method} by tblite {tblite_version()}"),
            _item("date", time.strftime("%Y %m %d")),
            _item("time", time.strftime("%H:%M:%S")),
            " </generator>",
            " <incar>",
            *(_incar_item(tag, value) for tag, value in settings.tags),
            " </incar>",
            *_kpoints(),
        )

    def ionic_step(self, positions: np.ndarray, cell: np.ndarray, evaluation: Evaluation) -> None:
        """Write an ionic step and leave its ``calculation`` open.

        Parameters
        ----------
        positions : (n, 3) array
            Fractional coordinates.
        cell : (3, 3) array
            Å.
        evaluation
            Energy, forces, stress.
        """
        poscar = self._job.poscar
        if self._last is None:
            self._lines(
                *_parameters(self._job, bands=len(evaluation.eigenvalues)),
                *_atominfo(self._job),
                *_structure(poscar, poscar.positions, poscar.cell, name="initialpos"),
            )
        else:
            self._lines(" </calculation>")
        self._last = (positions, cell, evaluation)
        self._lines(" <calculation>")
        for step in evaluation.steps:
            self._lines("  <scstep>", *_energy(step.energy), "  </scstep>")
        self._lines(
            *_structure(poscar, positions, cell, name=None),
            *_varray("forces", evaluation.forces),
            *_varray("stress", -evaluation.stress / KILOBAR),
            *_energy(evaluation.energy),
        )

    def finish(self) -> None:
        """Write eigenvalues, density of states, the final structure and the closing tags."""
        if self._last is not None:
            positions, cell, evaluation = self._last
            occupations = evaluation.occupations
            if self._job.settings.ispin == 1:
                occupations = occupations.mean(axis=0, keepdims=True)
            self._lines(
                *_eigenvalues(evaluation.eigenvalues, occupations),
                *_dos(evaluation.eigenvalues, spins=len(occupations), fermi=evaluation.fermi),
                " </calculation>",
                *_structure(self._job.poscar, positions, cell, name="finalpos"),
            )
        self._lines("</modeling>")

    def _lines(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")


def _item(name: str, value: str | int | float) -> str:
    """Return an ``i`` element with VASP's type attribute; a real number has none."""
    if isinstance(value, float):
        return f"  <i name={quoteattr(name)}> {value:.8f}</i>"
    kind = "int" if isinstance(value, int) else "string"
    return f'  <i type="{kind}" name={quoteattr(name)}> {escape(str(value))}</i>'


def _incar_item(tag: str, value: str) -> str:
    """Return an INCAR tag as read; one of an unknown type as a string."""
    words = value.split()
    if tag in INTEGER_TAGS and words:
        return _item(tag, int(words[0]))
    if tag in REAL_TAGS and words:
        return f'  <i name="{tag}"> {words[0].upper().replace("D", "E")}</i>'
    if value.upper() in (".TRUE.", ".FALSE.", "T", "F", "TRUE", "FALSE"):
        return f'  <i type="logical" name={quoteattr(tag)}> {"T" if read_logical(value) else "F"}</i>'
    return _item(tag, value)


def _kpoints() -> list[str]:
    return [
        " <kpoints>",
        '  <generation param="Gamma">',
        '   <v type="int" name="divisions">       1        1        1 </v>',
        '   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>',
        '   <v name="genvec1">      1.00000000       0.00000000       0.00000000 </v>',
        '   <v name="genvec2">      0.00000000       1.00000000       0.00000000 </v>',
        '   <v name="genvec3">      0.00000000       0.00000000       1.00000000 </v>',
        '   <v name="shift">      0.00000000       0.00000000       0.00000000 </v>',
        "  </generation>",
        *_varray("kpointlist", np.zeros((1, 3))),
        *_varray("weights", np.ones((1, 1))),
        " </kpoints>",
    ]


def _parameters(job: Job, *, bands: int) -> list[str]:
    """Return the values in force, defaults included; those without effect here are left out."""
    settings = job.settings
    values: dict[str, str | int | float] = {
        "SYSTEM": settings.system,
        "XTB_METHOD": settings.method,
        "XTB_MIN_WIDTH": settings.min_width,
        "ISPIN": settings.ispin,
        "ENMAX": settings.encut or 0.0,
        "EDIFF": settings.ediff,
        "NELM": settings.nelm,
        "NELMIN": 2,
        "ISMEAR": settings.ismear,
        "SIGMA": settings.sigma,
        "NELECT": job.nelect,
        "NUPDOWN": float(job.unpaired),
        "NBANDS": bands,
        "NSW": settings.nsw,
        "IBRION": settings.ibrion,
        "ISIF": settings.isif,
        "ISYM": settings.isym,
        "SYMPREC": settings.symprec,
        "POTIM": settings.potim,
        "EDIFFG": settings.ediffg,
        "PSTRESS": 0.0,
    }
    return [" <parameters>", *(_item(name, value) for name, value in values.items()), " </parameters>"]


def _atominfo(job: Job) -> list[str]:
    poscar = job.poscar
    atoms = zip(poscar.symbols, poscar.blocks, strict=True)
    types = zip(poscar.counts, poscar.species, job.potentials, strict=True)
    return [
        " <atominfo>",
        f"  <atoms> {len(poscar.symbols)} </atoms>",
        f"  <types> {len(poscar.species)} </types>",
        '  <array name="atoms">',
        '   <dimension dim="1">ion</dimension>',
        '   <field type="string">element</field>',
        '   <field type="int">atomtype</field>',
        "   <set>",
        *(f"    <rc><c>{symbol:2s}</c><c>{block:4d}</c></rc>" for symbol, block in atoms),
        "   </set>",
        "  </array>",
        '  <array name="atomtypes">',
        '   <dimension dim="1">type</dimension>',
        '   <field type="int">atomspertype</field>',
        '   <field type="string">element</field>',
        "   <field>mass</field>",
        "   <field>valence</field>",
        '   <field type="string">pseudopotential</field>',
        "   <set>",
        *(
            f"    <rc><c>{count:4d}</c><c>{symbol:2s}</c><c>{atomic_masses[atomic_numbers[symbol]]:16.8f}</c>"
            f"<c>{potential.zval:16.8f}</c><c>  {escape(potential.header)}</c></rc>"
            for count, symbol, potential in types
        ),
        "   </set>",
        "  </array>",
        " </atominfo>",
    ]


def _structure(poscar: Poscar, positions: np.ndarray, cell: np.ndarray, *, name: str | None) -> list[str]:
    lines = [
        f" <structure name={quoteattr(name)}>" if name else " <structure>",
        "  <crystal>",
        *_varray("basis", cell),
        f'   <i name="volume"> {abs(np.linalg.det(cell)):16.8f} </i>',
        *_varray("rec_basis", np.linalg.inv(cell).T),
        "  </crystal>",
        *_varray("positions", positions),
    ]
    if poscar.mobile is not None:
        flags = ("".join(f"  {'T' if free else 'F'}" for free in row) for row in poscar.mobile)
        lines += ['  <varray type="logical" name="selective">', *(f"   <v>{row}</v>" for row in flags), "  </varray>"]
    return [*lines, " </structure>"]


def _varray(name: str, rows: Iterable[Iterable[float]]) -> list[str]:
    return [
        f"  <varray name={quoteattr(name)}>",
        *("   <v>" + "".join(f" {value:21.14f}" for value in row) + " </v>" for row in rows),
        "  </varray>",
    ]


def _energy(energy: float) -> list[str]:
    """Return the three energies of VASP, equal here."""
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return ["   <energy>", *(f'    <i name="{name}"> {energy:20.8f} </i>' for name in names), "   </energy>"]


def _eigenvalues(energies: np.ndarray, occupations: np.ndarray) -> list[str]:
    lines = [
        "  <eigenvalues>",
        "   <array>",
        '    <dimension dim="1">band</dimension>',
        '    <dimension dim="2">kpoint</dimension>',
        '    <dimension dim="3">spin</dimension>',
        "    <field>eigene</field>",
        "    <field>occ</field>",
        "    <set>",
    ]
    for spin, filling in enumerate(occupations, start=1):
        pairs = zip(energies, filling, strict=True)
        lines += [
            f'     <set comment="spin {spin}">',
            '      <set comment="kpoint 1">',
            *(f"       <r> {energy:12.6f} {occupation:10.6f} </r>" for energy, occupation in pairs),
            "      </set>",
            "     </set>",
        ]
    return [*lines, "    </set>", "   </array>", "  </eigenvalues>"]


def _dos(energies: np.ndarray, *, spins: int, fermi: float) -> list[str]:
    """Return the density of states as the increments of the number of levels on a grid."""
    grid = np.linspace(energies[0] - 1, energies[-1] + 1, NEDOS)
    levels = np.searchsorted(energies, grid) * (2.0 / spins)
    density = np.diff(levels, prepend=0.0) / (grid[1] - grid[0])
    rows = [f"       <r> {e:12.4f} {d:12.4f} {n:12.4f} </r>" for e, d, n in zip(grid, density, levels, strict=True)]
    lines = [
        "  <dos>",
        f'   <i name="efermi"> {fermi:16.8f} </i>',
        "   <total>",
        "    <array>",
        '     <dimension dim="1">gridpoints</dimension>',
        '     <dimension dim="2">spin</dimension>',
        "     <field>energy</field>",
        "     <field>total</field>",
        "     <field>integrated</field>",
        "     <set>",
    ]
    for spin in range(1, spins + 1):
        lines += [f'      <set comment="spin {spin}">', *rows, "      </set>"]
    return [*lines, "     </set>", "    </array>", "   </total>", "  </dos>"]
