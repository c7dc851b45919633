"""Energy and forces of M3GNet (doi:10.1038/s43588-022-00349-3), differentiated by hand and without triples.

matgl's network is evaluated here with its own weights to the same values, in three ways faster:

* The gradient with respect to distances and directions is written out: nothing is recorded for a backward pass, and nothing is
  computed for weights or strain.
* Three bodies need no list of triples (``three_bodies``).
* A message begins with a linear layer on (v_i, v_j, e_ij). Its parts on atoms are evaluated for each atom and not for each of
  its edges, and value and gate together.

Functions of a distance are tables. Distances and directions come in double precision and energies of atoms are summed in it;
the network between is in single precision.
"""

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
from defect_surrogate.surrogates.three_bodies import LARGEST_DEGREE, Angular, Bonds, Gradient


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
        self._readout = _Gated(network.final_layer.gated.layers, network.final_layer.gated.gates)
        self._radial = RadialTable(network.bond_expansion, self.cutoff, device=device)
        self._radial_3 = RadialTable(_ThreeBodyRadial(network), self._near, device=device)
        self._angular = Angular(network.max_n, network.max_l, device)
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
            v, e, block_tape = block.forward(v, e, bonds)
            tapes.append(block_tape)
        value, gate, tape = self._readout.forward(v, v)
        atomic = (value * gate).squeeze(1)
        dv = sum(self._readout.backward(gate, value, gate, tape))
        de = torch.zeros_like(e)
        for block, block_tape in zip(reversed(self._blocks), reversed(tapes), strict=True):
            dv, de = block.backward(dv, de, block_tape, bonds, gradient)
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

    def __init__(self, three_body: ThreeBodyInteractions, convolution: M3GNetGraphConv, angular: Angular) -> None:
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
        self.rest = _Gated(function.layers[1:], function.gates[1:])
        self.radial = radial

    def forward(self, v: Tensor, e: Tensor, bonds: Bonds) -> tuple[Tensor, tuple[Any, ...]]:
        """Return the message of each edge, and what its gradient needs."""
        first = e @ self.edge.T
        first += torch.addmm(self.bias, v, self.centre.T).index_select(0, bonds.centres)
        first += (v @ self.neighbour.T).index_select(0, bonds.neighbours)
        hidden, first_slope = _silu(first)
        value, gate, rest = self.rest.forward(*hidden.chunk(2, 1))
        weight = bonds.radial @ self.radial.T
        return value * gate * weight, (first_slope, value, gate, rest, weight)

    def backward(self, dmessage: Tensor, de: Tensor, tape: tuple[Any, ...], bonds: Bonds, gradient: Gradient) -> Tensor:
        """Return the gradient with respect to features of atoms; add to those of edges, ``de``, and of what is read of them."""
        first_slope, value, gate, rest, weight = tape
        gradient.radial.addmm_(dmessage * value * gate, self.radial)
        dmessage = dmessage * weight
        dfirst = torch.cat(self.rest.backward(dmessage * gate, dmessage * value, gate, rest), 1).mul_(first_slope)
        de.addmm_(dfirst, self.edge)
        atoms = torch.zeros(bonds.atoms, dfirst.shape[1], device=de.device, dtype=de.dtype)
        dv = torch.zeros_like(atoms).index_add_(0, bonds.centres, dfirst) @ self.centre
        return dv.addmm_(atoms.index_add_(0, bonds.neighbours, dfirst), self.neighbour)


class _Gated:
    """Layers of a value, with SiLU between or behind them, and those of its gate, with a sigmoid behind them."""

    def __init__(self, values: nn.Sequential, gates: nn.Sequential) -> None:
        self.activated = isinstance(values[-1], nn.SiLU)
        self.values = [layer for layer in values if isinstance(layer, nn.Linear)]
        self.gates = [layer for layer in gates if isinstance(layer, nn.Linear)]

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, tuple[list[Tensor], list[Tensor]]]:
        """Return value and gate of what goes into the layers of each, and the slopes that their gradient needs."""
        value_slopes, gate_slopes = [], []
        for layer in self.values if self.activated else self.values[:-1]:
            left, slope = _silu(torch.addmm(layer.bias, left, layer.weight.T))
            value_slopes.append(slope)
        if not self.activated:
            left = torch.addmm(self.values[-1].bias, left, self.values[-1].weight.T)
        for layer in self.gates[:-1]:
            right, slope = _silu(torch.addmm(layer.bias, right, layer.weight.T))
            gate_slopes.append(slope)
        gate = torch.addmm(self.gates[-1].bias, right, self.gates[-1].weight.T).sigmoid_()
        return left, gate, (value_slopes, gate_slopes)

    def backward(
        self, dvalue: Tensor, dgate: Tensor, gate: Tensor, slopes: tuple[list[Tensor], list[Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return gradients with respect to what went into the layers of the value, and into those of the gate."""
        value_slopes, gate_slopes = slopes
        if not self.activated:
            dvalue = dvalue @ self.values[-1].weight
        for layer, slope in zip(reversed(self.values[: len(value_slopes)]), reversed(value_slopes), strict=True):
            dvalue = dvalue.mul_(slope) @ layer.weight
        dgate = torch.ops.aten.sigmoid_backward(dgate, gate) @ self.gates[-1].weight
        for layer, slope in zip(reversed(self.gates[:-1]), reversed(gate_slopes), strict=True):
            dgate = dgate.mul_(slope) @ layer.weight
        return dvalue, dgate


class _ThreeBodyRadial:
    """The cutoff function of three bodies, and the radial functions times it; one column each."""

    def __init__(self, network: M3GNet) -> None:
        self.basis, self.cutoff = network.basis_expansion.sbf, float(network.threebody_cutoff)

    def __call__(self, lengths: Tensor) -> Tensor:
        envelope = polynomial_cutoff(lengths, self.cutoff)[:, None]
        return torch.cat([envelope, self.basis(lengths) * envelope], 1)


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """X σ(x), written over x, and its slope σ + x σ (1 - σ)."""
    gate = torch.sigmoid(x)
    value = x.mul_(gate)
    return value, gate.lerp_(x.new_ones(()), value)
