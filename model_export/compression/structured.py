"""A network without some of its channels: really smaller, and with a note of where its variables came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from model_export import tensors
from model_export.compression.channels import ChannelMap, channel_map
from model_export.errors import ExportError
from model_export.network import Network, read_network
from model_export.part import Parts
from model_export.width import Slice, cut

__all__ = ["pack_kept", "prune_channels", "smallest_slots", "whole_from"]


def prune_channels(model: Any, share: float) -> Slice:
    """Remove the channels of smallest L1 norm (Li et al. 2017, "Pruning Filters for Efficient ConvNets").

    Parameters
    ----------
    model
        The whole Keras model; it is not changed.
    share
        Share of each group's slots that goes; at least one slot stays.

    Raises
    ------
    ExportError
        Nothing of the network can be removed.
    """
    network = read_network(model)
    channels = channel_map(network)
    removed = smallest_slots(network, channels, share)
    if not removed:
        raise ExportError(
            f"model {network.name!r} has no channels to remove at a share of {share}; "
            "the input, the logits and what grouped convolutions take stay as they are"
        )
    return cut(model, network, channels, removed)


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


def pack_kept(kept: Parts) -> bytes:
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


def whole_from(kept: Parts, narrow: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put a narrow network's variables back into the places of the whole one's that they came from."""
    filled: dict[str, np.ndarray] = {}
    for path, value in whole.items():
        filled[path] = value.copy()
        indices: Optional[tuple[np.ndarray, ...]] = kept.get(path)
        if indices is not None and path in narrow:
            filled[path][np.ix_(*indices)] = narrow[path]
    return filled
