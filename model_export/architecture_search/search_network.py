"""The network that the search trains: a model with channel weights before its depthwise convolutions (figure 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from model_export.architecture_search.channel_weights import ChannelWeights
from model_export.compression.channels import ChannelMap
from model_export.errors import ExportError
from model_export.network import INPUT, Network
from model_export.width import Slice

__all__ = ["candidates", "fold", "slot_weights", "weighted", "weights_before"]

_SUFFIX = "_channel_weights"


def candidates(network: Network, channels: ChannelMap) -> dict[str, np.ndarray]:
    """Return the slots of the channels that enter each depthwise convolution, by the name of its node.

    Those whose channels cannot be removed are left out.

    Raises
    ------
    ExportError
        There are none.
    """
    found: dict[str, np.ndarray] = {}
    for node in network.nodes:
        if isinstance(node.layer, keras.layers.DepthwiseConv2D):
            slots = channels.axes[f"{node.layer.name}/kernel"][2]
            if slots is not None and slots.any():
                found[node.name] = slots
    if not found:
        raise ExportError(
            f"model {network.name!r} has no depthwise convolution whose channels could be removed; the search removes "
            "channels that enter depthwise convolutions, as in MobileNets"
        )
    return found


def weighted(network: Network, names: Collection[str], **options: float) -> Any:
    """Return a flat Keras model that shares the layers of ``network``, with channel weights before those of ``names``.

    Parameters
    ----------
    network
        Its layers are shared: training the result trains them.
    names
        Nodes before which weights are put.
    **options
        Of `ChannelWeights`.
    """
    inputs = keras.Input(network.input_shape)
    values = {INPUT: inputs}
    for node in network.nodes:
        given = [values[name] for name in node.inputs]
        if node.name in names:
            given = [ChannelWeights(name=f"{node.name}{_SUFFIX}", **options)(given[0])]
        values[node.name] = node.layer(given if len(given) > 1 else given[0])
    return keras.Model(inputs, values[network.logits], name=network.name)


def slot_weights(slots: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> dict[int, float]:
    """Return the weight of each slot: the largest of those of its channels, so that none is removed that is of use.

    Parameters
    ----------
    slots
        What `candidates` returned.
    weights
        Weight of each of these channels.
    """
    found: dict[int, float] = {}
    for name, axis in slots.items():
        for slot, weight in zip(axis.tolist(), weights[name].tolist()):
            if slot:
                found[slot] = max(weight, found.get(slot, weight))
    return found


def weights_before(model: Any, name: str) -> ChannelWeights:
    """Return the layer of weights before the node ``name`` of what `weighted` returned."""
    layer: ChannelWeights = model.get_layer(f"{name}{_SUFFIX}")
    return layer


def fold(piece: Slice, kernels: Mapping[str, str], weights: Mapping[str, np.ndarray]) -> None:
    """Multiply channel weights into the depthwise kernels behind them, which then compute the same without them.

    Parameters
    ----------
    piece
        A slice of a flat model.
    kernels
        Path of the depthwise kernel by the name of its node.
    weights
        Before each of these nodes, by name: ``[C]`` float32, for all channels of the whole model.
    """
    for name, path in kernels.items():
        kernel = piece.model.get_layer(path.rpartition("/")[0]).kernel
        kernel.assign(kernel.numpy() * weights[name][piece.parts[path][2]][:, np.newaxis])
