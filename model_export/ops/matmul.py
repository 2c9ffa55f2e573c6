"""Matrix products with weights that change.

XNNPACK takes BATCH_MATMUL with two variable operands, but neither FULLY_CONNECTED nor CONV_2D with variable weights;
those run on one thread. The converter keeps BATCH_MATMUL where the operands have rank 3.
"""

from __future__ import annotations

import math

import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["correlate_rows", "matmul"]

_LONGEST_SUM = 1024


def matmul(a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
    """Product of ``a [P, K]`` and ``b [K, Q]`` (or ``[Q, K]`` with ``transpose_b``); ``[P, Q]``."""
    product = tf.matmul(tf.reshape(a, [1, *a.shape]), tf.reshape(b, [1, *b.shape]), transpose_b=transpose_b)
    return tf.reshape(product, product.shape[1:])


def correlate_rows(a: Tensor, b: Tensor) -> Tensor:
    """Sum ``a[p]ᵀ b[p]`` over all positions ``p`` of ``a [N, …, I]`` and ``b [N, …, J]``; ``[I, J]``.

    The positions are cut into groups of whole samples, one product each, so that no chain of float32 additions gets
    much longer than a thousand.
    """
    samples, inputs, outputs = a.shape[0], a.shape[-1], b.shape[-1]
    positions = math.prod(a.shape[:-1])
    target = max(_LONGEST_SUM, inputs)
    groups = min(
        (d for d in range(1, samples + 1) if samples % d == 0),
        key=lambda d: abs(math.log(positions / d / target)),
    )
    length = positions // groups
    products = tf.matmul(
        tf.reshape(a, [groups, length, inputs]), tf.reshape(b, [groups, length, outputs]), transpose_a=True
    )
    return tf.reduce_sum(products, axis=0) if groups > 1 else tf.reshape(products, [inputs, outputs])
