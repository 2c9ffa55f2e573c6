"""A network without some of its channels: really smaller, and with a note of where its variables came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

import keras
import numpy as np

from model_export import tensors
from model_export.compression.channels import Axes, ChannelMap, channel_map
from model_export.errors import ExportError
from model_export.network import INPUT, Network, Node

__all__ = ["narrowed", "pack_kept", "prune_channels", "smallest_slots", "whole_from"]

Kept = dict[str, tuple[np.ndarray, ...]]
"""Indices of the whole network's variables that stay, for each axis, by path."""


def prune_channels(network: Network, share: float) -> tuple[Network, Kept]:
    """Remove the channels of smallest L1 norm (Li et al. 2017, "Pruning Filters for Efficient ConvNets").

    Parameters
    ----------
    network
        The whole network; its layers are not changed.
    share
        Share of each group's slots that goes; at least one slot stays.

    Returns
    -------
    network
        The narrow one, with layers of its own that hold the weights that stay.
    kept
        Where each of its variables is in the whole one.

    Raises
    ------
    ExportError
        Nothing of the network can be removed.
    """
    channels = channel_map(network)
    removed = smallest_slots(network, channels, share)
    if not removed:
        raise ExportError(
            f"model {network.name!r} has no channels to remove at a share of {share}; "
            "the input, the logits and what grouped convolutions take stay as they are"
        )
    kept = channels.without(removed)
    return narrowed(network, channels, removed, kept), kept


def smallest_slots(network: Network, channels: ChannelMap, share: float) -> frozenset[int]:
    """Return the slots of smallest weight: that share of each group.

    The weight of a slot is the L1 norm of all that makes its channels, in all layers of the group.
    """
    kernels = {path: v.numpy() for node in network.nodes for path, v in node.variables.items()}
    removed: set[int] = set()
    for group in channels.groups:
        weights = dict.fromkeys(group.slots, 0.0)
        for layer in group.layers:
            path = f"{layer}/kernel"
            slots, kernel = channels.axes[path][-1], kernels[path]
            assert slots is not None
            norms = np.abs(kernel.astype(np.float64)).sum(axis=tuple(range(kernel.ndim - 1)))
            for slot, norm in zip(slots.tolist(), norms.tolist()):
                if slot in weights:
                    weights[slot] += norm
        count = min(round(share * len(weights)), len(weights) - 1)
        removed.update(sorted(weights, key=lambda slot: weights[slot])[:count])
    return frozenset(removed)


def narrowed(network: Network, channels: ChannelMap, removed: frozenset[int], kept: Kept) -> Network:
    """Cut a network without the slots ``removed`` out of ``network``."""
    shapes = {INPUT: network.input_shape}
    nodes = []
    for node in network.nodes:
        shapes[node.name] = _left(channels.outputs[node.name], node.output_shape, removed)
        nodes.append(_narrow_node(node, shapes, kept))
    return replace(network, nodes=tuple(nodes))


def _left(axes: Axes, shape: tuple[int, ...], removed: frozenset[int]) -> tuple[int, ...]:
    gone = np.array(sorted(removed), np.int64)
    return tuple(size if axis is None else int((~np.isin(axis, gone)).sum()) for axis, size in zip(axes, shape))


def _narrow_node(node: Node, shapes: Mapping[str, tuple[int, ...]], kept: Kept) -> Node:
    config: dict[str, Any] = node.layer.get_config()
    width = shapes[node.name][-1]
    for key in ("filters", "units"):
        if key in config:
            config[key] = width
    if isinstance(node.layer, keras.layers.Reshape):
        config["target_shape"] = shapes[node.name]
    layer = type(node.layer).from_config(config)
    entering = tuple(shapes[name] for name in node.inputs)
    built: Any = [(None, *shape) for shape in entering]
    layer.build(built if len(built) > 1 else built[0])
    layer.set_weights([v.numpy()[np.ix_(*kept[path])] for path, v in node.variables.items()])
    return replace(node, layer=layer, input_shapes=entering, output_shape=shapes[node.name])


def pack_kept(kept: Kept) -> bytes:
    """Return the bundle's file that `model_export.bundle.Bundle.kept_channels` reads."""
    return bytes(
        tensors.pack(
            {
                f"{path}:{axis}": indices.astype(np.int32)
                for path, axes in kept.items()
                for axis, indices in enumerate(axes)
            }
        )
    )


def whole_from(kept: Kept, narrow: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put a narrow network's variables back into the places of the whole one's that they came from."""
    filled: dict[str, np.ndarray] = {}
    for path, value in whole.items():
        filled[path] = value.copy()
        indices: Optional[tuple[np.ndarray, ...]] = kept.get(path)
        if indices is not None and path in narrow:
            filled[path][np.ix_(*indices)] = narrow[path]
    return filled
