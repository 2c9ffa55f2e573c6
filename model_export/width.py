"""Width slices: a Keras model with fewer channels, and where its variables lie in those of the whole one.

HeteroFL (Diao, Ding and Tarokh 2021, "HeteroFL: Computation and Communication Efficient Federated Learning for
Heterogeneous Clients", section 3) gives a client the leading channels of every layer; FjORD (Horváth et al. 2021,
"FjORD: Fair and Accurate Federated Learning under heterogeneous targets with Ordered Dropout", section 3) draws the
width anew for every step, from the same slices. DAC keeps chosen channels (`model_export.architecture_search`). All
three are `cut`: only which channels go differs. What goes together is found by `model_export.compression.channels`.

HeteroFL's scaler (outputs divided by the width while training) and its static batch norm are not part of a slice: a
slice computes what the whole network computes on the channels that stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from model_export.bundle import Bundle
from model_export.compression.channels import ChannelMap, channel_map
from model_export.errors import ExportError
from model_export.network import Network, read_network
from model_export.part import PartOf, Parts

__all__ = ["Slice", "cut", "slice_channels", "slice_width", "take_weights"]


@dataclass(frozen=True)
class Slice:
    """A model cut out of another.

    Attributes
    ----------
    model
        The narrow Keras model, with the layer names and the weights of the whole one.
    parts
        For each variable by path (``<layer>/<variable>``) and each of its axes: the indices of the whole model's
        variable, int64, ascending.
    whole
        Shape of each of the whole model's variables.
    """

    model: Any
    parts: Parts
    whole: Mapping[str, tuple[int, ...]]

    def part_of(self, bundle: str) -> PartOf:
        """Return what the manifest of the slice's bundle says: that it is part of ``bundle`` (its SHA-256)."""
        return PartOf.from_indices(bundle, self.parts, self.whole)


def slice_width(model: Any, width: float) -> Slice:
    """Keep the leading ``ceil(width · C)`` of the C channels of every layer; input and classes stay whole.

    Parameters
    ----------
    model
        A Keras model of supported layers; it is not changed.
    width
        Above 0, at most 1. Channels that belong together (residual sums, gates) are counted once; layers whose width
        cannot change, such as grouped convolutions, keep it. At 1 the slice is the whole model.

    Raises
    ------
    ExportError
        ``width`` is out of range, or nothing of the model can be narrowed.
    """
    if not 0 < width <= 1:
        raise ExportError(f"width is {width}; it has to be above 0 and at most 1")
    network = read_network(model)
    channels = channel_map(network)
    if width < 1 and not channels.groups:
        raise ExportError(
            f"model {network.name!r} has no layers to narrow; "
            "the input, the logits and what grouped convolutions take stay as they are"
        )
    removed: set[int] = set()
    for group in channels.groups:
        removed.update(group.slots[math.ceil(width * len(group.slots)) :])
    return cut(model, network, channels, frozenset(removed))


def slice_channels(model: Any, kept: Mapping[str, Sequence[int]]) -> Slice:
    """Keep chosen channels.

    Parameters
    ----------
    model
        A Keras model of supported layers; it is not changed.
    kept
        By name of layer, which of its output channels stay. Layers that are not named keep all channels, but for those
        that go with a channel of a named one. It is enough to name one layer of those that share their channels.

    Raises
    ------
    ExportError
        A layer is not there or cannot be narrowed, an index is out of range, no channel stays, or two layers that share
        their channels keep different ones.
    """
    network = read_network(model)
    channels = channel_map(network)
    keeps: dict[int, str] = {}
    removes: dict[int, str] = {}
    for name, indices in kept.items():
        slots = _slots(network, channels, name)
        stay = set(indices)
        if not stay <= set(range(len(slots))):
            wrong = next(index for index in indices if index not in range(len(slots)))
            raise ExportError(f"layer {name!r} has channels 0 to {len(slots) - 1}; {wrong!r} is not one of them")
        if not stay:
            raise ExportError(f"layer {name!r} keeps no channel; it has to keep at least one")
        for index, slot in enumerate(slots.tolist()):
            (keeps if index in stay else removes).setdefault(slot, name)
    if 0 in removes:
        raise ExportError(f"the channels of layer {removes[0]!r} cannot be removed; leave it out, or keep all of them")
    torn = sorted(keeps.keys() & removes.keys())
    if torn:
        raise ExportError(
            f"layers {keeps[torn[0]]!r} and {removes[torn[0]]!r} share channels and keep different ones; "
            "name one of them"
        )
    return cut(model, network, channels, frozenset(removes))


def _slots(network: Network, channels: ChannelMap, name: str) -> np.ndarray:
    network.index(name)
    return np.asarray(next(axis for axis in channels.outputs[name] if axis is not None))


def cut(model: Any, network: Network, channels: ChannelMap, removed: frozenset[int]) -> Slice:
    """Build ``model`` without the slots ``removed``.

    Parameters
    ----------
    model
        The whole model.
    network, channels
        What `model_export.network.read_network` and `model_export.compression.channels.channel_map` make of it.
    removed
        Slots of ``channels``; at least one of each group has to stay.
    """
    shapes = {node.name: channels.output_shape_without(removed, node.name, node.output_shape) for node in network.nodes}
    used: dict[int, set[tuple[int, ...]]] = {}
    for node in network.nodes:
        used.setdefault(id(node.layer), set()).add(shapes[node.name])

    def narrow(layer: Any) -> Any:
        config = layer.get_config()
        for key in ("filters", "units"):
            if key in config:
                config[key] = min(used[id(layer)])[-1]
        if isinstance(layer, keras.layers.Reshape):
            if len(used[id(layer)]) > 1:
                raise ExportError(f"layer {layer.name!r} is used on different widths; use a layer for each")
            config["target_shape"] = min(used[id(layer)])
        return type(layer).from_config(config)

    parts = channels.without(removed)
    result = keras.models.clone_model(model, clone_function=narrow, recursive=True)
    values = {path: variable for node in network.nodes for path, variable in node.variables.items()}
    for node in read_network(result).nodes:
        for path, variable in node.variables.items():
            variable.assign(np.asarray(values[path].numpy())[np.ix_(*parts[path])])
    return Slice(result, parts, channels.shapes)


def take_weights(model: Any, bundle: Bundle) -> None:
    """Give ``model`` the initial weights of a bundle that was exported from such a model.

    Raises
    ------
    ExportError
        The bundle holds a variable of a layer that the model lacks, or one of another shape; nothing is changed.
    """
    variables = {path: v for node in read_network(model).nodes for path, v in node.variables.items()}
    initial = bundle.initial()
    for path, value in initial.items():
        if path not in variables:
            raise ExportError(f"{bundle.path} holds {path}, which the model does not; it is of another network")
        if tuple(variables[path].shape) != value.shape:
            raise ExportError(
                f"{path} is {list(value.shape)} in {bundle.path} and {list(variables[path].shape)} in the model"
            )
    missing = sorted(variables.keys() - initial.keys())
    if missing:
        raise ExportError(f"{bundle.path} does not hold {missing[0]}; export the whole network with all of it trained")
    for path, value in initial.items():
        variables[path].assign(value)
