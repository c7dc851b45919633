"""The reference level of theory: VASP's files in, custodian around the executable, VASP's files out.

VASP (doi:10.1103/PhysRevB.54.11169) and the licence-free stand-in ``vasp-xtb`` share this one code path; the
executable is named in the settings, and results of the two are never mixed: the stand-in runs only with stand-in
POTCARs, VASP only with a real POTCAR library, and what a file says about the program that wrote it decides over what
was asked for. custodian (https://materialsproject.github.io/custodian) watches each run and mends what can be mended
without changing the energy surface, since energies of one defect are compared with each other.
"""

from defect_surrogate.vasp.command import LARGE_FILES, Execution
from defect_surrogate.vasp.handlers import Limit
from defect_surrogate.vasp.inputs import (
    PotcarIdentity,
    ReferenceMethod,
    check_cell,
    check_executable,
    reference_method,
    write_inputs,
)
from defect_surrogate.vasp.parse import parse_run
from defect_surrogate.vasp.run import relax_with_vasp
from defect_surrogate.vasp.segments import interrupted_steps

__all__ = [
    "LARGE_FILES",
    "Execution",
    "Limit",
    "PotcarIdentity",
    "ReferenceMethod",
    "check_cell",
    "check_executable",
    "interrupted_steps",
    "parse_run",
    "reference_method",
    "relax_with_vasp",
    "write_inputs",
]
