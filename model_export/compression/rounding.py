"""Rounding to narrow number formats inside a training step, in builtin ops that every runtime has.

The grid of a floating-point format is reached by adding and subtracting a power of two that pushes the lower bits out
of float32 (Dekker 1971); how large it has to be follows from the value's own exponent, which four operations give
(Rump, Ogita & Oishi 2008, "Accurate floating-point summation I", algorithm 3.5). Ties go to even, so the result is
IEEE 754's, and XNNPACK runs all of it. Values below 1e-30 keep float32's precision: their unit is denormal.

`model_export.formats` holds the same rules in NumPy.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import tensorflow as tf

from model_export.formats import FLOATS, INTEGERS
from model_export.ops.dropout import PRIME, random_numbers
from model_export.ops.tensor import Tensor

__all__ = ["noise", "round_to"]

_UNIT_FACTOR = np.float32(1 + 2.0**-23)
_NEXT_BELOW_ONE = np.float32(1 - 2.0**-24)
_SMALLEST_SCALE = np.float32(1e-30)


def round_to(
    x: Tensor, format: str, *, axes: Optional[tuple[int, ...]] = None, noise: Optional[Tensor] = None
) -> Tensor:
    """Return ``x`` on the grid of ``format``.

    Parameters
    ----------
    x
        float32, of any shape.
    format
        One of `model_export.formats.FORMATS`.
    axes
        Axes that share a scale of an integer format; None: all.
    noise
        Numbers between -1/2 and 1/2 of the same shape: they are added in units of the grid, which makes the rounding
        stochastic. A value on the grid stays.
    """
    if format == "float32":
        return x
    if format in INTEGERS:
        return _round_to_codes(x, INTEGERS[format], axes, noise)
    fraction = FLOATS[format][1]
    if noise is not None:
        x = x + noise * (_unit(x, 23 - fraction) * np.float32(2.0**-23 / 1.5))
    if format == "float16":
        return tf.cast(tf.cast(x, tf.float16), tf.float32)
    unit = _unit(x, 23 - fraction)
    return (x + unit) - unit


def _unit(x: Tensor, dropped: int) -> Tensor:
    """1.5 times the power of two whose last bit is the last that remains when ``dropped`` bits of ``x`` are lost."""
    scaled = x * _UNIT_FACTOR
    return tf.abs(scaled - scaled * _NEXT_BELOW_ONE) * np.float32(1.5 * 2.0 ** (23 + dropped))


def _round_to_codes(x: Tensor, largest: int, axes: Optional[tuple[int, ...]], noise: Optional[Tensor]) -> Tensor:
    size = tf.reduce_max(tf.abs(x), axis=axes, keepdims=axes is not None)
    scale = tf.maximum(round_to(size / float(largest), "float24"), _SMALLEST_SCALE)
    codes = x / scale
    if noise is not None:
        codes = codes + noise
    return tf.clip_by_value(tf.round(codes), -float(largest), float(largest)) * scale


def noise(shape: tuple[int, ...], seed: Tensor, name: str) -> Tensor:
    """Return reproducible numbers between -1/2 and 1/2; another ``name`` or ``seed`` gives others.

    Parameters
    ----------
    shape
        Of at least one axis.
    seed
        int32 scalar.
    name
        What the numbers are for.
    """
    return (tf.cast(random_numbers(shape, seed, name), tf.float32) + np.float32(0.5)) * np.float32(1 / PRIME) - 0.5
