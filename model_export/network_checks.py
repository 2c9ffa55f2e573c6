"""What speaks against exporting a model as a whole; `model_export.network` judges its layers one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from model_export.errors import ExportError

if TYPE_CHECKING:
    from model_export.network import Node

__all__ = ["check_ends", "check_gradients", "check_input_dtype", "check_model", "is_graph"]


def check_model(model: Any) -> None:
    """Refuse what is no graph of layers with one input of known shape and one output."""
    if not isinstance(model, (keras.Sequential, keras.Model)):
        raise ExportError(f"expected a Keras model, got {type(model).__name__}")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ExportError(f"model {model.name!r} has no input shape yet; start it with keras.Input(shape)")
    if not is_graph(model):
        raise ExportError(
            f"model {model.name!r} is a {type(model).__name__} with its own call(); "
            "only functional and Sequential models can be exported"
        )
    check_ends(model)
    shape = model.inputs[0].shape[1:]
    if None in shape or not shape:
        raise ExportError(
            f"model {model.name!r} takes input of shape {list(shape)}; every size but the batch has to be known"
        )


def check_ends(model: Any) -> None:
    """Refuse a model or nested model with several inputs or outputs."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ExportError(
            f"model {model.name!r} has {len(model.inputs)} inputs ({_names(model.inputs)}) and "
            f"{len(model.outputs)} outputs ({_names(model.outputs)}); one of each is needed: join the inputs into one, "
            "and make a keras.Model that ends in the output to be trained"
        )


def _names(tensors: Sequence[Any]) -> str:
    shown = [tensor._keras_history.operation.name for tensor in tensors[:4]]
    return ", ".join(shown + ["..."] * (len(tensors) > 4))


def is_graph(model: Any) -> bool:
    """Tell whether a model or layer is a graph of layers."""
    return isinstance(model, keras.Sequential) or (isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth"))


def check_input_dtype(model: Any, nodes: Sequence[Node], network_input: str) -> None:
    """Accept whole numbers as input where only embeddings take them, which turn any number into a whole one."""
    dtype = model.inputs[0].dtype
    taken = next((node for node in nodes if network_input in node.inputs and node.rule.passes_gradient), None)
    if dtype != "float32" and (taken is not None or "int" not in dtype):
        where = f" into layer {taken.name!r}" if taken is not None else ""
        raise ExportError(
            f"model {model.name!r} takes {dtype} input{where}; only float32 is supported, "
            "and whole numbers that go into an Embedding"
        )


def check_gradients(nodes: Sequence[Node]) -> None:
    """Refuse weights that no gradient would reach."""
    reached: set[str] = set()
    for node in reversed(nodes):
        if (node is nodes[-1] or node.name in reached) and node.rule.passes_gradient:
            reached.update(node.inputs)
    behind = {name for node in nodes if not node.rule.passes_gradient for name in node.inputs}
    for node in nodes:
        if node.trainable_paths and node is not nodes[-1] and node.name not in reached:
            why = "only leads into an Embedding, which" if node.name in behind else "leads nowhere that"
            raise ExportError(
                f"layer {node.name!r} {why} passes no gradient on, so it cannot be trained; "
                "set its trainable to False or take it out"
            )
