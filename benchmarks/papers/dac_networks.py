"""The networks of the DAC experiments: MobileNetV2's blocks for 32 pixels, and which of their channels to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from model_export.architecture_search import Budget
from model_export.compression.channels import channel_map
from model_export.network import read_network
from model_export.size import size_of, size_without

__all__ = [
    "Channels",
    "Shape",
    "by_chance",
    "evenly",
    "expansions",
    "fresh",
    "inverted",
    "macs_of",
    "mobile_network",
    "narrowed",
]

L = keras.layers
Channels = Mapping[str, Sequence[int]]
"""By name of layer, the channels that stay; layers that are not named keep all."""


@dataclass(frozen=True)
class Shape:
    """A network's blocks: (expansion, channels, repeats, stride), as in table 2 of the MobileNetV2 paper.

    Attributes
    ----------
    stem
        Channels and stride of the first convolution.
    pixels
        Height and width of the images.
    momentum
        Of the batch norms' moving statistics: at Keras's 0.99 those of a few hundred steps are still of the start.
    """

    stem: tuple[int, int]
    blocks: tuple[tuple[int, int, int, int], ...]
    head: int
    pixels: int = 32
    classes: int = 10
    momentum: float = 0.99


def mobile_network(shape: Shape, width: float) -> Any:
    """Build the network with all widths times ``width``."""

    def channels(count: int) -> int:
        return max(1, round(count * width))

    def norm(x: Any, *, active: bool = True) -> Any:
        x = L.BatchNormalization(momentum=shape.momentum)(x)
        return L.ReLU(6.0)(x) if active else x

    inputs = keras.Input((shape.pixels, shape.pixels, 3))
    x = norm(L.Conv2D(channels(shape.stem[0]), 3, shape.stem[1], "same", use_bias=False, name="stem")(inputs))
    number = 0
    for expansion, count, repeats, first_stride in shape.blocks:
        for repeat in range(repeats):
            stride, number, entering = first_stride if repeat == 0 else 1, number + 1, x
            if expansion > 1:
                x = norm(L.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"expand{number}")(x))
            x = norm(L.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"depthwise{number}")(x))
            x = norm(L.Conv2D(channels(count), 1, use_bias=False, name=f"project{number}")(x), active=False)
            if stride == 1 and entering.shape[-1] == x.shape[-1]:
                x = L.Add()([entering, x])
    x = norm(L.Conv2D(max(shape.head, channels(shape.head)), 1, use_bias=False, name="head")(x))
    return keras.Model(inputs, L.Dense(shape.classes, name="logits")(L.GlobalAveragePooling2D()(x)), name="mobile")


def fresh(shape: Shape, width: float, seed: int) -> Any:
    """Build the network with the initial weights, and the names of layers, that belong to a seed."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return mobile_network(shape, width)


def macs_of(model: Any) -> int:
    """Return the multiply-accumulates of a sample, forward."""
    return size_of(read_network(model)).macs


def expansions(model: Any) -> dict[str, int]:
    """Return how many channels each layer has among which DAC chooses."""
    return {layer.name: int(layer.filters) for layer in model.layers if layer.name.startswith("expand")}


def evenly(model: Any, budget: Budget) -> Channels:
    """Keep the same share of the expanded channels of every layer, the largest that a budget allows.

    What DAC's numbers of channels for each layer are compared with: it narrows the same layers.
    """
    network = read_network(model)
    channels = channel_map(network)
    counts = expansions(model)
    slots = {name: next(axis for axis in channels.outputs[name] if axis is not None) for name in counts}

    def kept(share: float) -> dict[str, int]:
        return {name: max(1, int(count * share)) for name, count in counts.items()}

    low, high = 0.0, 1.0
    while high - low > 1 / 4096:
        share = (low + high) / 2
        removed = frozenset(slot for name, count in kept(share).items() for slot in slots[name][count:].tolist())
        low, high = (share, high) if budget.allows(size_without(network, channels, removed)) else (low, share)
    return {name: range(count) for name, count in kept(low).items()}


def narrowed(model: Any, width: float) -> Channels:
    """Keep the leading channels that `mobile_network` of this width has; the last convolution stays as it is."""
    return {
        layer.name: range(max(1, round(layer.filters * width)))
        for layer in model.layers
        if layer.name.startswith(("stem", "expand", "project"))
    }


def by_chance(model: Any, channels: Channels, seed: int) -> Channels:
    """Keep as many channels of each layer as ``channels`` does, drawn at random."""
    random = np.random.default_rng(seed)
    counts = expansions(model)
    return {
        name: sorted(random.choice(counts[name], len(kept), replace=False).tolist()) for name, kept in channels.items()
    }


def inverted(model: Any, channels: Channels, seed: int) -> Channels:
    """Keep as many channels of each layer as ``channels`` does, first of all those that it drops."""
    random = np.random.default_rng(seed)
    counts, found = expansions(model), {}
    for name, kept in channels.items():
        dropped = np.setdiff1d(np.arange(counts[name]), kept)
        order = np.concatenate([random.permutation(dropped), random.permutation(np.asarray(kept))])
        found[name] = sorted(order[: len(kept)].tolist())
    return found
