"""``GroupNormalization``, which federated training prefers to batch norm: it has no statistics that differ by device.

Wu & He, Group Normalization, 2018; Hsieh et al., The Non-IID Data Quagmire of Decentralized Machine Learning, 2020.
"""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor

__all__ = ["GroupNormalizationRule"]


class GroupNormalizationRule(LayerRule):
    """``GroupNormalization`` of the last axis; each sample by itself."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        if layer.axis not in (-1, layer.input_spec.ndim - 1 if layer.input_spec and layer.input_spec.ndim else -1):
            return f"axis={layer.axis!r} is not supported, only the last axis"
        return None

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, variables = call.inputs[0], call.variables
        samples, channels = x.shape[0], x.shape[-1]
        places = math.prod(x.shape[1:-1])
        groups = channels if layer.groups == -1 else layer.groups
        members = channels // groups
        gamma = variables.get("gamma", np.ones(channels, np.float32))
        beta = variables.get("beta", np.zeros(channels, np.float32))
        grouped = [samples, places, groups, members]
        share = 1.0 / (places * members)

        def mean(values: Tensor) -> Tensor:
            return tf.reduce_sum(tf.reduce_sum(values, axis=1, keepdims=True), axis=3, keepdims=True) * share

        folded = tf.reshape(x, grouped)
        centred = folded - mean(folded)
        inverse = tf.math.rsqrt(mean(centred * centred) + layer.epsilon)
        normal = centred * inverse
        flat = tf.reshape(normal, x.shape)

        def backward(dy: Tensor) -> Gradients:
            scaled = tf.reshape(dy * gamma, grouped)
            dx = (scaled - mean(scaled) - normal * mean(scaled * normal)) * inverse
            variables = {"gamma": sum_to_channels(dy * flat), "beta": sum_to_channels(dy)}
            return Gradients((tf.reshape(dx, x.shape),), variables)

        return Applied(flat * gamma + beta, backward)
