"""What the hardware allows: multiplications over the measured rate of a matrix product, bytes over that of a copy.

Multiplications are counted by torch's FlopCounterMode, one addition to each; bytes are what all operations of torch read and
write, whether in a cache or not.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def best_seconds(work: Callable[[], object], device: torch.device, *, rounds: int = 7, seconds: float = 0.2) -> float:
    """Least time of a call, s, over rounds of some calls each."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    wait()
    began = time.perf_counter()
    work()
    wait()
    calls = max(1, math.ceil(seconds / max(time.perf_counter() - began, 1e-6)))
    best = math.inf
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        wait()
        best = min(best, (time.perf_counter() - began) / calls)
    return best


def matrix_rate(device: torch.device) -> float:
    """Of a product of single-precision matrices, FLOP/s; the best of some sizes."""
    sizes = (512, 1024, 2048) if device.type == "cpu" else (4096, 8192)
    rates = []
    for n in sizes:
        a, b, out = (torch.randn(n, n, device=device) for _ in range(3))
        rates.append(2 * n**3 / best_seconds(lambda: torch.mm(a, b, out=out), device))  # noqa: B023
    return max(rates)


def copy_rate(device: torch.device) -> float:
    """Of a copy in memory, bytes read and written in a second."""
    n = 2**26 if device.type == "cpu" else 2**30
    a, b = torch.rand(n // 4, device=device), torch.empty(n // 4, device=device)
    return 2 * n / best_seconds(lambda: b.copy_(a), device)


def flops(work: Callable[[], object]) -> int:
    """Of a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


class _Bytes(TorchDispatchMode):
    """Sums the sizes of what operations read and write."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.total += sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, torch.Tensor))
        return result


def bytes_moved(work: Callable[[], object]) -> int:
    """Of a call."""
    with _Bytes() as counter:
        work()
    return counter.total
