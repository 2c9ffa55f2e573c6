"""Which channels of a network belong together, so that a narrower network can be cut out of it.

An output channel of a layer can go only together with what else depends on it: the batch norm behind it, the channels
that a residual sum adds to it, the rows of the next kernel, the places behind a flattening. To find all that, every
element of every layer's output carries the number of the channel it came from. A linear layer numbers its output anew,
sums and products tie the numbers that meet, everything else moves them as it moves the values. What cannot be
narrowed is tied to number 0, which always stays: the network's input, the logits, grouped convolutions, layers that mix
channels without weights (softmax, layer normalization), and whatever layer is not known here.

Tied numbers are one *slot*. Slots that the same layers make are one *group*: a width is chosen for each group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import keras
import numpy as np

from model_export.network import INPUT, Network, Node

__all__ = ["ChannelMap", "Group", "channel_map"]

_FIXED = 0

Labels = np.ndarray
"""Number of the channel that each element of a layer's output came from, without the batch axis; int64."""

Axes = tuple[Optional[np.ndarray], ...]

_LINEAR = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Dense)
_ELEMENTWISE = (keras.layers.Dropout, keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)
_GLOBAL_POOLING = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
)
_JOINING = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
)
_OVER_PLACES = (
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)


@dataclass(frozen=True)
class Group:
    """Slots that are made by the same layers.

    Attributes
    ----------
    layers
        Names of the layers whose output channels they are, in layer order.
    slots
        Numbers of the slots, in the order of the first layer's channels; the width of the group is their number.
    """

    layers: tuple[str, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True)
class ChannelMap:
    """What of a network goes with which slot.

    Attributes
    ----------
    groups
        All that can be narrowed.
    axes
        For each variable by path, and each of its axes, the slot of every index; None for an axis without channels.
    outputs
        For each layer by name, and each axis of its output without the batch, the slot of every index or None.
    shapes
        Shape of each variable by path.
    """

    groups: tuple[Group, ...]
    axes: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    shapes: Mapping[str, tuple[int, ...]]

    def without(self, removed: frozenset[int]) -> dict[str, tuple[np.ndarray, ...]]:
        """Return the indices that stay along each axis of each variable, ``int64``, when slots are removed.

        With ``numpy.ix_`` of them a variable is cut out of the whole one, and an update is put back in its place.
        """
        gone = np.array(sorted(removed), np.int64)
        return {
            path: tuple(
                np.arange(size) if axis is None else np.flatnonzero(~np.isin(axis, gone))
                for axis, size in zip(axes, self.shapes[path])
            )
            for path, axes in self.axes.items()
        }

    def output_shape_without(self, removed: frozenset[int], name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return what is left of a layer's output shape, without the batch axis, when slots are removed."""
        gone = np.array(sorted(removed), np.int64)
        return tuple(
            size if axis is None else int((~np.isin(axis, gone)).sum()) for axis, size in zip(self.outputs[name], shape)
        )


def channel_map(network: Network) -> ChannelMap:
    """Find what belongs together in ``network``.

    Parameters
    ----------
    network
        Of any layers; those that are not known here keep their width, and so does what enters them.
    """
    return _Tracer(network).trace()


class _Ties:
    """Disjoint sets of labels; the smallest label stands for its set, so that what is tied to 0 is 0."""

    def __init__(self) -> None:
        self._parents = [_FIXED]

    def new(self, count: int) -> Labels:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, label: int) -> int:
        root = label
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[label] != root:
            self._parents[label], label = root, self._parents[label]
        return root

    def tie(self, one: Labels, other: Labels) -> None:
        """Tie labels element by element; shapes are broadcast."""
        pairs = np.stack(np.broadcast_arrays(one, other), axis=-1).reshape(-1, 2)
        for a, b in np.unique(pairs, axis=0).tolist():
            low, high = sorted((self.find(a), self.find(b)))
            self._parents[high] = low

    def roots(self, labels: Labels) -> Labels:
        values, places = np.unique(labels, return_inverse=True)
        found = np.array([self.find(value) for value in values.tolist()], np.int64)
        return found[places].reshape(labels.shape)


class _Tracer:
    """Walks through the layers once, then reads off what was tied."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ties = _Ties()
        self._labels: dict[str, Labels] = {INPUT: np.full(network.input_shape, _FIXED)}
        self._made: dict[str, Labels] = {}
        self._axes: dict[str, Axes] = {}

    def trace(self) -> ChannelMap:
        for node in self._network.nodes:
            labels = self._through(node, [self._labels[name] for name in node.inputs])
            self._labels[node.name] = self._on_one_axis(labels)
        self._ties.tie(self._labels[self._network.logits], np.array(_FIXED))
        return ChannelMap(
            groups=self._groups(),
            axes={
                path: tuple(None if axis is None else self._ties.roots(axis) for axis in axes)
                for path, axes in self._axes.items()
            },
            outputs={node.name: self._output_axes(node.name) for node in self._network.nodes},
            shapes={path: tuple(v.shape) for node in self._network.nodes for path, v in node.variables.items()},
        )

    def _groups(self) -> tuple[Group, ...]:
        makers: dict[int, list[str]] = {}
        for name, labels in self._made.items():
            for root in self._ties.roots(labels).tolist():
                if root != _FIXED and name not in makers.setdefault(root, []):
                    makers[root].append(name)
        groups: dict[tuple[str, ...], list[int]] = {}
        for root, names in makers.items():
            groups.setdefault(tuple(names), []).append(root)
        return tuple(Group(names, tuple(slots)) for names, slots in groups.items())

    def _output_axes(self, name: str) -> Axes:
        labels = self._ties.roots(self._labels[name])
        varying = _varying_axes(labels)
        axes: list[Optional[np.ndarray]] = [None] * labels.ndim
        axis = varying[0] if varying else labels.ndim - 1
        axes[axis] = np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])[0]
        return tuple(axes)

    def _on_one_axis(self, labels: Labels) -> Labels:
        """Tie labels until they vary along one axis, so that what stays of the tensor is a tensor."""
        labels = self._ties.roots(labels)
        varying = _varying_axes(labels)
        if len(varying) > 1:
            longest = max(varying, key=lambda axis: labels.shape[axis])
            for axis in varying:
                if axis != longest:
                    self._ties.tie(labels, np.take(labels, [0], axis=axis))
            labels = self._ties.roots(labels)
        return labels

    def _through(self, node: Node, given: list[Labels]) -> Labels:
        layer, shape = node.layer, node.output_shape
        kind = type(layer)
        if kind in _LINEAR and getattr(layer, "groups", 1) == 1:
            entering = self._channels(given[0])
            if layer.name not in self._made:  # used again, a layer makes the channels that it made before
                self._made[layer.name] = self._ties.new(shape[-1])
            made = self._made[layer.name]
            if _mixes(layer):  # a softmax needs all of its channels, but not all that they are made from
                self._ties.tie(made, np.array(_FIXED))
            self._note(node, kernel=(*[None] * (layer.kernel.ndim - 2), entering, made), bias=(made,))
            return np.broadcast_to(made, shape)
        if kind is keras.layers.DepthwiseConv2D and not _mixes(layer):
            entering = self._channels(given[0])
            leaving = np.repeat(entering, layer.depth_multiplier)
            self._note(node, kernel=(None, None, entering, None), bias=(leaving,))
            return np.broadcast_to(leaving, shape)
        if kind is keras.layers.BatchNormalization:
            channels = (self._channels(given[0]),)
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            self._note(node, **dict.fromkeys(names, channels))
            return given[0]
        if kind in _OVER_PLACES or kind in _GLOBAL_POOLING:
            return np.broadcast_to(self._channels(given[0]), shape)
        return self._moved(node, given)

    def _moved(self, node: Node, given: list[Labels]) -> Labels:
        """Layers without variables that move values as they are, or join them element by element."""
        layer, shape = node.layer, node.output_shape
        kind = type(layer)
        if kind in _ELEMENTWISE or (kind is keras.layers.Activation and not _mixes(layer)):
            return given[0]
        if kind in _JOINING:
            for other in given[1:]:
                self._ties.tie(given[0], other)
            return np.broadcast_to(max(given, key=lambda labels: labels.size), shape)
        if kind is keras.layers.Concatenate:
            return np.concatenate(given, axis=layer.axis if layer.axis < 0 else layer.axis - 1)
        if kind in (keras.layers.Flatten, keras.layers.Reshape):
            return given[0].reshape(shape)
        if kind is keras.layers.Permute:
            return given[0].transpose([axis - 1 for axis in layer.dims])
        if kind is keras.layers.Cropping2D:
            (top, bottom), (left, right) = layer.cropping
            height, width = given[0].shape[:2]
            return given[0][top : height - bottom, left : width - right]
        return self._kept_whole(node, given)

    def _kept_whole(self, node: Node, given: list[Labels]) -> Labels:
        for labels in given:
            self._ties.tie(labels, np.array(_FIXED))
        for path, variable in node.variables.items():
            self._axes[path] = (None,) * len(variable.shape)
        return np.full(node.output_shape, _FIXED)

    def _channels(self, labels: Labels) -> Labels:
        """Labels of the last axis; where they differ from place to place, they are not channels and stay."""
        rows = self._ties.roots(labels).reshape(-1, labels.shape[-1])
        if (rows != rows[0]).any():
            self._ties.tie(labels, np.array(_FIXED))
            rows = self._ties.roots(rows)
        return np.asarray(rows[0])

    def _note(self, node: Node, **axes: Axes) -> None:
        for path in node.variables:
            found = axes[path.rpartition("/")[2]]
            for one, other in zip(found, self._axes.setdefault(path, found)):
                if one is not None and other is not None:
                    self._ties.tie(one, other)


def _mixes(layer: Any) -> bool:
    """Tell whether the layer's activation makes every channel depend on all."""
    return getattr(layer, "activation", None) is keras.activations.softmax


def _varying_axes(labels: Labels) -> list[int]:
    return [axis for axis in range(labels.ndim) if (labels != np.take(labels, [0], axis=axis)).any()]
