"""Layers that join several tensors; inputs of ``Add`` and ``Multiply`` are broadcast."""

from __future__ import annotations

import functools
import operator
from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule
from model_export.ops.sums import sum_onto
from model_export.ops.tensor import Tensor

__all__ = ["AddRule", "ConcatenateRule", "MultiplyRule"]


class AddRule(LayerRule):
    """``Add``."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        y = functools.reduce(operator.add, call.inputs)
        return Applied(y, lambda dy: Gradients(tuple(sum_onto(dy, tuple(x.shape)) for x in call.inputs)))


class MultiplyRule(LayerRule):
    """``Multiply``."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""

        def backward(dy: Tensor) -> Gradients:
            gradients = []
            for i, x in enumerate(call.inputs):
                others = [other for j, other in enumerate(call.inputs) if j != i]
                gradients.append(sum_onto(functools.reduce(operator.mul, others, dy), tuple(x.shape)))
            return Gradients(tuple(gradients))

        return Applied(functools.reduce(operator.mul, call.inputs), backward)


class ConcatenateRule(LayerRule):
    """``Concatenate`` along any axis but the batch."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return "axis=0, the batch, is not supported" if layer.axis == 0 else None

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        axis = layer.axis % len(call.inputs[0].shape)

        def backward(dy: Tensor) -> Gradients:
            gradients, start = [], 0
            for x in call.inputs:
                begin = [0] * len(x.shape)
                begin[axis] = start
                gradients.append(tf.slice(dy, begin, x.shape))
                start += x.shape[axis]
            return Gradients(tuple(gradients))

        return Applied(tf.concat(call.inputs, axis=axis), backward)
