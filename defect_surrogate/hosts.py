"""Host crystals: read from a file or the Materials Project, checked, given oxidation states and a supercell.

The supercell is doped's (doi:10.21105/joss.06433): the smallest whose periodic images are ``min_image_distance`` apart, 10 Å
in Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9).
"""

import dataclasses
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from doped.core import guess_and_set_oxi_states_with_timeout
from doped.generation import get_ideal_supercell_matrix
from doped.utils.supercells import get_min_image_distance
from doped.utils.symmetry import get_primitive_structure
from pymatgen.core import Structure

from defect_surrogate.crystal_files import check_crystal, is_host_name, name_from_source, read_crystal
from defect_surrogate.errors import HostError
from defect_surrogate.quietly import quietly
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.settings import HostSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """A crystal whose vacancies are searched.

    Attributes
    ----------
    name
        Name in paths and reports.
    unit_cell
        Unit cell as read, or as relaxed.
    supercell
        Supercell without a vacancy, sites grouped by element.
    oxidation_states
        Mean oxidation state of each element, by symbol, units of e.
    source
        Name of the file, or Materials Project id, it was read from.
    digest
        Digest of the unit cell as read.
    """

    name: str
    unit_cell: Structure
    supercell: Structure
    oxidation_states: dict[str, float]
    source: str
    digest: str

    @property
    def cations(self) -> tuple[str, ...]:
        """Symbols of the elements with a positive oxidation state, sorted."""
        return tuple(sorted(element for element, state in self.oxidation_states.items() if state > 0))

    @property
    def anions(self) -> tuple[str, ...]:
        """Symbols of the elements with a negative oxidation state, sorted."""
        return tuple(sorted(element for element, state in self.oxidation_states.items() if state < 0))


def read_host(source: str | Path, settings: HostSettings) -> Host:
    """Read, check and prepare a host.

    Parameters
    ----------
    source
        Path of a CIF, POSCAR or CONTCAR, extended XYZ or pymatgen JSON file, plain or ``.gz``; or a Materials Project id such
        as ``mp-406``, which needs the ``mp`` extra and an API key.
    settings
        Name, oxidation states and supercell.

    Returns
    -------
    Host
        With the cell as read; ``host_with_relaxed_cell`` replaces it after the relaxation.

    Raises
    ------
    HostError
        If the file cannot be read or is too large; if a site is partly occupied, two atoms overlap, the volume per atom is
        absurd, there is no cation, oxidation states are missing, unbalanced or cannot be guessed, the name cannot be a
        folder's, or the supercell exceeds ``max_atoms``. The message names the file, the site and the value.
    """
    structure, source_name = read_crystal(source)
    check_crystal(structure, source_name)
    oxidation_states = _oxidation_states(structure, settings, source_name)
    structure.remove_oxidation_states()
    for site_property in list(structure.site_properties):
        structure.remove_site_property(site_property)
    name = settings.name
    if name is None:
        name = name_from_source(source) or structure.composition.reduced_formula
    if not is_host_name(name):
        raise HostError(
            f"{source_name}: {name!r} cannot name a host: give host.name letters, digits and . _ ( ) + -, at most 100, no '..'"
        )
    if len(structure) > settings.max_atoms:
        raise HostError(
            f"{source_name}: the cell has {len(structure)} atoms, more than host.max_atoms = {settings.max_atoms}"
        )
    return Host(
        name=name,
        unit_cell=structure,
        supercell=_supercell(structure, settings, name),
        oxidation_states=oxidation_states,
        source=source_name,
        digest=structure_digest(structure),
    )


def host_with_relaxed_cell(host: Host, relaxed: Structure, *, settings: HostSettings) -> Host:
    """Replace the cell of a host by its relaxed one.

    Parameters
    ----------
    host
        The host as read.
    relaxed
        Its unit cell or its supercell, relaxed; told apart by the number of sites.
    settings
        Supercell settings.

    Returns
    -------
    Host
        Same name, source, digest and oxidation states, with the relaxed cell.

    Raises
    ------
    HostError
        If ``relaxed`` has neither the sites of the unit cell nor those of the supercell, or its supercell exceeds
        ``max_atoms``.
    """
    if relaxed.composition == host.supercell.composition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unit_cell = get_primitive_structure(relaxed, symprec=0.01)
        return dataclasses.replace(host, unit_cell=unit_cell, supercell=relaxed.get_sorted_structure())
    if relaxed.composition == host.unit_cell.composition:
        return dataclasses.replace(host, unit_cell=relaxed, supercell=_supercell(relaxed, settings, host.name))
    raise HostError(
        f"{host.name}: the relaxed cell {relaxed.composition.formula} is neither the unit cell "
        f"{host.unit_cell.composition.formula} nor the supercell {host.supercell.composition.formula}"
    )


def guess_oxidation_states(structure: Structure) -> dict[str, float]:
    """Guess the mean oxidation state of each element as doped does.

    Parameters
    ----------
    structure
        A crystal without defects.

    Returns
    -------
    dict of str to float
        By symbol, units of e; empty if there is no guess.
    """
    with quietly():
        bare = structure.copy()
        bare.remove_oxidation_states()
        decorated = guess_and_set_oxi_states_with_timeout(bare, break_early_if_expensive=True)
    return _mean_states(decorated) if decorated else {}


def _oxidation_states(structure: Structure, settings: HostSettings, source: str) -> dict[str, float]:
    elements = sorted({site.specie.symbol for site in structure})
    counts = structure.composition.get_el_amt_dict()
    if settings.oxidation_states is not None:
        missing = [element for element in elements if element not in settings.oxidation_states]
        if missing:
            raise HostError(f"{source}: host.oxidation_states gives none for {', '.join(missing)}")
        states = {element: float(settings.oxidation_states[element]) for element in elements}
        origin = "as set"
    else:
        states, origin = _mean_states(structure), "as in the file"
        if not any(states.values()):
            states, origin = guess_oxidation_states(structure), "guessed"
    total = sum(states.get(element, 0.0) * counts[element] for element in elements)
    shown = ", ".join(f"{element} {states[element]:+g}" for element in elements if element in states)
    if len(states) < len(elements) or abs(total) > 0.01 * len(structure):
        raise HostError(
            f"{source}: oxidation states {origin} ({shown or 'none'}) do not balance (sum {total:+g} per cell); "
            "set host.oxidation_states"
        )
    if not any(state > 0 for state in states.values()):
        raise HostError(f"{source}: no cation: oxidation states {origin} are {shown}; set host.oxidation_states")
    logger.info("%s: oxidation states %s: %s", source, origin, shown)
    return states


def _mean_states(structure: Structure) -> dict[str, float]:
    states: dict[str, list[float]] = {}
    for site in structure:
        states.setdefault(site.specie.symbol, []).append(float(getattr(site.specie, "oxi_state", None) or 0.0))
    return {element: float(np.mean(values)) for element, values in sorted(states.items())}


def _supercell(structure: Structure, settings: HostSettings, name: str) -> Structure:
    if (
        get_min_image_distance(structure) >= settings.min_image_distance
        and settings.min_atoms <= len(structure) <= settings.max_atoms
    ):
        return structure.get_sorted_structure()
    with quietly():
        primitive = get_primitive_structure(structure, symprec=0.01)
        matrix = get_ideal_supercell_matrix(
            primitive,
            min_image_distance=settings.min_image_distance,
            min_atoms=settings.min_atoms,
            force_cubic=settings.force_cubic,
        )
    if matrix is None:
        raise HostError(f"{name}: doped found no supercell with images {settings.min_image_distance:g} Å apart")
    supercell = (primitive * np.rint(matrix).astype(int)).get_sorted_structure()
    if len(supercell) > settings.max_atoms:
        raise HostError(
            f"{name}: the supercell with images {settings.min_image_distance:g} Å apart has {len(supercell)} atoms "
            f"({len(primitive)} in the primitive cell), more than host.max_atoms = {settings.max_atoms}"
        )
    return supercell
