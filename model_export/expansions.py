"""Which pointwise convolutions are better left to the batch norm that follows (see `ops.pointwise_norm`)."""

from __future__ import annotations

from collections import Counter

import keras

from model_export.network import Network, Node

__all__ = ["expansions"]

_LEAST_GROWTH = 3
"""Outputs for each input. The covariance costs inputs², so fewer would not pay for it."""


def expansions(network: Network, train: frozenset[str]) -> frozenset[str]:
    """Return the names of 1×1 convolutions whose outputs a batch norm, and nothing else, normalizes by the batch.

    Parameters
    ----------
    network
        The network.
    train
        Names of the nodes that are in training mode.
    """
    uses = Counter(name for node in network.nodes for name in node.inputs)
    normalized = {
        node.inputs[0]
        for node in network.nodes
        if node.name in train and isinstance(node.layer, keras.layers.BatchNormalization) and node.layer.trainable
    }
    return frozenset(
        node.name
        for node in network.nodes
        if node.name in train and node.name in normalized and uses[node.name] == 1 and _expands(node)
    )


def _expands(node: Node) -> bool:
    layer = node.layer
    if not isinstance(layer, keras.layers.Conv2D) or isinstance(layer, keras.layers.DepthwiseConv2D):
        return False
    kernel = layer.kernel.shape
    return (
        tuple(kernel[:2]) == (1, 1)
        and tuple(layer.strides) == (1, 1)
        and layer.groups == 1
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and bool(layer.trainable)
        and kernel[3] >= _LEAST_GROWTH * kernel[2]
    )
