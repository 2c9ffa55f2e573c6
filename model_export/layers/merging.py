"""Layers that join several tensors; inputs of all but ``Concatenate`` are broadcast."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule
from model_export.ops.sums import sum_onto
from model_export.ops.tensor import Tensor

__all__ = [
    "AddRule",
    "AverageRule",
    "ConcatenateRule",
    "MaximumRule",
    "MinimumRule",
    "MultiplyRule",
    "SubtractRule",
]


class AddRule(LayerRule):
    """``Add``."""

    joins = True

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        y = functools.reduce(operator.add, call.inputs)
        return Applied(y, lambda dy: Gradients(tuple(sum_onto(dy, tuple(x.shape)) for x in call.inputs)))


class AverageRule(LayerRule):
    """``Average``."""

    joins = True

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        share = 1.0 / len(call.inputs)
        y = functools.reduce(operator.add, call.inputs) * share
        return Applied(y, lambda dy: Gradients(tuple(sum_onto(dy * share, tuple(x.shape)) for x in call.inputs)))


class SubtractRule(LayerRule):
    """``Subtract``."""

    joins = True

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        a, b = call.inputs
        return Applied(a - b, lambda dy: Gradients((sum_onto(dy, tuple(a.shape)), -sum_onto(dy, tuple(b.shape)))))


class _ExtremeRule(LayerRule):
    """The largest or the smallest of several tensors, place by place; the gradient goes where the value came from."""

    joins = True

    def __init__(self, choose: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._choose = choose

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        reached = list(itertools.accumulate(call.inputs, self._choose))

        def backward(dy: Tensor) -> Gradients:
            found: list[Tensor] = []
            for before, x, after in reversed(list(zip(reached, call.inputs[1:], reached[1:]))):
                # At a tie TensorFlow gives the gradient to the first.
                first = tf.cast(tf.equal(before, after), tf.float32)
                found.append(sum_onto(dy * (1.0 - first), tuple(x.shape)))
                dy = sum_onto(dy * first, tuple(before.shape))
            return Gradients((dy, *reversed(found)))

        return Applied(reached[-1], backward)


class MaximumRule(_ExtremeRule):
    """``Maximum``."""

    def __init__(self) -> None:
        super().__init__(tf.maximum)


class MinimumRule(_ExtremeRule):
    """``Minimum``."""

    def __init__(self) -> None:
        super().__init__(tf.minimum)


class MultiplyRule(LayerRule):
    """``Multiply``."""

    joins = True

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

    joins = True

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
