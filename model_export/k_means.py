"""k-means in one dimension. Needs NumPy alone.

One-dimensional k-means on sorted values needs no distances: a cluster is a stretch of them, bounded half way between
its neighbours' means. The start is linear over the range, which Han et al. 2016 ("Deep Compression", section 3.2)
found best, as it keeps the few large weights apart. So the result is the same on every machine.
"""

from __future__ import annotations

import numpy as np

__all__ = ["k_means"]

_MOST_ROUNDS = 100


def k_means(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster numbers by Lloyd's algorithm.

    Parameters
    ----------
    values
        Of any shape, at least one.
    clusters
        Clusters to begin with; empty ones are dropped.

    Returns
    -------
    centres
        float32, ascending, at most ``clusters``.
    indices
        int32, of the shape of ``values``: the nearest centre of each.
    """
    order = np.argsort(values, axis=None, kind="stable")
    ascending = values.ravel()[order].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ascending)])
    centres = np.unique(np.linspace(ascending[0], ascending[-1], clusters))
    for _ in range(_MOST_ROUNDS):
        bounds = np.searchsorted(ascending, (centres[1:] + centres[:-1]) / 2)
        starts, ends = np.concatenate([[0], bounds]), np.concatenate([bounds, [ascending.size]])
        filled = ends > starts
        moved = (sums[ends] - sums[starts])[filled] / (ends - starts)[filled]
        if np.array_equal(moved, centres):
            break
        centres = moved
    counts = (ends - starts)[filled]
    indices = np.empty(values.size, np.int32)
    indices[order] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return centres.astype(np.float32), indices.reshape(values.shape)
