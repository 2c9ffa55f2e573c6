"""Activations, as layers and as the ``activation`` argument of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import keras
import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops import activation as ops
from model_export.ops import smooth_activation as smooth
from model_export.ops.sums import sum_onto
from model_export.ops.tensor import Backward, Tensor

__all__ = [
    "ActivationRule",
    "EluRule",
    "LeakyReluRule",
    "PReluRule",
    "ReluRule",
    "SoftmaxRule",
    "activate",
    "ends_in_softmax",
    "function_of",
    "unsupported_activation",
    "unsupported_function",
]

Function = Callable[[Tensor], tuple[Tensor, Backward]]

_FUNCTIONS: dict[object, Function] = {
    keras.activations.elu: ops.elu,
    keras.activations.exponential: smooth.exponential,
    keras.activations.gelu: smooth.gelu,
    keras.activations.hard_sigmoid: ops.hard_sigmoid,
    keras.activations.hard_silu: ops.hard_silu,
    keras.activations.leaky_relu: ops.leaky_relu(0.2),  # Keras's default
    keras.activations.linear: ops.linear,
    keras.activations.mish: smooth.mish,
    keras.activations.relu: ops.relu,
    keras.activations.relu6: ops.relu6,
    keras.activations.selu: smooth.selu,
    keras.activations.sigmoid: ops.sigmoid,
    keras.activations.silu: ops.silu,
    keras.activations.softplus: smooth.softplus,
    keras.activations.softsign: smooth.softsign,
    keras.activations.tanh: ops.tanh,
    keras.activations.softmax: ops.softmax,
}


def unsupported_activation(layer: Layer) -> Optional[str]:
    """Return a refusal if the layer's ``activation`` is none of the supported functions."""
    return unsupported_function("activation", layer.activation)


def unsupported_function(setting: str, activation: object) -> Optional[str]:
    """Return a refusal if the value of ``setting`` is none of the supported functions."""
    if activation in _FUNCTIONS:
        return None
    name = getattr(activation, "__name__", repr(activation))
    known = ", ".join(function.__name__ for function in _FUNCTIONS)  # type: ignore[attr-defined]
    return f"{setting}={name!r} is not supported, only {known}"


def function_of(activation: object) -> Function:
    """Return the function in builtin ops, with its gradient, of one of Keras's."""
    return _FUNCTIONS[activation]


def ends_in_softmax(layer: Layer) -> bool:
    """Tell whether the layer's output is a softmax."""
    return isinstance(layer, keras.layers.Softmax) or (getattr(layer, "activation", None) is keras.activations.softmax)


def activate(layer: Layer, call: Call, x: Tensor) -> tuple[Tensor, Backward]:
    """Apply the layer's ``activation``."""
    function = ops.linear if call.logits and ends_in_softmax(layer) else _FUNCTIONS[layer.activation]
    return function(x)


def _applied(result: tuple[Tensor, Backward]) -> Applied:
    output, backward = result
    return Applied(output, lambda dy: Gradients((backward(dy),)))


class ActivationRule(LayerRule):
    """``Activation``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_activation(layer)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        return _applied(activate(layer, call, call.inputs[0]))


class ReluRule(LayerRule):
    """``ReLU``, with or without a maximum."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, negative_slope=0.0, threshold=0.0)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        if layer.max_value is None:
            return _applied(ops.relu(call.inputs[0]))
        function = ops.relu6 if layer.max_value == 6 else ops.clipped_relu(float(layer.max_value))
        return _applied(function(call.inputs[0]))


class LeakyReluRule(LayerRule):
    """``LeakyReLU``."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        return _applied(ops.leaky_relu(float(layer.negative_slope))(call.inputs[0]))


class PReluRule(LayerRule):
    """``PReLU``: a slope below zero that is learned."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, alpha_regularizer=None, alpha_constraint=None)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, alpha = call.inputs[0], call.variables["alpha"]
        above, undo = ops.relu(x)
        below = tf.minimum(x, 0.0)

        def backward(dy: Tensor) -> Gradients:
            along = undo(dy)
            dalpha = tf.reshape(sum_onto(dy * below, (1, *alpha.shape)), alpha.shape)
            return Gradients((along + (dy - along) * alpha,), {"alpha": dalpha})

        return Applied(above + below * alpha, backward)


class EluRule(LayerRule):
    """``ELU`` with ``alpha`` 1."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, alpha=1.0)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        return _applied(ops.elu(call.inputs[0]))


class SoftmaxRule(LayerRule):
    """``Softmax`` over the last axis."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, axis=-1)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        return _applied((ops.linear if call.logits else ops.softmax)(call.inputs[0]))
