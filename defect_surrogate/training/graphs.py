"""Frames as graphs: neighbours within the cutoff found once, and batches put together from flat arrays.

A frame of 64 atoms takes some ten kilobytes, whatever the network, so that twenty thousand fit into a few hundred megabytes.
Triples of the three-body interactions are cheap to enumerate and are made with each batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.units import GPa
from matgl.graph._compute import compute_pair_vector_and_distance, create_line_graph_torch
from numpy.typing import NDArray
from pymatgen.core import Element
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch_geometric.data import Batch, Data

from defect_surrogate.dataset.frames import LabelledFrame
from defect_surrogate.errors import DatasetError
from defect_surrogate.training.batches import comparable_groups

PERIODIC = np.array([1, 1, 1], dtype=np.int64)
MOST_ATOMS = int(np.iinfo(np.uint16).max)
FARTHEST_IMAGE = int(np.iinfo(np.int8).max)


@dataclass(frozen=True, eq=False)
class FrameGraph:
    """Neighbours and labels of one frame, in the types they are kept in.

    Attributes
    ----------
    node_types
        Index of each atom's element in the model, shape (n,).
    fractional
        Fractional coordinates, shape (n, 3).
    lattice
        Lattice vectors as rows, shape (3, 3), Å.
    edges
        Centre and neighbour of each edge, shape (2, e), sorted by centre.
    images
        Periodic image of the neighbour, shape (e, 3).
    energy
        Energy less the reference energies of its atoms, eV.
    forces
        Shape (n, 3), eV/Å.
    stress
        Shape (3, 3), GPa, positive under tension; NaN where there is none.
    group
        Number of the set of frames whose energies can be compared with this one's, from ``comparable_groups``.
    """

    node_types: NDArray[np.uint8]
    fractional: NDArray[np.float32]
    lattice: NDArray[np.float32]
    edges: NDArray[np.uint16]
    images: NDArray[np.int8]
    energy: float
    forces: NDArray[np.float32]
    stress: NDArray[np.float32]
    group: int


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Several frames as one graph, with their labels.

    Attributes
    ----------
    graph
        As matgl's ``Potential`` takes it.
    lattices
        Shape (b, 3, 3), Å.
    triples
        Three-body triples for the networks that take them ready-made, else None.
    atoms
        Number of atoms of each frame, shape (b,).
    energies
        Less the reference energies, shape (b,), eV.
    forces
        Shape (n, 3), eV/Å.
    stresses
        Shape (3 b, 3), GPa; NaN where there is none.
    groups
        Number of each frame's set within the batch, shape (b,), from 0.
    """

    graph: Batch
    lattices: torch.Tensor
    triples: dict[str, torch.Tensor] | None
    atoms: torch.Tensor
    energies: torch.Tensor
    forces: torch.Tensor
    stresses: torch.Tensor
    groups: torch.Tensor


def frame_graphs(
    frames: Iterable[LabelledFrame], *, elements: Sequence[str], cutoff: float, reference_energies: NDArray[np.float64]
) -> list[FrameGraph]:
    """Find the neighbours of frames.

    Parameters
    ----------
    frames
        Any number.
    elements
        Symbols that the model knows, in its order.
    cutoff
        Radius, Å.
    reference_energies
        Energy to subtract for an atom of each element, in the order of ``elements``, eV.

    Returns
    -------
    list of FrameGraph
        In the order of the frames.

    Raises
    ------
    DatasetError
        Naming frame and element, if the model does not know an element; or naming the frame, if no two atoms are
        neighbours, or if it has too many atoms, or atoms too many cells away, for the types that graphs are kept in.
    """
    index = {Element(symbol).Z: position for position, symbol in enumerate(elements)}
    frames = list(frames)
    groups = comparable_groups(frames)
    return [
        _graph(frame, index, cutoff, reference_energies, group) for frame, group in zip(frames, groups, strict=True)
    ]


def batch_of(graphs: Sequence[FrameGraph], *, threebody_cutoff: float | None, device: torch.device) -> FrameBatch:
    """Put frames together.

    Parameters
    ----------
    graphs
        One or more.
    threebody_cutoff
        Radius of the three-body triples, Å; None if the network makes its own.
    device
        Where the tensors go.

    Returns
    -------
    FrameBatch
        Floating-point numbers in single precision.
    """
    sizes = np.array([len(graph.node_types) for graph in graphs])
    edge_sizes = np.array([graph.edges.shape[1] for graph in graphs])
    offsets = np.repeat(np.concatenate([[0], np.cumsum(sizes)[:-1]]), edge_sizes)
    edges = torch.from_numpy(np.concatenate([graph.edges.astype(np.int64) for graph in graphs], axis=1) + offsets)
    images = torch.from_numpy(np.concatenate([graph.images for graph in graphs]).astype(np.float32))
    fractional = torch.from_numpy(np.concatenate([graph.fractional for graph in graphs]))
    lattices = torch.from_numpy(np.stack([graph.lattice for graph in graphs]))
    owner = torch.from_numpy(np.repeat(np.arange(len(graphs)), sizes))
    graph = Batch(_base_cls=Data)
    graph.edge_index = edges.to(device)
    graph.pbc_offset = images.to(device)
    graph.node_type = torch.from_numpy(np.concatenate([g.node_types for g in graphs]).astype(np.int64)).to(device)
    graph.frac_coords = fractional.to(device)
    graph.batch = owner.to(device)
    graph.ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])).to(device)
    graph.num_nodes = int(sizes.sum())
    graph._num_graphs = len(graphs)
    lattices = lattices.to(device)
    triples = None
    if threebody_cutoff is not None:
        triples = _triples(graph, lattices, threebody_cutoff)
    return FrameBatch(
        graph=graph,
        lattices=lattices,
        triples=triples,
        atoms=torch.from_numpy(sizes).to(device),
        energies=torch.tensor([g.energy for g in graphs], dtype=torch.float32, device=device),
        forces=torch.from_numpy(np.concatenate([g.forces for g in graphs])).to(device),
        stresses=torch.from_numpy(np.concatenate([g.stress for g in graphs])).to(device),
        groups=torch.from_numpy(np.unique([g.group for g in graphs], return_inverse=True)[1]).to(device),
    )


def _graph(
    frame: LabelledFrame, index: dict[int, int], cutoff: float, reference_energies: NDArray[np.float64], group: int
) -> FrameGraph:
    unknown = sorted({int(number) for number in frame.numbers} - set(index))
    if unknown:
        symbols = ", ".join(Element.from_Z(number).symbol for number in unknown)
        raise DatasetError(f"{frame.name}: the model does not know {symbols}")
    if len(frame.numbers) > MOST_ATOMS:
        raise DatasetError(f"{frame.name}: {len(frame.numbers)} atoms; a graph holds {MOST_ATOMS}")
    positions = np.ascontiguousarray(frame.positions, dtype=np.float64)
    cell = np.ascontiguousarray(frame.cell, dtype=np.float64)
    centres, neighbours, images, distances = find_points_in_spheres(
        positions, positions, r=cutoff, pbc=PERIODIC, lattice=cell, tol=1e-8
    )
    apart = (centres != neighbours) | (distances > 1e-8)
    if not apart.any():
        raise DatasetError(f"{frame.name}: no two atoms within {cutoff:g} Å of each other")
    centres, neighbours, images = centres[apart], neighbours[apart], images[apart]
    if np.abs(images).max() > FARTHEST_IMAGE:
        raise DatasetError(f"{frame.name}: atoms {np.abs(images).max():g} cells away; a graph holds {FARTHEST_IMAGE}")
    order = np.argsort(centres, kind="stable")
    node_types = np.array([index[int(number)] for number in frame.numbers], dtype=np.uint8)
    stress = np.full((3, 3), np.nan) if frame.stress is None else frame.stress / GPa
    return FrameGraph(
        node_types=node_types,
        fractional=(positions @ np.linalg.inv(cell)).astype(np.float32),
        lattice=cell.astype(np.float32),
        edges=np.stack([centres[order], neighbours[order]]).astype(np.uint16),
        images=images[order].astype(np.int8),
        energy=float(frame.energy - reference_energies[node_types].sum()),
        forces=frame.forces.astype(np.float32),
        stress=stress.astype(np.float32),
        group=group,
    )


def _triples(graph: Batch, lattices: torch.Tensor, cutoff: float) -> dict[str, torch.Tensor]:
    """Enumerate pairs of edges with one centre, both shorter than the cutoff; lengths to the bit as matgl has them."""
    with torch.no_grad():
        cell = lattices[graph.batch]
        positions = (graph.frac_coords.unsqueeze(-1) * cell).sum(dim=1)
        shifts = (graph.pbc_offset.unsqueeze(-1) * cell[graph.edge_index[0]]).sum(dim=1)
        vectors, lengths = compute_pair_vector_and_distance(positions, graph.edge_index, shifts)
        triples: dict[str, torch.Tensor] = create_line_graph_torch(
            graph.edge_index, lengths, vectors, graph.num_nodes, cutoff
        )
    return triples
