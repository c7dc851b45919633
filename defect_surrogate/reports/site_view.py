"""Rotatable views of a defect site: atoms in jmol's colours, bonds, the vacant site, and new anion–anion bonds highlighted."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.util.coord import pbc_shortest_vectors

from defect_surrogate.reconstruction import BOND_TOLERANCE
from defect_surrogate.reports.schema import BondReport

SITE_RADIUS = 5.0
"""Å around the vacant site shown at first: its neighbours, and theirs, in a zincblende telluride (2.8 and 4.6 Å)."""

LABEL_DISTANCE = 2.0
"""Å between a new bond and its length in writing."""

NEW_BOND_COLOUR, NEUTRAL_COLOUR = "#CC2A6B", "#888888"


def site_figure(structure: Structure, *, site: Sequence[float], bonds: Sequence[BondReport]) -> go.Figure:
    """Draw the surroundings of the vacant site, to be rotated.

    Parameters
    ----------
    structure
        Relaxed supercell, n atoms.
    site
        Fractional coordinates of the vacant site, shape (3,), which becomes the centre.
    bonds
        New anion–anion bonds, highlighted and labelled with their length.

    Returns
    -------
    plotly.graph_objects.Figure
        Atoms within ``SITE_RADIUS`` at first; a button shows the whole supercell. Every atom is at its image nearest to the
        site.
    """
    vectors = pbc_shortest_vectors(structure.lattice, [list(site)], structure.frac_coords)[0]
    symbols = [one.specie.symbol for one in structure]
    near = np.linalg.norm(vectors, axis=1) <= SITE_RADIUS
    near[[index for bond in bonds for index in bond.sites]] = True
    figure = go.Figure()
    sets = [_atom_traces(vectors, symbols, shown, visible) for shown, visible in ((near, True), (near | True, False))]
    for traces in sets:
        figure.add_traces(traces)
    marker = {"symbol": "circle-open", "size": 14, "color": NEUTRAL_COLOUR, "line": {"width": 3}}
    figure.add_trace(
        go.Scatter3d(x=[0], y=[0], z=[0], mode="markers", name="vacant site", marker=marker, hoverinfo="name")
    )
    for bond in bonds:
        figure.add_trace(_new_bond(structure, vectors, bond))
    count = len(figure.data) - len(sets[0]) - len(sets[1])
    masks = [[shown] * len(sets[0]) + [not shown] * len(sets[1]) + [True] * count for shown in (True, False)]
    hidden = {"visible": False}
    figure.update_layout(
        height=420,
        margin={"l": 0, "r": 0, "t": 44, "b": 0},
        legend={"orientation": "h", "y": 0, "yanchor": "top", "x": 0.5, "xanchor": "center", "itemsizing": "constant"},
        scene={
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "aspectmode": "data",
            "camera": {"projection": {"type": "orthographic"}, "eye": _eye(vectors, bonds)},
        },
        updatemenus=[
            {
                "type": "buttons",
                "bgcolor": "#e8ecef",
                "font": {"color": "#1c2024"},
                "direction": "right",
                "x": 0.5,
                "xanchor": "center",
                "y": 1.0,
                "yanchor": "bottom",
                "buttons": [
                    {"label": f"within {SITE_RADIUS:g} Å", "method": "restyle", "args": ["visible", masks[0]]},
                    {"label": "whole supercell", "method": "restyle", "args": ["visible", masks[1]]},
                ],
            }
        ],
    )
    return figure


def _atom_traces(
    vectors: NDArray[np.float64], symbols: Sequence[str], shown: NDArray[np.bool_], visible: bool
) -> list[go.Scatter3d]:
    """Draw the shown atoms by element, and lines between those closer than the sum of covalent radii + tolerance."""
    indices = [int(i) for i in np.flatnonzero(shown)]
    radii = np.array([covalent_radii[atomic_numbers[symbols[i]]] for i in indices])
    positions = vectors[indices]
    distances = np.linalg.norm(positions[:, None] - positions[None, :], axis=2)
    pairs = np.argwhere(np.triu(distances < radii[:, None] + radii[None, :] + BOND_TOLERANCE, k=1))
    line = np.full((len(pairs), 3, 3), np.nan)
    line[:, 0], line[:, 1] = positions[pairs[:, 0]], positions[pairs[:, 1]]
    x, y, z = line.reshape(-1, 3).round(3).T
    traces = [
        go.Scatter3d(
            x=_plain(x),
            y=_plain(y),
            z=_plain(z),
            mode="lines",
            line={"width": 4, "color": NEUTRAL_COLOUR},
            hoverinfo="skip",
            showlegend=False,
            visible=visible,
        )
    ]
    for symbol in sorted({symbols[i] for i in indices}):
        of_element = [i for i in indices if symbols[i] == symbol]
        red, green, blue = (int(255 * part) for part in jmol_colors[atomic_numbers[symbol]])
        places = vectors[of_element].round(3)
        traces.append(
            go.Scatter3d(
                x=places[:, 0].tolist(),
                y=places[:, 1].tolist(),
                z=places[:, 2].tolist(),
                mode="markers",
                name=symbol,
                marker={
                    "size": 4 + 7 * float(covalent_radii[atomic_numbers[symbol]]),
                    "color": f"rgb({red},{green},{blue})",
                    "line": {"width": 1, "color": "#444444"},
                    "opacity": 1,
                },
                hovertext=[f"{symbol} {i}, {np.linalg.norm(vectors[i]):.2f} Å from the site" for i in of_element],
                hoverinfo="text",
                visible=visible,
            )
        )
    return traces


def _new_bond(structure: Structure, vectors: NDArray[np.float64], bond: BondReport) -> go.Scatter3d:
    """Draw a bond from its first atom to the nearest image of its second."""
    first, second = bond.sites
    start = vectors[first]
    step = pbc_shortest_vectors(structure.lattice, structure.frac_coords[[first]], structure.frac_coords[[second]])[
        0, 0
    ]
    eye = np.array(list(_eye(vectors, [bond]).values()))
    aside = np.cross(step, eye)
    label = start + step / 2 + LABEL_DISTANCE * aside / np.linalg.norm(aside)
    ends = np.array([start, start + step, np.full(3, np.nan), label]).round(3)
    return go.Scatter3d(
        x=_plain(ends[:, 0]),
        y=_plain(ends[:, 1]),
        z=_plain(ends[:, 2]),
        mode="lines+text",
        name=f"new {'–'.join(bond.elements)} bond",
        line={"width": 14, "color": NEW_BOND_COLOUR},
        text=["", "", "", f"{bond.length:.2f} Å"],
        textfont={"size": 16, "color": NEW_BOND_COLOUR, "weight": 700},
        hoverinfo="name",
    )


def _eye(vectors: NDArray[np.float64], bonds: Sequence[BondReport]) -> dict[str, float]:
    """Look across the shortest new bond, so that it is not seen end on."""
    direction = np.array([1.0, 0.7, 0.5])
    if bonds:
        along = vectors[bonds[0].sites[1]] - vectors[bonds[0].sites[0]]
        along = along / np.linalg.norm(along)
        across = direction - (direction @ along) * along
        direction = across if np.linalg.norm(across) > 0.1 else np.cross(along, [0.0, 0.0, 1.0])
    x, y, z = (1.1 * direction / np.linalg.norm(direction)).round(4).tolist()
    return {"x": x, "y": y, "z": z}


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Replace NaN, which breaks a line in plotly as null does, by what JSON can hold."""
    return [None if np.isnan(value) else float(value) for value in values]
