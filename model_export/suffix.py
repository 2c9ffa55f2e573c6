"""Which part of a network is trained: all of it, its head, or everything from a layer on."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from model_export.errors import ExportError
from model_export.network import Network, Node

__all__ = ["first_trained", "positions_of_cuts"]

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_BASE = (
    *_CONVOLUTIONS,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.Bidirectional,
    keras.layers.Embedding,
    keras.layers.GRU,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.LSTM,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.SimpleRNN,
)


def first_trained(network: Network, trainable: str) -> int:
    """Position of the first layer that the model carries as state.

    Parameters
    ----------
    network
        The network.
    trainable
        "all"; a layer's name, which trains that layer and all after it; or "head", see `_head`.

    Raises
    ------
    ExportError
        There is no such layer, it is the first one, nothing is left to train, or several tensors cross into the trained
        part.
    """
    if trainable == "all":
        position = 0
    elif trainable == "head":
        position = _head(network)
    else:
        position = network.index(trainable)
    if not any(node.trainable_paths for node in network.nodes[position:]):
        raise ExportError(
            f"trainable={trainable!r} leaves nothing to train: every layer from there on is frozen or has no weights"
        )
    if position == 0 and trainable != "all":
        raise ExportError(f"trainable={trainable!r} is the whole network; use trainable='all'")
    _refuse_divided(network, position, f"trainable={trainable!r}")
    if position and len(network.crossing(position)) > 1:
        possible = [
            node.name
            for i, node in enumerate(network.nodes[1:], start=1)
            if len(network.crossing(i)) == 1 and any(later.trainable_paths for later in network.nodes[i:])
        ]
        raise ExportError(
            f"trainable={trainable!r}: {len(network.crossing(position))} tensors cross into layer "
            f"{network.nodes[position].name!r} and those after it, but features are one tensor; "
            f"layers with one: {', '.join(possible)}"
        )
    return position


def positions_of_cuts(network: Network, cuts: Sequence[str], first: int) -> dict[str, int]:
    """Position of each cut by the name of its layer.

    Raises
    ------
    ExportError
        ``cuts`` is one name instead of a sequence of them; or a cut is no layer, is given twice, lies before the
        trained part or leaves nothing to train.
    """
    if isinstance(cuts, str):
        raise ExportError(f"cuts is {cuts!r}; give a sequence of layers' names, as in cuts=[{cuts!r}]")
    positions: dict[str, int] = {}
    for cut in cuts:
        position = network.index(cut)
        if cut in positions:
            raise ExportError(f"cut {cut!r} is given twice")
        if position <= first:
            raise ExportError(f"cut {cut!r} does not lie after {network.nodes[first].name!r}, the first trained layer")
        if not any(node.trainable_paths for node in network.nodes[position:]):
            raise ExportError(
                f"cut {cut!r} leaves nothing to train: every layer from there on is frozen or has no weights"
            )
        _refuse_divided(network, position, f"cut {cut!r}")
        positions[cut] = position
    return positions


def _refuse_divided(network: Network, position: int, what: str) -> None:
    divided = network.divided(position)
    if divided:
        raise ExportError(f"{what} would train layer {divided[0]!r} in one place and not in another; it is shared")


def _head(network: Network) -> int:
    """Position of the head's first layer.

    The base is the last nested model that holds convolutions, for a model that was built from a base and a head; the
    head begins after it, at the first layer that has weights or drops out. In a model without one, the head begins at
    the first dense layer after the last convolution, pooling or recurrence, or at the dropout right before that.
    Without a dense layer there, the head is the last layer with weights.
    """
    nodes = network.nodes
    nested = {name for node in nodes if isinstance(node.layer, _CONVOLUTIONS) for name in node.nested_in[:1]}
    if nested:
        end_of_base = max(i for i, node in enumerate(nodes) if node.nested_in[:1] and node.nested_in[0] in nested)
        for position in range(end_of_base + 1, len(nodes)):
            if _changes_in_training(nodes[position]):
                return position
    else:
        end_of_base = max((i for i, node in enumerate(nodes) if isinstance(node.layer, _BASE)), default=-1)
        for position in range(end_of_base + 1, len(nodes)):
            if isinstance(nodes[position].layer, keras.layers.Dense):
                return _with_dropout_before(nodes, position)
    with_weights = [i for i, node in enumerate(nodes) if node.trainable_paths]
    if not with_weights:
        raise ExportError(f"model {network.name!r} has no layer to train")
    return with_weights[-1]


def _changes_in_training(node: Node) -> bool:
    return bool(node.layer.weights) or node.rule.drops(node.layer)


def _with_dropout_before(nodes: Sequence[Node], position: int) -> int:
    first = position
    for i in range(position - 1, -1, -1):
        if nodes[i].rule.drops(nodes[i].layer):
            first = i
        elif nodes[i].layer.weights or isinstance(nodes[i].layer, _BASE):
            break
    return first
