"""What a network costs whoever runs it: multiply-accumulates, parameters, and its largest feature map."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model_export.compression.channels import ChannelMap
from model_export.network import Network

__all__ = ["Size", "size_of", "size_without"]


@dataclass(frozen=True)
class Size:
    """Costs of a network, from the same counts as the layers of a manifest.

    Attributes
    ----------
    macs
        Multiply-accumulates for one sample: convolutions and dense layers.
    parameters
        Elements of all variables, statistics of batch norms included.
    feature_map
        Elements of the largest output of a layer for one sample. Li and Sanyal, section 4.1, take it as the measure of
        the memory that a network needs.
    """

    macs: int
    parameters: int
    feature_map: int

    def __str__(self) -> str:
        """Return the costs in words."""
        return f"{self.macs:,} MACs, {self.parameters:,} parameters, feature map {self.feature_map:,}"


def size_of(network: Network) -> Size:
    """Count the costs of ``network``."""
    return Size(
        macs=sum(node.macs for node in network.nodes),
        parameters=sum(node.parameters for node in network.nodes),
        feature_map=max(math.prod(node.output_shape) for node in network.nodes),
    )


def size_without(network: Network, channels: ChannelMap, removed: frozenset[int]) -> Size:
    """Count the costs of what `model_export.width.cut` would build, without building it.

    Parameters
    ----------
    network, channels, removed
        As for `model_export.width.cut`.
    """
    parts = channels.without(removed)
    left = {path: math.prod(len(axis) for axis in axes) for path, axes in parts.items()}
    macs = parameters = 0
    for node in network.nodes:
        kernel = f"{node.layer.name}/kernel"
        macs += node.macs
        if kernel in left:  # a place costs what the kernel has; the places stay
            macs += node.macs * left[kernel] // math.prod(channels.shapes[kernel]) - node.macs
        if not node.repeats:
            parameters += sum(left[path] for path in node.variables)
    shapes = (channels.output_shape_without(removed, node.name, node.output_shape) for node in network.nodes)
    return Size(macs, parameters, max(math.prod(shape) for shape in shapes))
