"""Dropout masks that are the same on every runtime.

The mask comes from integers alone: the number of each feature and of each sample is enciphered by rounds of ``v ← (v
+ key)³ mod p`` (the MiMC construction, Albrecht et al. 2016), whose products stay below 2³¹. The prime ``p`` is the
largest whose square fits int32, and as 3 does not divide ``p − 1``, every round is a permutation. No cryptographic
strength is claimed.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["PRIME", "dropout_mask", "random_numbers"]

PRIME = 46337


def dropout_mask(shape: tuple[int, ...], rate: float, seed: Tensor, name: str) -> Tensor:
    """Return 0 for a dropped element and ``1 / (1 − rate)`` for a kept one.

    Parameters
    ----------
    shape
        Shape of the mask.
    rate
        Probability of dropping an element.
    seed
        int32 scalar.
    name
        Name of the layer: two layers have different masks under the same seed.
    """
    kept = tf.cast(random_numbers(shape, seed, name) >= round(rate * PRIME), tf.float32)
    return kept * (1 / (1 - rate))


def random_numbers(shape: tuple[int, ...], seed: Tensor, name: str) -> Tensor:
    """Return integers from 0 to `PRIME` - 1, int32 of ``shape``; another ``name`` or ``seed`` gives others."""
    features = np.arange(math.prod(shape[1:]), dtype=np.int64).reshape(1, *shape[1:])
    samples = np.arange(shape[0], dtype=np.int32).reshape(-1, *[1] * (len(shape) - 1))
    salt = zlib.crc32(name.encode())
    low, high = tf.math.floormod(seed, PRIME), tf.math.floormod(tf.math.floordiv(seed, PRIME), PRIME)
    feature = _round((features % PRIME).astype(np.int32), low + salt % PRIME)
    feature = _round(feature, high + (features // PRIME + salt // PRIME % PRIME).astype(np.int32))
    sample = _round(_round(samples, low), high)
    return _round(_round(feature, sample), low)


def _round(value: Tensor, key: Tensor) -> Tensor:
    value = tf.math.floormod(value + key, PRIME)
    return tf.math.floormod(tf.math.floormod(value * value, PRIME) * value, PRIME)
