"""``BatchNormalization``, by the batch's statistics or by the moving ones."""

from __future__ import annotations

from typing import Optional

import numpy as np

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.batch_norm import batch_norm, fixed_norm
from model_export.ops.pointwise_norm import Expansion, expansion_norm
from model_export.ops.tensor import Tensor

__all__ = ["BatchNormalizationRule"]


class BatchNormalizationRule(LayerRule):
    """``BatchNormalization`` over the last axis."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        axis = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
        if axis not in (-1, (-1,), layer.input_spec.ndim - 1, (layer.input_spec.ndim - 1,)):
            return f"axis={layer.axis!r} is not supported, only the last axis"
        return unsupported_setting(layer, synchronized=False, renorm=False)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, variables = call.inputs[0], call.variables
        channels = variables["moving_mean"].shape[0]
        gamma = variables.get("gamma", np.ones(channels, np.float32))
        beta = variables.get("beta", np.zeros(channels, np.float32))
        mean, variance = variables["moving_mean"], variables["moving_variance"]
        updates: dict[str, Tensor] = {}
        if call.constant:
            # Folded here in float64, so that the converter sees one product and one sum to merge into a convolution.
            scale = gamma / np.sqrt(np.float64(variance) + layer.epsilon)
            shift = beta - mean * scale
            y = x * scale.astype(np.float32) + shift.astype(np.float32)
            return Applied(y, _no_gradient)
        if call.training and layer.trainable:
            normalize = expansion_norm if isinstance(x, Expansion) else batch_norm
            y, batch_mean, batch_variance, gradient = normalize(x, gamma, beta, layer.epsilon, call.weights)
            keep, take = float(layer.momentum), 1.0 - float(layer.momentum)
            updates = {
                "moving_mean": mean * keep + batch_mean * take,
                "moving_variance": variance * keep + batch_variance * take,
            }
        else:
            y, gradient = fixed_norm(x, gamma, beta, mean, variance, layer.epsilon)

        def backward(dy: Tensor) -> Gradients:
            dx, dgamma, dbeta = gradient(dy)
            return Gradients((dx,), {"gamma": dgamma, "beta": dbeta})

        return Applied(y, backward, updates)


def _no_gradient(dy: Tensor) -> Gradients:
    raise AssertionError("a constant layer has no gradient")
