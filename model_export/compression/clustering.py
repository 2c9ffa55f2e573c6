"""Kernels as a codebook and indices: k-means in one dimension, and the gradient of the codebook.

One-dimensional k-means on sorted values needs no distances: a cluster is a stretch of them, bounded half way between
its neighbours' means. The start is linear over the range, which Han et al. 2016 ("Deep Compression", section 3.2)
found best, as it keeps the few large weights apart. So the result is the same on every machine.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["Codebook", "k_means"]

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


class Codebook:
    """How a kernel's weights share values.

    Parameters
    ----------
    indices
        int32, of the kernel's shape: which value of the codebook each weight has; -1 for a weight that was pruned and
        is zero.
    size
        Values of the codebook; each has a weight.
    mean
        Whether the gradient of a value is the mean of its weights' instead of their sum.
    """

    def __init__(self, indices: np.ndarray, size: int, *, mean: bool) -> None:
        self.indices = indices
        self.size = size
        self._shape = indices.shape
        flat = indices.ravel()
        kept = np.flatnonzero(flat >= 0).astype(np.int32)
        self._order = kept[np.argsort(flat[kept], kind="stable")]
        self._segments = flat[self._order]
        self._counts = np.bincount(self._segments, minlength=size).astype(np.float32)
        self._representatives = self._order[np.searchsorted(self._segments, np.arange(size))]
        self._mean = mean

    @property
    def steps(self) -> np.ndarray:
        """How many weights' gradients make up that of each value, ``float32 [size]``; 1 for their mean."""
        return np.ones_like(self._counts) if self._mean else self._counts

    def weights(self, values: Tensor) -> Tensor:
        """Look up the kernel: the shape of ``indices``."""
        flat = self.indices.ravel()
        if (flat < 0).any():
            values, flat = tf.concat([values, np.zeros(1, np.float32)], axis=0), np.where(flat < 0, self.size, flat)
        return tf.reshape(tf.gather(values, flat.astype(np.int32)), self._shape)

    def gradient(self, dkernel: Tensor) -> Tensor:
        """Gradient of the values, ``[size]``, from the kernel's."""
        total = tf.math.segment_sum(tf.gather(tf.reshape(dkernel, [-1]), self._order), self._segments)
        return tf.reshape(total, [self.size]) * (1 / self._counts if self._mean else np.float32(1))

    def project(self, kernel: Tensor) -> Tensor:
        """Mean of the weights that share a value, ``[size]``: exactly that value where they do share one."""
        flat = tf.reshape(kernel, [-1])
        first = tf.gather(flat, self._representatives)
        rest = tf.gather(flat, self._order) - tf.gather(first, self._segments)
        return first + tf.reshape(tf.math.segment_sum(rest, self._segments), [self.size]) * (1 / self._counts)
