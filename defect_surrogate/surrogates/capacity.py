"""How many structures are relaxed at once: what fits into memory, as measured, and less after running out of it."""

import torch

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.batch import Batch

ON_CPU = 1
"""Structures at once on a CPU, where more only spill out of its caches (docs/architecture.md)."""

ON_GPU = 1024
"""Most structures at once on a GPU, where more gain nothing (our choice)."""

FIRST_ON_GPU = 16
"""Structures of the first batch on a GPU, on which memory is measured."""

SHARE = 0.7
"""Of the free memory that a batch may take: what is measured on small batches does not grow quite evenly (our choice)."""

RECOVERY = 20
"""Evaluations that fit, after one that did not, after which a batch may grow again (our choice)."""


def structures_at_once(settings: SurrogateSettings, *, on_gpu: bool | None = None) -> int:
    """Return how many structures a worker relaxes as one batch, if memory allows.

    Parameters
    ----------
    settings
        May say so.
    on_gpu
        Whether it has a GPU; a worker of this machine when None.

    Returns
    -------
    int
        Structures.
    """
    on_gpu = torch.cuda.is_available() if on_gpu is None else on_gpu
    return settings.batch_size or (ON_GPU if on_gpu else ON_CPU)


def gpu_name() -> str:
    """Return the name of the GPU that force fields run on here; empty if there is none."""
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


class Capacity:
    """Most structures and atoms in flight.

    Parameters
    ----------
    structures
        Most structures at once, from ``structures_at_once``.
    device
        Of the force field.
    """

    def __init__(self, structures: int, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._most = structures
        self._atoms_in_memory = float("inf")
        self._limit = self._most if self._gpu is None else min(FIRST_ON_GPU, self._most)
        self._calm, self._patience = 0, 1

    def admits(self, structures: int, atoms: int) -> bool:
        """Whether so many structures with so many atoms may be in flight; a single one always may."""
        return structures == 1 or (structures <= self._limit and atoms <= self._atoms_in_memory)

    def begin(self) -> None:
        """Note that an evaluation begins."""
        if self._gpu is not None:
            self._before = torch.cuda.memory_allocated(self._gpu)
            torch.cuda.reset_peak_memory_stats(self._gpu)

    def succeeded(self, batch: Batch) -> None:
        """Learn from an evaluation that fitted."""
        if self._gpu is not None:
            taken = max(1, torch.cuda.max_memory_allocated(self._gpu) - self._before)
            unused = torch.cuda.memory_reserved(self._gpu) - torch.cuda.memory_allocated(self._gpu)
            free = torch.cuda.mem_get_info(self._gpu)[0] + unused
            self._atoms_in_memory = SHARE * free * len(batch.numbers) / taken
        self._calm += 1
        if self._limit < self._most and self._calm >= self._patience:
            self._limit, self._calm = min(self._most, 2 * self._limit), 0

    def halve(self, structures: int) -> None:
        """Learn that a batch of so many structures did not fit."""
        self._limit, self._calm, self._patience = max(1, structures // 2), 0, RECOVERY
        if self._gpu is not None:
            torch.cuda.empty_cache()
