"""``LayerNormalization``."""

from __future__ import annotations

from typing import Optional

import numpy as np

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.layer_norm import layer_norm
from model_export.ops.tensor import Tensor

__all__ = ["LayerNormalizationRule"]


class LayerNormalizationRule(LayerRule):
    """``LayerNormalization`` over the last axis."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        axis = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
        if axis not in (-1, (-1,), layer.input_spec.ndim - 1 if layer.input_spec else -1):
            return f"axis={layer.axis!r} is not supported, only the last axis"
        return unsupported_setting(layer, rms_scaling=False)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, variables = call.inputs[0], call.variables
        channels = x.shape[-1]
        gamma = variables.get("gamma", np.ones(channels, np.float32))
        beta = variables.get("beta", np.zeros(channels, np.float32))
        y, gradient = layer_norm(x, gamma, beta, layer.epsilon)

        def backward(dy: Tensor) -> Gradients:
            dx, dgamma, dbeta = gradient(dy)
            return Gradients((dx,), {"gamma": dgamma, "beta": dbeta})

        return Applied(y, backward)
