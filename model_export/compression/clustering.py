"""Kernels as a codebook and indices: the gradient of the codebook."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["Codebook"]


class Codebook:
    """How a kernel's weights share values.

    Parameters
    ----------
    indices
        int32, of the kernel's shape: which value of the codebook each weight has; -1 for a weight that was pruned and
        is zero.
    size
        Values of the codebook, at most 255; each has a weight.
    mean
        Whether the gradient of a value is the mean of its weights' instead of their sum.

    Attributes
    ----------
    table
        The indices as the model holds them: int8, flat, from -128 on; the one after the last is that of pruned weights.
        The methods are given it back as a tensor.
    """

    def __init__(self, indices: np.ndarray, size: int, *, mean: bool) -> None:
        self.indices = indices
        self.size = size
        self._shape = indices.shape
        flat = indices.ravel()
        kept = np.flatnonzero(flat >= 0)
        self.table = (np.where(flat < 0, size, flat) - 128).astype(np.int8)
        self._counts = np.bincount(flat[kept], minlength=size).astype(np.float32)
        firsts = np.unique(flat[kept], return_index=True)[1]
        self._representatives = kept[firsts].astype(np.int32)
        self._mean = mean

    @property
    def steps(self) -> np.ndarray:
        """How many weights' gradients make up that of each value, ``float32 [size]``; 1 for their mean."""
        return np.ones_like(self._counts) if self._mean else self._counts

    def weights(self, values: Tensor, table: Tensor) -> Tensor:
        """Look up the kernel: the shape of ``indices``."""
        return tf.reshape(self._looked_up(values, table), self._shape)

    def gradient(self, dkernel: Tensor, table: Tensor) -> Tensor:
        """Gradient of the values, ``[size]``, from the kernel's."""
        return self._summed(tf.reshape(dkernel, [-1]), table) * (1 / self._counts if self._mean else np.float32(1))

    def project(self, kernel: Tensor, table: Tensor) -> Tensor:
        """Mean of the weights that share a value, ``[size]``: exactly that value where they do share one."""
        flat = tf.reshape(kernel, [-1])
        first = tf.gather(flat, self._representatives)
        return first + self._summed(flat - self._looked_up(first, table), table) * (1 / self._counts)

    def _looked_up(self, values: Tensor, table: Tensor) -> Tensor:
        return tf.gather(tf.concat([values, np.zeros(1, np.float32)], axis=0), _places(table))

    def _summed(self, flat: Tensor, table: Tensor) -> Tensor:
        return tf.math.unsorted_segment_sum(flat, _places(table), self.size + 1)[: self.size]


def _places(table: Tensor) -> Tensor:
    return tf.cast(table, tf.int32) + 128
