"""What becomes of a batch that a force field cannot evaluate: too large for the memory, or with a structure that breaks it."""

import torch
from torch import Tensor

from defect_surrogate.surrogates.batch import Batch, ForceField


class OutOfMemoryError(Exception):
    """A batch did not fit into memory."""


def evaluate(force_field: ForceField, batch: Batch) -> tuple[Tensor, Tensor, dict[int, Exception]]:
    """Evaluate structures, and find out which of them the force field raises for, by halves.

    Parameters
    ----------
    force_field
        Of the structures.
    batch
        b structures, n atoms in all.

    Returns
    -------
    energies
        Shape (b,), eV.
    forces
        Shape (n, 3), eV/Å.
    broken
        From the place of a structure to what was raised for it; its energy and forces are NaN.

    Raises
    ------
    OutOfMemoryError
        If memory is short.
    """
    try:
        return *force_field.evaluate(batch), {}
    except Exception as raised:
        error = raised.with_traceback(None)  # its frames would keep a GPU's memory
    if is_out_of_memory(error):
        raise OutOfMemoryError(str(error))
    if len(batch.names) == 1:
        nothing = torch.full_like(batch.positions, torch.nan)
        return nothing[:1, 0], nothing, {0: error}
    first, second = batch.halves()
    energies, forces, broken = evaluate(force_field, first)
    more_energies, more_forces, more_broken = evaluate(force_field, second)
    broken |= {len(first.names) + place: error for place, error in more_broken.items()}
    return torch.cat([energies, more_energies]), torch.cat([forces, more_forces]), broken


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory is short: of a GPU, or of the machine, for which torch has no class."""
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
