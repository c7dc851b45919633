"""Steps of many relaxations at once: FIRE as ASE has it, and L-BFGS for the last part of the way.

FIRE (doi:10.1103/PhysRevLett.97.170201) follows the forces like a ball, and decides which minimum a start falls into. Its step
is cut for a structure as a whole, which slows large cells, and it takes hundreds of steps for the last millielectronvolts.
L-BFGS (doi:10.1007/BF01589116) learns the curvature and takes fewer evaluations, but from far away it can leap into
another basin: so FIRE goes first, until no force is larger than ``NEAR``.

Each structure has a row in all arrays, filled up with zeros to the width of the largest, so that a step is the same few
operations for one structure and for a thousand. Sums are in double precision.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]
"""Arrays by name, a row for each structure."""

NEAR = 0.1
"""eV/Å, largest force at which FIRE hands over to L-BFGS (our choice; docs/architecture.md says what another saves)."""

FAR = 5 * NEAR
"""eV/Å, largest force at which L-BFGS has lost its way, and FIRE begins anew (our choice)."""

MEMORY = 30
"""Steps whose curvature L-BFGS remembers (our choice; ASE's default is 100, and 10 take some more evaluations)."""

FIRST_CURVATURE = 20.0
"""eV/Å² that L-BFGS takes for all directions at its first step (our choice; ASE's default of 70 is more careful)."""

LONGEST_STEP = 0.2
"""Å, longest step of FIRE, of all atoms of a structure together (ASE's default)."""

LONGEST_OF_ATOM = 0.1
"""Å, longest step of an atom by L-BFGS (our choice; ASE's default of 0.2 left a basin of FIRE for a higher one in SbSeI)."""

DT, LONGEST_DT = 0.1, 1.0
MIXING, MIXING_FACTOR = 0.1, 0.99
FASTER, SLOWER = 1.1, 0.5
PATIENCE = 5
"""FIRE's parameters as in ASE: time step and its limit; mixing of the velocity with the force and what it is multiplied by;
factors of the time step downhill and uphill; steps downhill before it grows."""


@dataclass(frozen=True)
class Optimiser:
    """How structures are moved.

    Attributes
    ----------
    by_curvature
        Whether L-BFGS takes over near a minimum; FIRE alone, exactly as in ASE, if not.
    """

    by_curvature: bool

    def begin(self, count: int, width: int, device: torch.device) -> State:
        """Make the state of structures that have not moved yet.

        Parameters
        ----------
        count
            Number of structures.
        width
            Three times the number of atoms of the largest.
        device
            Where it is kept.

        Returns
        -------
        State
            Its rows can be selected, joined with others, and filled up with zeros to a larger width.
        """
        double = {"dtype": torch.float64, "device": device}
        state = {
            "velocity": torch.zeros(count, width, **double),
            "moving": torch.zeros(count, dtype=torch.bool, device=device),
            "dt": torch.full((count,), DT, **double),
            "mixing": torch.full((count,), MIXING, **double),
            "downhill": torch.zeros(count, dtype=torch.long, device=device),
        }
        if self.by_curvature:
            state |= {
                "near": torch.zeros(count, dtype=torch.bool, device=device),
                "remembers": torch.zeros(count, dtype=torch.bool, device=device),
                "last_positions": torch.zeros(count, width, **double),
                "last_forces": torch.zeros(count, width, **double),
                "steps": torch.zeros(count, MEMORY, width, **double),
                "changes": torch.zeros(count, MEMORY, width, **double),
            }
        return state

    def step(self, state: State, positions: Tensor, forces: Tensor) -> Tensor:
        """Take a step.

        Parameters
        ----------
        state
            Changed in place.
        positions, forces
            Shape (b, w), Å and eV/Å; zeros beyond the atoms of a structure.

        Returns
        -------
        Tensor
            Displacements, shape (b, w), Å.
        """
        if not self.by_curvature:
            return _fire(state, forces, torch.ones(len(forces), dtype=torch.bool, device=forces.device))
        largest = forces.view(len(forces), -1, 3).norm(dim=2).amax(1)
        far = torch.where(state["near"], largest > FAR, largest > NEAR)
        lost = state["near"] & far
        if bool(lost.any()):
            _forget(state, lost)
        state["near"] = ~far
        near = bool(state["near"].any())
        if not near:
            return _fire(state, forces, far)
        by_curvature = _lbfgs(state, positions, forces)
        if not bool(far.any()):
            return by_curvature
        return torch.where(far[:, None], _fire(state, forces, far), by_curvature)


def _fire(state: State, forces: Tensor, rows: Tensor) -> Tensor:
    """Step by FIRE; only ``rows`` of the state are changed."""
    velocity, dt, mixing = state["velocity"], state["dt"], state["mixing"]
    downhill = (forces * velocity).sum(1) > 0
    ahead, back = rows & state["moving"] & downhill, rows & state["moving"] & ~downhill
    along = mixing * velocity.norm(dim=1) / forces.norm(dim=1).clamp_min(torch.finfo(forces.dtype).tiny)
    mixed = (1 - mixing)[:, None] * velocity + along[:, None] * forces
    velocity = torch.where(ahead[:, None], mixed, torch.where(back[:, None], 0.0, velocity))
    grows = ahead & (state["downhill"] > PATIENCE)
    state["dt"] = dt = torch.where(grows, (dt * FASTER).clamp_max(LONGEST_DT), torch.where(back, dt * SLOWER, dt))
    state["mixing"] = torch.where(grows, mixing * MIXING_FACTOR, torch.where(back, MIXING, mixing))
    state["downhill"] = torch.where(ahead, state["downhill"] + 1, torch.where(back, 0, state["downhill"]))
    state["moving"] = state["moving"] | rows
    state["velocity"] = torch.where(rows[:, None], velocity + dt[:, None] * forces, velocity)
    step = dt[:, None] * state["velocity"]
    return step * (LONGEST_STEP / step.norm(dim=1).clamp_min(LONGEST_STEP))[:, None]


def _lbfgs(state: State, positions: Tensor, forces: Tensor) -> Tensor:
    """Step by L-BFGS in its compact form (doi:10.1007/BF01582063, theorem 2.2), of the rows that are near a minimum."""
    near = state["near"]
    step, change = positions - state["last_positions"], state["last_forces"] - forces
    curved = (step * change).sum(1) > 1e-10 * step.norm(dim=1) * change.norm(dim=1)
    learns = near & state["remembers"] & curved
    for name, latest in (("steps", step), ("changes", change)):
        shifted = torch.cat([state[name][:, 1:], latest[:, None]], 1)
        state[name] = torch.where(learns[:, None, None], shifted, state[name])
    state["last_positions"], state["last_forces"] = positions.clone(), forces.clone()
    state["remembers"] = near.clone()

    s, y = state["steps"], state["changes"]
    products = s @ y.mT
    used = (torch.diagonal(products, dim1=1, dim2=2) > 0).to(s.dtype)
    upper = torch.triu(products) + torch.diag_embed(1 - used)
    last = y[:, -1].square().sum(1)
    scale = torch.where(last > 0, products[:, -1, -1] / last.clamp_min(torch.finfo(s.dtype).tiny), 1 / FIRST_CURVATURE)
    along_s, along_y = s @ forces[:, :, None], y @ forces[:, :, None]
    solved = torch.linalg.solve_triangular(upper, along_s, upper=True)
    inner = torch.diagonal(products, dim1=1, dim2=2)[:, :, None] * solved + scale[:, None, None] * (
        (y @ y.mT) @ solved - along_y
    )
    outer = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
    moved = scale[:, None] * forces + (s.mT @ outer - scale[:, None, None] * (y.mT @ solved)).squeeze(2)
    longest = moved.view(len(moved), -1, 3).norm(dim=2).amax(1)
    return moved * (LONGEST_OF_ATOM / longest.clamp_min(LONGEST_OF_ATOM))[:, None]


def _forget(state: State, rows: Tensor) -> None:
    """Begin anew with FIRE in some rows."""
    state["velocity"] = torch.where(rows[:, None], 0.0, state["velocity"])
    state["moving"] = state["moving"] & ~rows
    state["dt"] = torch.where(rows, DT, state["dt"])
    state["mixing"] = torch.where(rows, MIXING, state["mixing"])
    state["downhill"] = torch.where(rows, 0, state["downhill"])
    state["remembers"] = state["remembers"] & ~rows
    for name in ("steps", "changes"):
        state[name] = torch.where(rows[:, None, None], 0.0, state[name])
