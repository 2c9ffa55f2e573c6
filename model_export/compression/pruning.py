"""Which weights a pruned model keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model_export.compression.options import Prune

__all__ = ["masks"]


def masks(kernels: Mapping[str, np.ndarray], prune: Prune) -> dict[str, np.ndarray]:
    """Return what to keep of each kernel: True for the largest magnitudes.

    Parameters
    ----------
    kernels
        By path.
    prune
        How much of them.

    Returns
    -------
    dict
        Boolean arrays of the kernels' shapes. Exactly ``round(sparsity * size)`` weights are dropped, of equal ones
        those that come first; every kernel keeps at least one.
    """
    if prune.scope == "layer" or not kernels:
        return {path: _largest(np.abs(kernel), prune.sparsity) for path, kernel in kernels.items()}
    magnitudes = [np.abs(kernel).ravel() for kernel in kernels.values()]
    kept = _largest(np.concatenate(magnitudes), prune.sparsity)
    ends = np.cumsum([len(part) for part in magnitudes])[:-1]
    found = {}
    for (path, kernel), part in zip(kernels.items(), np.split(kept, ends)):
        part = part.copy()
        part[np.argmax(np.abs(kernel).ravel())] = True
        found[path] = part.reshape(kernel.shape)
    return found


def _largest(magnitudes: np.ndarray, sparsity: float) -> np.ndarray:
    dropped = min(round(sparsity * magnitudes.size), magnitudes.size - 1)
    kept = np.ones(magnitudes.size, bool)
    kept[np.argsort(magnitudes, axis=None, kind="stable")[:dropped]] = False
    return kept.reshape(magnitudes.shape)
