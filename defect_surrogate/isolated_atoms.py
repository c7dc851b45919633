"""Isolated atoms, whose energies are the zero that a force field may count the energy of a crystal from.

A force field learns what is left of an energy once a constant for each element is taken away. With the energies of isolated
atoms for constants that rest is the cohesion, which stays finite where atoms are pulled apart.
"""

from pymatgen.core import Lattice, Structure

HOST = "atoms"
"""Name that stands for the host in the units of isolated atoms."""

LABEL = "Isolated"

BOX = 12.0
"""Å, edge of the cube. With GFN1-xTB no energy of S, Mg, Al, Pb and Zr is more than 1.1 meV from that in a cube of 16 Å."""


def isolated_atom(element: str) -> Structure:
    """Put an atom into the middle of a cube that is large enough.

    Parameters
    ----------
    element
        Its symbol.

    Returns
    -------
    Structure
        One site.
    """
    return Structure(Lattice.cubic(BOX), [element], [[0.5, 0.5, 0.5]])


def is_isolated_atom(unit: str) -> bool:
    """Whether a unit is that of an isolated atom.

    Parameters
    ----------
    unit
        Its name, e.g. ``atoms/Te/Isolated/reference``.

    Returns
    -------
    bool
        True if so.
    """
    host, _, label, _ = unit.split("/")
    return (host, label) == (HOST, LABEL)
