"""Energy and forces of M3GNet (doi:10.1038/s43588-022-00349-3), differentiated by hand and without triples.

matgl's network is evaluated here with its own weights to the same values, in three ways faster:

* The gradient with respect to distances and directions is written out: nothing is recorded for a backward pass, and nothing is
  computed for weights or strain.
* Three bodies need no list of triples. The sum over neighbours k of a function of r_ik times a Legendre polynomial of the angle
  jik is, by the addition theorem of spherical harmonics, a product of harmonics of the edge ij and of one sum for each atom i,
  less the term k = j: the work grows with the edges and not with their pairs.
* A message begins with a linear layer on (v_i, v_j, e_ij). Its parts on atoms are evaluated for each atom and not for each of
  its edges, and value and gate together.

Functions of a distance are tables. Distances and directions come in double precision and energies of atoms are summed in it;
the network between is in single precision.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from matgl.apps.pes import Potential as MatglPotential
from matgl.layers import GatedMLP, ThreeBodyInteractions
from matgl.layers._graph_convolution import M3GNetGraphConv
from matgl.models import M3GNet
from matgl.utils.cutoff import polynomial_cutoff
from torch import Tensor, nn

from defect_surrogate.surrogates.neighbours import Edges
from defect_surrogate.surrogates.radial_tables import RadialTable

LARGEST_DEGREE = 3
"""Angular functions for which harmonics are written out: l = 0, 1, 2."""


@dataclass(frozen=True, eq=False)
class Bonds:
    """Edges of one or many structures, and what the network reads of them.

    Attributes
    ----------
    atoms
        Their number, n.
    centres, neighbours
        Atoms of each edge, shape (e,).
    near
        Edges within the cutoff of three bodies, shape (s,).
    near_centres, near_neighbours
        Atoms of these, shape (s,).
    radial
        Basis functions of the length, shape (e, k).
    envelope, radial_3
        Cutoff function of the near edges, shape (s, 1), and radial functions of three bodies times it, shape (s, 9).
    harmonics
        Of the direction of the near edges, one column for each pair of a radial function and an m, shape (s, 27).
    """

    atoms: int
    centres: Tensor
    neighbours: Tensor
    near: Tensor
    near_centres: Tensor
    near_neighbours: Tensor
    radial: Tensor
    envelope: Tensor
    radial_3: Tensor
    harmonics: Tensor


@dataclass(frozen=True, eq=False)
class Gradient:
    """Of the energy with respect to what the network reads of the edges, summed over blocks; shapes as in ``Bonds``."""

    radial: Tensor
    envelope: Tensor
    radial_3: Tensor
    harmonics: Tensor


def is_supported(potential: MatglPotential) -> bool:
    """Whether a potential is an M3GNet of the form written out here: no state, no φ, no repulsion, swish, l below 3."""
    network = potential.model
    return (
        isinstance(network, M3GNet)
        and not (network.include_state or network.is_intensive or potential.calc_repuls or potential.calc_charge)
        and not network.basis_expansion.use_phi
        and network.max_l <= LARGEST_DEGREE
        and network.n_blocks > 0
        and isinstance(network.embedding.activation, nn.SiLU)
        and isinstance(network.embedding.layer_node_embedding, nn.Embedding)
        and all(block.dropout is None or not block.training for block in network.graph_layers)
    )


class HandDifferentiatedM3GNet:
    """An M3GNet of matgl, ready for energies and forces.

    Parameters
    ----------
    potential
        One that ``is_supported``.
    """

    def __init__(self, potential: MatglPotential) -> None:
        network = potential.model
        device = potential.data_mean.device
        self.cutoff = float(network.cutoff)
        self._near = float(network.threebody_cutoff)
        self._scale, self._shift = float(potential.data_std), float(potential.data_mean)
        self._elements = network.embedding.layer_node_embedding.weight
        references = potential.element_refs
        self._references = torch.zeros(len(self._elements), dtype=torch.float64, device=device)
        if references is not None:
            self._references += references.property_offset.double()
        bond = network.embedding.layer_edge_embedding.layers[0]
        self._bond = (bond.weight, bond.bias)
        self._readout = network.final_layer
        self._radial = RadialTable(network.bond_expansion, self.cutoff, device=device)
        self._radial_3 = RadialTable(_ThreeBodyRadial(network), self._near, device=device)
        self._angular = _Angular(network.max_n, network.max_l, device)
        layers = zip(network.three_body_interactions, network.graph_layers, strict=True)
        self._blocks = [_Block(three_body, layer.conv, self._angular) for three_body, layer in layers]

    @torch.no_grad()
    def __call__(self, types: Tensor, owners: Tensor, count: int, edges: Edges) -> tuple[Tensor, Tensor]:
        """Evaluate structures.

        Parameters
        ----------
        types
            Index of each atom's element in the model, shape (n,).
        owners
            Structure of each atom, shape (n,).
        count
            Number of structures, b.
        edges
            All pairs within the cutoff.

        Returns
        -------
        energies
            Of each structure, shape (b,), eV, double precision.
        forces
            On each atom, shape (n, 3), eV/Å, double precision.
        """
        centres, neighbours, vectors = edges.centres, edges.neighbours, edges.vectors
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        units = vectors / lengths[:, None]
        near = torch.nonzero(lengths <= self._near).squeeze(1)
        radial, radial_slope = self._radial(lengths)
        radial_3, radial_3_slope = self._radial_3(lengths[near])
        near_units = units[near].float()
        bonds = Bonds(
            *(len(types), centres, neighbours, near, centres[near], neighbours[near]),
            *(radial, radial_3[:, :1], radial_3[:, 1:], self._angular.harmonics(near_units)),
        )
        gradient = Gradient(
            *(torch.zeros_like(part) for part in (radial, bonds.envelope, bonds.radial_3, bonds.harmonics))
        )

        weight, bias = self._bond
        e, slope = _silu(torch.addmm(bias, radial, weight.T))
        v = self._elements[types]
        tapes = []
        for block in self._blocks:
            v, e, tape = block.forward(v, e, bonds)
            tapes.append(tape)
        atomic, dv = _readout(self._readout, v)
        de = torch.zeros_like(e)
        for block, tape in zip(reversed(self._blocks), reversed(tapes), strict=True):
            dv, de = block.backward(dv, de, tape, bonds, gradient)
        gradient.radial.addmm_(de.mul_(slope), weight)

        along = (gradient.radial * radial_slope).sum(1).double()
        along_near = (torch.cat([gradient.envelope, gradient.radial_3], 1) * radial_3_slope).sum(1)
        across = self._angular.gradient(near_units, gradient.harmonics)
        across -= (across * near_units).sum(1, keepdim=True) * near_units
        slopes = units * along[:, None]
        slopes.index_add_(0, near, across.double() / lengths[near, None] + units[near] * along_near.double()[:, None])
        slopes *= self._scale
        forces = torch.zeros(len(types), 3, dtype=torch.float64, device=vectors.device)
        forces.index_add_(0, centres, slopes).index_add_(0, neighbours, slopes, alpha=-1)
        atomic = atomic.double() * self._scale + self._references[types]
        energies = torch.full((count,), self._shift, dtype=torch.float64, device=vectors.device)
        return energies.index_add_(0, owners, atomic), forces


class _Block:
    """Three-body interaction and graph convolution; equations 2 to 5."""

    def __init__(self, three_body: ThreeBodyInteractions, convolution: M3GNetGraphConv, angular: "_Angular") -> None:
        atom = three_body.update_network_atom.layers[0]
        self.atom = (atom.weight, atom.bias)
        bond = three_body.update_network_bond
        self.bond_value, self.bond_gate = bond.layers[0].weight, bond.gates[0].weight
        self.edge = _Message(convolution.edge_update_func, convolution.edge_weight_func.weight)
        self.node = _Message(convolution.node_update_func, convolution.node_weight_func.weight)
        self.angular = angular

    def forward(self, v: Tensor, e: Tensor, bonds: Bonds) -> tuple[Tensor, Tensor, tuple[Any, ...]]:
        """Return features of atoms and edges after this block, and what its gradient needs."""
        weight, bias = self.atom
        atoms = torch.addmm(bias, v, weight.T).sigmoid_()
        ends = atoms[bonds.near_neighbours]
        sent, sums, pairs = self.angular.pairs(bonds.radial_3 * ends, bonds)
        inputs = bonds.envelope * pairs
        value, slope = _silu(inputs @ self.bond_value.T)
        gate = (inputs @ self.bond_gate.T).sigmoid_()
        e = e.index_add(0, bonds.near, value * gate)
        change, edge_tape = self.edge.forward(v, e, bonds)
        e += change
        message, node_tape = self.node.forward(v, e, bonds)
        after = v.index_add(0, bonds.centres, message)
        return after, e, (atoms, ends, sent, sums, pairs, value, slope, gate, edge_tape, node_tape)

    def backward(
        self, dv: Tensor, de: Tensor, tape: tuple[Any, ...], bonds: Bonds, gradient: Gradient
    ) -> tuple[Tensor, Tensor]:
        """Return gradients with respect to features of atoms and edges before this block; add to that of the edges."""
        atoms, ends, sent, sums, pairs, value, slope, gate, edge_tape, node_tape = tape
        dv = dv + self.node.backward(dv.index_select(0, bonds.centres), de, node_tape, bonds, gradient)
        dv += self.edge.backward(de.clone(), de, edge_tape, bonds, gradient)
        dnew = de[bonds.near]
        dpairs = (dnew * gate).mul_(slope) @ self.bond_value
        dpairs.addmm_(torch.ops.aten.sigmoid_backward(dnew * value, gate), self.bond_gate)
        gradient.envelope.add_((dpairs * pairs).sum(1, keepdim=True))
        dsent = self.angular.pairs_gradient(dpairs * bonds.envelope, sent, sums, bonds, gradient)
        gradient.radial_3.addcmul_(dsent, ends)
        datoms = torch.zeros_like(atoms).index_add_(0, bonds.near_neighbours, dsent * bonds.radial_3)
        dv += torch.ops.aten.sigmoid_backward(datoms, atoms) @ self.atom[0]
        return dv, de


class _Message:
    """A gated network on (v_i, v_j, e_ij), times a linear function of the radial basis."""

    def __init__(self, function: GatedMLP, radial: Tensor) -> None:
        first, gate = function.layers[0], function.gates[0]
        weight = torch.cat([first.weight, gate.weight])
        width = (weight.shape[1] - radial.shape[0]) // 2
        self.centre, self.neighbour, self.edge = weight.split([width, width, radial.shape[0]], 1)
        self.bias = torch.cat([first.bias, gate.bias])
        self.values, self.gates = _linear(function.layers[1:]), _linear(function.gates[1:])
        self.radial = radial

    def forward(self, v: Tensor, e: Tensor, bonds: Bonds) -> tuple[Tensor, tuple[Any, ...]]:
        """Return the message of each edge, and what its gradient needs."""
        first = e @ self.edge.T
        first += torch.addmm(self.bias, v, self.centre.T).index_select(0, bonds.centres)
        first += (v @ self.neighbour.T).index_select(0, bonds.neighbours)
        hidden, first_slope = _silu(first)
        left, right = hidden.chunk(2, 1)
        value_slopes, gate_slopes = [], []
        for layer in self.values:
            left, slope = _silu(torch.addmm(layer.bias, left, layer.weight.T))
            value_slopes.append(slope)
        for layer in self.gates[:-1]:
            right, slope = _silu(torch.addmm(layer.bias, right, layer.weight.T))
            gate_slopes.append(slope)
        gate = torch.addmm(self.gates[-1].bias, right, self.gates[-1].weight.T).sigmoid_()
        weight = bonds.radial @ self.radial.T
        return left * gate * weight, (first_slope, value_slopes, gate_slopes, left, gate, weight)

    def backward(self, dmessage: Tensor, de: Tensor, tape: tuple[Any, ...], bonds: Bonds, gradient: Gradient) -> Tensor:
        """Return the gradient with respect to features of atoms; add to those of edges, ``de``, and of what is read of them."""
        first_slope, value_slopes, gate_slopes, value, gate, weight = tape
        gradient.radial.addmm_(dmessage * value * gate, self.radial)
        dmessage = dmessage * weight
        dright = torch.ops.aten.sigmoid_backward(dmessage * value, gate) @ self.gates[-1].weight
        dleft = dmessage.mul_(gate)
        for layer, slope in zip(reversed(self.values), reversed(value_slopes), strict=True):
            dleft = dleft.mul_(slope) @ layer.weight
        for layer, slope in zip(reversed(self.gates[:-1]), reversed(gate_slopes), strict=True):
            dright = dright.mul_(slope) @ layer.weight
        dfirst = torch.cat([dleft, dright], 1).mul_(first_slope)
        de.addmm_(dfirst, self.edge)
        atoms = torch.zeros(bonds.atoms, dfirst.shape[1], device=de.device, dtype=de.dtype)
        dv = torch.zeros_like(atoms).index_add_(0, bonds.centres, dfirst) @ self.centre
        return dv.addmm_(atoms.index_add_(0, bonds.neighbours, dfirst), self.neighbour)


class _Angular:
    """Sums over pairs of edges with one centre, by the addition theorem.

    Harmonics are scaled so that Σ_m h_lm(u) h_lm(w) = √((2l + 1)/4π) P_l(u·w), what matgl multiplies radial functions by.
    """

    def __init__(self, max_n: int, max_l: int, device: torch.device) -> None:
        degrees = range(max_l)
        columns = [(d * max_n + n, d * d + m) for d in degrees for n in range(max_n) for m in range(2 * d + 1)]
        radial, harmonic = (torch.tensor(part, device=device) for part in zip(*columns, strict=True))
        self.radial, self.harmonic = radial, harmonic
        self.sum_over_m = nn.functional.one_hot(radial).float()
        self.sum_over_n = nn.functional.one_hot(harmonic, max_l**2).float()
        self.norms = torch.tensor([math.sqrt((2 * d + 1) / (4 * math.pi)) for d in degrees], device=device)
        self.itself = self.norms.repeat_interleave(max_n)
        self.scales = self.norms.sqrt().repeat_interleave(torch.arange(1, 2 * max_l, 2, device=device))
        self.count = max_l**2

    def harmonics(self, units: Tensor) -> Tensor:
        """Evaluate the harmonics of directions, one column for each pair of a radial function and an m."""
        x, y, z = units.unbind(1)
        root = math.sqrt(3.0)
        each = [torch.ones_like(x), x, y, z]
        each += [root * x * y, root * y * z, root * x * z, 1.5 * z * z - 0.5, root / 2 * (x * x - y * y)]
        return (torch.stack(each[: self.count], 1) * self.scales).index_select(1, self.harmonic)

    def gradient(self, units: Tensor, dharmonics: Tensor) -> Tensor:
        """Return the gradient with respect to directions, taken as free vectors, shape (s, 3)."""
        x, y, z = units.unbind(1)
        root = math.sqrt(3.0)
        d = [*((dharmonics @ self.sum_over_n) * self.scales).unbind(1), *[torch.zeros_like(x)] * (9 - self.count)]
        dx = d[1] + root * (y * d[4] + z * d[6] + x * d[8])
        dy = d[2] + root * (x * d[4] + z * d[5] - y * d[8])
        dz = d[3] + root * (y * d[5] + x * d[6]) + 3 * z * d[7]
        return torch.stack([dx, dy, dz], 1)

    def pairs(self, sent: Tensor, bonds: Bonds) -> tuple[Tensor, Tensor, Tensor]:
        """Sum what the other edges of its centre send to each near edge, times the angular functions.

        Returns what is sent spread over columns, the sums of each centre given back to its edges, and the result.
        """
        spread = sent.index_select(1, self.radial)
        sums = torch.zeros(bonds.atoms, spread.shape[1], device=sent.device, dtype=sent.dtype)
        sums = sums.index_add_(0, bonds.near_centres, spread * bonds.harmonics).index_select(0, bonds.near_centres)
        return spread, sums, (sums * bonds.harmonics) @ self.sum_over_m - self.itself * sent

    def pairs_gradient(self, dpairs: Tensor, spread: Tensor, sums: Tensor, bonds: Bonds, gradient: Gradient) -> Tensor:
        """Return the gradient with respect to what is sent; add to that of the harmonics."""
        dspread = dpairs.index_select(1, self.radial)
        dsums = torch.zeros(bonds.atoms, spread.shape[1], device=dpairs.device, dtype=dpairs.dtype)
        dsums = dsums.index_add_(0, bonds.near_centres, dspread * bonds.harmonics).index_select(0, bonds.near_centres)
        gradient.harmonics.addcmul_(dspread, sums).addcmul_(dsums, spread)
        return (dsums * bonds.harmonics) @ self.sum_over_m - self.itself * dpairs


class _ThreeBodyRadial:
    """The cutoff function of three bodies, and the radial functions times it; one column each."""

    def __init__(self, network: M3GNet) -> None:
        self.basis, self.cutoff = network.basis_expansion.sbf, float(network.threebody_cutoff)

    def __call__(self, lengths: Tensor) -> Tensor:
        envelope = polynomial_cutoff(lengths, self.cutoff)[:, None]
        return torch.cat([envelope, self.basis(lengths) * envelope], 1)


def _readout(layer: nn.Module, v: Tensor) -> tuple[Tensor, Tensor]:
    """Energies of atoms, shape (n,), and their gradient with respect to the features."""
    with torch.enable_grad():
        leaf = v.detach().requires_grad_()
        atomic = layer(leaf).squeeze(1)
        (dv,) = torch.autograd.grad(atomic.sum(), leaf)
    return atomic.detach(), dv


def _linear(layers: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """X σ(x), written over x, and its slope σ + x σ (1 - σ)."""
    gate = torch.sigmoid(x)
    value = x.mul_(gate)
    return value, gate.lerp_(x.new_ones(()), value)
