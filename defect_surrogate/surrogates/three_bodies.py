"""Three bodies in M3GNet (doi:10.1038/s43588-022-00349-3, equation 2) without a list of triples.

The sum over neighbours k of a function of r_ik times a Legendre polynomial of the angle jik is, by the addition theorem of
spherical harmonics, a product of harmonics of the edge ij and of one sum for each atom i, less the term k = j: the work grows
with the edges and not with their pairs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

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


class Angular:
    """Sums over pairs of edges with one centre.

    Harmonics are scaled so that Σ_m h_lm(u) h_lm(w) = √((2l + 1)/4π) P_l(u·w), what matgl multiplies radial functions by.
    """

    def __init__(self, max_n: int, max_l: int, device: torch.device) -> None:
        degrees = range(max_l)
        columns = [(d * max_n + n, d * d + m) for d in degrees for n in range(max_n) for m in range(2 * d + 1)]
        radial, harmonic = (torch.tensor(part, device=device) for part in zip(*columns, strict=True))
        self.radial, self.harmonic = radial, harmonic
        self.sum_over_m = one_hot(radial).float()
        self.sum_over_n = one_hot(harmonic, max_l**2).float()
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
