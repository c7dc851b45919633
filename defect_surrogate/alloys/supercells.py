"""Supercells of an alloy at a composition: species on the mixing sublattice at random, or as a special quasirandom structure.

A special quasirandom structure (doi:10.1103/PhysRevLett.65.353) has, for its size, the pair correlations closest to those of
the random alloy. It is sqsgenerator's (doi:10.1016/j.cpc.2023.108664), by the first three shells of the sublattice.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from pymatgen.core import Element, Structure

from defect_surrogate.alloys.compositions import Composition
from defect_surrogate.alloys.end_members import Alloy, averaged_cell
from defect_surrogate.alloys.settings import AlloySettings
from defect_surrogate.errors import AlloyError
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import structure_digest

SQS_SHELLS = 3
"""Shells of the mixing sublattice whose pair correlations are brought to those of the random alloy, weighted by one over the
number of the shell, the default of sqsgenerator. Our choice."""

BALANCE = 0.01
"""Charge per atom, units of e, up to which oxidation states balance, as for hosts."""


@dataclass(frozen=True)
class AlloyHost:
    """A supercell of an alloy.

    Attributes
    ----------
    host
        As a host, named e.g. ``CdTe0.5Se0.5-1`` after composition and realisation.
    composition
        Its composition.
    realisation
        Its number, from 1.
    end_member_sites
        Index in the end members' supercells of each of its n sites.
    """

    host: Host
    composition: Composition
    realisation: int
    end_member_sites: tuple[int, ...]


def alloy_host(alloy: Alloy, composition: Composition, realisation: int, settings: AlloySettings) -> AlloyHost:
    """Make one supercell of a composition.

    Parameters
    ----------
    alloy
        The end members.
    composition
        What the mixing sublattice holds.
    realisation
        Number of the supercell, from 1.
    settings
        How species are arranged, and the seed, which is that of the sweep, of the composition and of the realisation.

    Returns
    -------
    AlloyHost
        In the averaged cell, sites grouped by element in the order of electronegativity, as VASP's files want them.

    Raises
    ------
    AlloyError
        If the oxidation states do not balance at this composition.
    """
    cell = averaged_cell(alloy, composition.fractions)
    symbols = [site.specie.symbol for site in cell]
    for index, symbol in zip(alloy.sites, _arranged(alloy, cell, composition, realisation, settings), strict=True):
        symbols[index] = symbol
    charge = sum(alloy.oxidation_states[symbol] for symbol in symbols)
    if abs(charge) > BALANCE * len(symbols):
        raise AlloyError(
            f"{composition.name}: oxidation states do not balance (sum {charge:+g} per supercell); set host.oxidation_states"
        )
    order = sorted(range(len(symbols)), key=lambda i: (Element(symbols[i]).X, symbols[i], i))
    supercell = Structure(cell.lattice, [symbols[i] for i in order], cell.frac_coords[order])
    host = Host(
        name=f"{composition.name}-{realisation}",
        unit_cell=supercell,
        supercell=supercell,
        oxidation_states={symbol: alloy.oxidation_states[symbol] for symbol in sorted(set(symbols))},
        source=", ".join(one.source for one in alloy.hosts),
        digest=structure_digest(supercell),
    )
    return AlloyHost(host, composition, realisation, tuple(order))


def _arranged(
    alloy: Alloy, cell: Structure, composition: Composition, realisation: int, settings: AlloySettings
) -> list[str]:
    """Return the species of each site of the mixing sublattice, in the order of the sites."""
    seed = _seed(settings.seed, f"{composition.name}/{realisation}")
    present = [(one, count) for one, count in zip(composition.species, composition.counts, strict=True) if count]
    if settings.structures == "SQS" and len(present) > 1:
        return _quasirandom(cell, alloy.sites, present, seed=seed, iterations=settings.sqs_iterations)
    species = [symbol for symbol, count in present for _ in range(count)]
    return [species[i] for i in np.random.default_rng(seed).permutation(len(species))]


def _quasirandom(
    cell: Structure, sites: Sequence[int], present: Sequence[tuple[str, int]], *, seed: int, iterations: int
) -> list[str]:
    from sqsgenerator import optimize  # noqa: PLC0415  (a compiled library that only this way of arranging needs)

    try:
        found = optimize(_sqs_request(cell, sites, present, seed=seed, iterations=iterations))
    except ValueError as error:  # of a cell without as many shells, say
        raise AlloyError(
            f"{cell.formula}: no special quasirandom structure: {error}; take a larger supercell"
        ) from error
    # which of the best comes first is left to chance, which are among them is not
    numbers = sorted(
        tuple(one.species) for objective, some in found if objective == found.best().objective for one in some
    )
    chosen = numbers[seed % len(numbers)]
    return [chemical_symbols[chosen[i]] for i in sites]


def _sqs_request(
    cell: Structure, sites: Sequence[int], present: Sequence[tuple[str, int]], *, seed: int, iterations: int
) -> dict[str, object]:
    """Say in sqsgenerator's words what is arranged, and how."""
    return {
        "structure": {
            "lattice": cell.lattice.matrix.tolist(),
            "coords": cell.frac_coords.tolist(),
            "species": [site.specie.symbol for site in cell],
        },
        "composition": [{"sites": list(sites), **dict(present)}],
        "shell_weights": [{shell: 1.0 / shell for shell in range(1, SQS_SHELLS + 1)}],
        "sublattice_mode": "split",
        "iteration_mode": "random",
        "iterations": iterations,
        "seed": seed,
        "thread_config": [1],  # only then a seed gives one result
    }


def _seed(seed: int, text: str) -> int:
    """Derive a seed between 1 and 2³¹ - 1."""
    return 1 + int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:4], "big") % (2**31 - 2)
