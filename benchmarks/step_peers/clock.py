"""What all peers share: the batch, the timing of steps, and the memory of the process. Needs NumPy alone."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["WARM_UP", "batch", "changed", "memory_kib", "report", "time_steps"]

WARM_UP = 3


def batch(side: int, size: int, classes: int) -> tuple[Any, Any]:
    """Return the one batch that all steps train on: images ``[size, side, side, 3]`` float32 and labels int32."""
    random = np.random.default_rng(0)
    images = random.standard_normal((size, side, side, 3)).astype(np.float32)
    return images, random.integers(0, classes, size).astype(np.int32)


def memory_kib(key: str) -> int:
    """Resident memory of this process now (``VmRSS``) or at its highest (``VmHWM``), in KiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def time_steps(step: Callable[[], float], steps: int, limit_s: float) -> dict[str, Any]:
    """Warm up, then time steps until there are enough or the time is over, but five at least.

    Parameters
    ----------
    step
        Does one training step and returns its loss.
    steps
        Steps to time.
    limit_s
        Time after which no further step is begun.
    """
    losses = [step() for _ in range(WARM_UP)]
    times: list[float] = []
    while len(times) < steps and (len(times) < 5 or sum(times) < limit_s):
        start = time.perf_counter()
        losses.append(step())
        times.append(time.perf_counter() - start)
    return {
        "median_ms": statistics.median(times) * 1e3,
        "minimum_ms": min(times) * 1e3,
        "steps": len(times),
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the share of arrays in which any element changed."""
    return sum(not np.array_equal(before[name], after[name]) for name in before) / len(before)


def report(figures: Mapping[str, Any]) -> None:
    """Print the figures as the last line of the process's output, where `training_step.py` reads them."""
    print(json.dumps(figures), flush=True)
