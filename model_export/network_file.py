"""``network.json`` of a bundle: the architecture as Keras reads it, without weights."""

from __future__ import annotations

from typing import Any

import keras

from model_export.network import INPUT, Network

__all__ = ["network_json"]


def network_json(network: Network) -> bytes:
    """Return the architecture as a flat functional Keras model in Keras's own JSON.

    Nested models are gone, and channels that were removed are removed here too: layers are called as the manifest
    calls them, and ``keras.models.model_from_json`` reads it on any backend. A layer that is used more than once is one
    layer that is called more than once.

    Parameters
    ----------
    network
        What is exported; its layers are not changed.
    """
    given = keras.Input(network.input_shape, name=_unused_name(network))
    values = {INPUT: given}
    twins: dict[int, Any] = {}
    for node in network.nodes:
        if id(node.layer) not in twins:
            twins[id(node.layer)] = type(node.layer).from_config(node.layer.get_config())
        inputs = [values[name] for name in node.inputs]
        values[node.name] = twins[id(node.layer)](inputs if len(inputs) > 1 else inputs[0])
    text: str = keras.Model(given, values[network.logits], name=network.name).to_json()
    return text.encode()


def _unused_name(network: Network) -> str:
    name = INPUT
    while any(name in (node.name, node.layer.name) for node in network.nodes):
        name += "_"
    return name
