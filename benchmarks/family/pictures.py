"""Two structures of a defect site side by side: what a search found, and what the full reference search has."""

from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.util.coord import pbc_shortest_vectors

from defect_surrogate.reconstruction import BOND_TOLERANCE
from defect_surrogate.reports.schema import MinimumReport, VacancyReport

RADIUS = 5.6
"""Å around the vacant site, marked by a cross, within which atoms are drawn."""

NEW_BOND = "#CC2A6B"


def draw_miss(folder: Path, host: str, vacancy: VacancyReport, path: Path) -> None:
    """Draw the ground states of both searches of a defect from one direction, as SVG."""
    assert vacancy.ground_state is not None
    assert vacancy.full_reference_minima is not None
    found, lowest = vacancy.ground_state, vacancy.full_reference_minima[0]
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasSVG(figure)
    turn = _view(folder, lowest, vacancy.site)
    panels = (("surrogate + reference", found), ("full reference search", lowest))
    for axes, (search, minimum) in zip(figure.subplots(1, 2), panels, strict=True):
        _draw(axes, folder, minimum, vacancy.site, turn)
        energy = minimum.energy - lowest.energy
        axes.set_title(f"{host} {vacancy.name}, {search}\n{minimum.motif}, {energy:+.2f} eV", fontsize=10)
    figure.savefig(path, metadata={"Date": None})


def _around(
    folder: Path, minimum: MinimumReport, site: tuple[float, float, float]
) -> tuple[list[str], NDArray[np.float64], list[int]]:
    """Symbols, positions relative to the site (Å) and indices of the atoms near it."""
    structure = Structure.from_file(folder / minimum.structure_file)
    vectors = pbc_shortest_vectors(structure.lattice, [list(site)], structure.frac_coords)[0]
    near = [i for i in range(len(structure)) if np.linalg.norm(vectors[i]) < RADIUS]
    near += sorted({i for bond in minimum.bonds for i in bond.sites} - set(near))
    return [structure[i].specie.symbol for i in near], vectors[near], near


def _view(folder: Path, minimum: MinimumReport, site: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation after which the atoms of the new bonds, or the nearest ones, lie as flat in the picture as they can."""
    _, vectors, near = _around(folder, minimum, site)
    bonded = {i for bond in minimum.bonds for i in bond.sites}
    flat = [place for place, i in enumerate(near) if i in bonded] or list(
        np.argsort(np.linalg.norm(vectors, axis=1))[:4]
    )
    chosen = vectors[flat]
    rows: NDArray[np.float64] = np.linalg.svd(chosen - chosen.mean(axis=0))[2]
    aside = 0.35 * rows[2]  # a little from above, so that atoms do not hide each other
    first = rows[0] + aside
    first /= np.linalg.norm(first)
    second = rows[1] - (rows[1] @ first) * first
    second /= np.linalg.norm(second)
    return np.array([first, second, np.cross(first, second)])


def _draw(
    axes: Axes, folder: Path, minimum: MinimumReport, site: tuple[float, float, float], turn: NDArray[np.float64]
) -> None:
    symbols, vectors, near = _around(folder, minimum, site)
    places = vectors @ turn.T
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    distances = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    new = {tuple(sorted(bond.sites)) for bond in minimum.bonds}
    depth = 10 + places[:, 2]
    for a, b in np.argwhere(np.triu(distances < radii[:, None] + radii[None, :] + BOND_TOLERANCE, k=1)):
        is_new = tuple(sorted((near[a], near[b]))) in new
        colour, width = (NEW_BOND, 5.0) if is_new else ("#888888", 1.5)
        axes.plot(*places[[a, b], :2].T, color=colour, linewidth=width, zorder=min(depth[a], depth[b]) - 0.01)
        if is_new:
            middle = places[[a, b], :2].mean(axis=0)
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
            axes.text(
                *middle, f"{distances[a, b]:.2f} Å", color=NEW_BOND, zorder=50, ha="center", va="center", bbox=box
            )
    for symbol in sorted(set(symbols)):
        of_element = [i for i, one in enumerate(symbols) if one == symbol]
        for label, i in zip([symbol, *[None] * len(of_element)], of_element, strict=False):
            axes.scatter(
                *places[i, :2],
                s=150 * radii[i] ** 2,
                color=[jmol_colors[atomic_numbers[symbol]]],
                edgecolors="#333333",
                zorder=depth[i],
                label=label,
            )
    axes.scatter(0, 0, marker="x", s=60, color="black", zorder=60)
    axes.set_aspect("equal")
    axes.set_xlim(-RADIUS - 0.8, RADIUS + 0.8)
    axes.set_ylim(-RADIUS - 0.8, RADIUS + 0.8)
    axes.set_axis_off()
    axes.legend(loc="lower center", ncols=4, frameon=False, bbox_to_anchor=(0.5, -0.06), markerscale=0.5)
