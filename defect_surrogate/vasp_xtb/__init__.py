"""vasp-xtb: an executable with VASP's file contract and GFN1-xTB inside.

It reads POSCAR, INCAR, KPOINTS and POTCAR in the current directory and writes vasprun.xml, OUTCAR, OSZICAR,
CONTCAR, XDATCAR and VASP-like standard output, so that the reference level of theory has one code path with
and without a VASP licence. Energies, forces and stress are GFN1-xTB's (Grimme, Bannwarth, Shushkov 2017,
doi:10.1021/acs.jctc.7b00118), a self-consistent semi-empirical electronic-structure method, computed by tblite
at the Γ point. It is not VASP and says so in every file.

What an INCAR tag does here
---------------------------
``XTB_METHOD``
    ``GFN1-xTB`` (default) or ``GFN2-xTB`` (doi:10.1021/acs.jctc.8b01176). A tag of vasp-xtb, not of VASP.
``XTB_MIN_WIDTH``
    Smallest perpendicular width of the cell (Å) that is accepted, 10 by default. tblite samples Γ only, and an
    8-atom CdTe cell is 0.58 eV/atom away from the 64-atom one. The environment variable of the same name sets
    it too; the INCAR wins.
``EDIFF``
    tblite's SCC accuracy is min(EDIFF, 1e-4 eV) / 0.01 eV: its thresholds are then 1e-6 Hartree and 2e-5 e times
    this number. With VASP's default of 1e-4 eV the forces are within about 1e-6 eV/Å of the SCC limit.
``NELM``
    Largest number of SCC cycles. A step that reaches it is not converged; forces are then evaluated from the
    last density, a warning is written, and the run goes on, as in VASP.
``ISMEAR``, ``SIGMA``
    GFN-xTB is defined with Fermi occupations at 300 K, and that is kept, unless ISMEAR = −1 asks for Fermi
    smearing explicitly: then k_B·T = SIGMA.
``NELECT``
    The charge is the sum of the POTCAR's ZVAL minus NELECT.
``ISPIN``, ``NUPDOWN``
    With ISPIN = 2 and NUPDOWN ≥ 0 the number of unpaired electrons, otherwise 0 or 1 by the parity of the electron
    number. GFN-xTB is spin-restricted: MAGMOM has no effect.
``IBRION``, ``POTIM``
    −1: one evaluation. 1 (quasi-Newton): ASE's L-BFGS. 2 (conjugate gradient, a line-search method in VASP): ASE's
    BFGS with line search, which needs fewer evaluations than its conjugate gradient. 3 (damped): ASE's FIRE.
    POTIM scales the first step of 1 and 2, the time step of 3 and, below VASP's default of 0.5, the longest step
    of an atom, 0.2 Å. Should a line search fail, 1 takes over.
``NSW``, ``EDIFFG``
    Every force evaluation, trial steps included, is an ionic step, as in VASP. EDIFFG < 0: the largest norm of
    the force on an atom that may move, eV/Å, with ISIF = 3 also of a row of V·σ/N (stress as energy per
    atom, eV). EDIFFG > 0: the change of the energy between two ionic steps, eV. 0: NSW steps.
``ISIF``
    0, 1 and 2: ions; 3: ions and cell (ASE's FrechetCellFilter). Others are refused.
``ISYM``, ``SYMPREC``
    ISYM > 0, VASP's default of 2 too: forces, stress and steps are symmetrised (ASE's FixSymmetry, by spglib), so that
    rounding errors do not lower the symmetry of the start. ISYM ≤ 0 and selective dynamics: no symmetry.
``PSTRESS``
    Refused unless zero.
``ENCUT`` and every other tag
    Echoed; without effect.

Energies
--------
GFN-xTB's total energy is the Mermin free energy at the electronic temperature, and its forces are derivatives of
that. tblite does not give the entropy apart, so ``TOTEN``, ``energy without entropy`` and ``energy(sigma->0)`` are
the same number, and ``EENTRO`` is zero.
"""

VERSION = "0.2.0"
NATURE = "vasp-xtb: a GFN-xTB stand-in, not VASP"
