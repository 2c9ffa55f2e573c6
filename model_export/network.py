"""A Keras model as a flat list of layers, from input to output: the layer order.

Nested models are flattened. Whatever the exporter cannot do is refused here, before anything is computed or written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import keras
import numpy as np

from model_export.errors import ExportError, UnsupportedLayerError
from model_export.layers import RULES
from model_export.layers.base import Layer, LayerRule, Shape
from model_export.network_checks import check_ends, check_gradients, check_input_dtype, check_model, is_graph

__all__ = ["INPUT", "Network", "Node", "layer_variables", "read_network"]

INPUT = "input"
"""Name of the network's input in the layer order."""


@dataclass(frozen=True)
class Node:
    """One layer at its place in the network.

    Attributes
    ----------
    name
        Name of the layer, unique in the network.
    layer
        The Keras layer.
    inputs
        Names of the nodes it takes; `INPUT` is the network's input.
    input_shapes, output_shape
        Without the batch axis.
    nested_in
        The nested models that the layer sits in, outermost first.
    repeats
        Whether the layer was used before, by another node: a shared layer, whose variables that node lists.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    nested_in: tuple[str, ...]
    repeats: bool = False

    @property
    def rule(self) -> LayerRule:
        """How the layer is computed."""
        return RULES[type(self.layer)]

    @property
    def variables(self) -> dict[str, Any]:
        """Keras variables by path ``<layer>/<variable>``; trainable ones first."""
        return layer_variables(self.layer)

    @property
    def parameters(self) -> int:
        """Number of elements of all variables; none for those that another node lists."""
        if self.repeats:
            return 0
        return sum(math.prod(variable.shape) for variable in self.layer.weights)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample: convolutions and products of matrices."""
        return self.rule.macs(self.layer, self.input_shapes[0], self.output_shape)

    @property
    def trainable_paths(self) -> tuple[str, ...]:
        """Paths of the variables that Keras would train."""
        if not self.layer.trainable:
            return ()
        return tuple(path for path, variable in self.variables.items() if variable.trainable)


def layer_variables(layer: Layer) -> dict[str, Any]:
    """Keras variables of a layer by path; an input layer has none."""
    names = RULES[type(layer)].variable_names(layer) if layer.weights else []
    return {f"{layer.name}/{name}": variable for name, variable in zip(names, layer.weights)}


@dataclass(frozen=True)
class Network:
    """A Keras model, flattened.

    Attributes
    ----------
    name
        Name of the model.
    input_shape
        Without the batch axis.
    nodes
        The layer order; every node comes after its inputs.
    logits
        Name of the node whose value, taken without its softmax, are the logits.
    classes
        Number of classes.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    logits: str
    classes: int

    def index(self, name: str) -> int:
        """Position of a layer in the layer order.

        Raises
        ------
        ExportError
            There is no such layer.
        """
        for position, node in enumerate(self.nodes):
            if node.name == name:
                return position
        raise ExportError(f"no layer is called {name!r}; the layers are: {', '.join(n.name for n in self.nodes)}")

    def crossing(self, position: int) -> list[str]:
        """Names of the values that layers from ``position`` on take from layers before it."""
        before = {INPUT, *(node.name for node in self.nodes[:position])}
        taken = [name for node in self.nodes[position:] for name in node.inputs if name in before]
        return list(dict.fromkeys(taken))

    def divided(self, position: int) -> list[str]:
        """Names of the layers with variables that are used both before ``position`` and from there on."""
        before = {id(node.layer) for node in self.nodes[:position] if node.layer.weights}
        return [node.layer.name for node in self.nodes[position:] if id(node.layer) in before]

    def shape_of(self, name: str) -> Shape:
        """Shape of a node's output, or of the input, without the batch axis."""
        return self.input_shape if name == INPUT else self.nodes[self.index(name)].output_shape


def read_network(model: Any) -> Network:
    """Flatten ``model`` and check that all of it can be exported.

    Parameters
    ----------
    model
        A functional or Sequential Keras model with one input of known shape and one output ``[None, K]``, logits or
        softmax.

    Raises
    ------
    UnsupportedLayerError
        A layer or a setting of it has no builtin form.
    ExportError
        Anything else about the model that cannot be exported.
    """
    check_model(model)
    input_shape = tuple(model.inputs[0].shape[1:])
    reader = _Reader()
    output = reader.read(model, [(INPUT, input_shape)], nested_in=())
    reader.refuse_problems()
    nodes = tuple(reader.nodes)
    last = next((node for node in nodes if node.name == output[0]), None)
    if last is None:
        raise ExportError(f"model {model.name!r} has no layers")
    if len(last.output_shape) != 1 or last.output_shape[0] < 2:
        raise ExportError(
            f"layer {last.name!r} ends the model with shape {list(last.output_shape)}; "
            "a classifier has to end in one value for each of at least 2 classes, logits or softmax"
        )
    activation = getattr(getattr(last.layer, "activation", None), "__name__", "linear")
    if activation not in ("linear", "softmax"):
        raise ExportError(f"layer {last.name!r} ends the model in {activation}; end it in logits or softmax")
    if any(last.name in node.inputs for node in nodes):
        raise ExportError(f"layer {last.name!r} is the output and also an input of another layer")
    if last.repeats:
        raise ExportError(f"layer {last.layer.name!r} ends the model and is used before; end it in a layer of its own")
    check_input_dtype(model, nodes, INPUT)
    check_gradients(nodes)
    return Network(model.name, input_shape, nodes, last.name, last.output_shape[0])


Value = tuple[str, Shape]


_REGULATED = (
    "activity",
    "alpha",
    "beta",
    "bias",
    "depthwise",
    "embeddings",
    "gamma",
    "kernel",
    "pointwise",
    "recurrent",
)
"""What Keras's layers have regularizers and constraints for."""


class _Reader:
    """Collects nodes, and everything that speaks against exporting them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._problems: list[str] = []
        self._seen: dict[str, int] = {}

    def read(self, model: Any, inputs: Sequence[Value], nested_in: tuple[str, ...]) -> Value:
        """Append the layers of ``model``, fed with ``inputs``; return its output."""
        values: dict[int, Value] = {id(x): value for x, value in zip(model.inputs, inputs)}
        for operation, call in _calls(model):
            given = [values[id(x)] for x in call.input_tensors]
            if any(mask is not None for mask in keras.tree.flatten(call.arguments.kwargs.get("mask"))):
                raise UnsupportedLayerError(
                    f"layer {operation.name!r} is called with a mask, which is not supported; "
                    "set mask_zero=False and take Masking layers out"
                )
            if is_graph(operation):
                check_ends(operation)
                result = self.read(operation, given, (*nested_in, operation.name))
            else:
                result = self._append(operation, given, nested_in)
            # No supported layer has several outputs; one that is refused may, and what takes them is looked through.
            values.update({id(output): result for output in call.outputs})
        return values[id(model.outputs[0])]

    def refuse_problems(self) -> None:
        """Raise what was found, the first few in full."""
        if self._problems:
            shown = "; ".join(self._problems[:3])
            more = f" (and {len(self._problems) - 3} more)" if len(self._problems) > 3 else ""
            supported = ", ".join(sorted(kind.__name__ for kind in RULES))
            raise UnsupportedLayerError(f"{shown}{more}. Supported layers: {supported}")

    def _append(self, layer: Layer, given: Sequence[Value], nested_in: tuple[str, ...]) -> Value:
        name = layer.name
        shapes = tuple(shape for _, shape in given)
        # After the first problem, shapes are unknown: the rest is only looked through for other unsupported layers.
        problem = self._problem(layer, None if self._problems else shapes)
        if problem is not None:
            self._problems.append(f"layer {name!r} ({type(layer).__name__}): {problem}")
            return name, ()
        if self._problems:
            return name, ()
        uses = sum(1 for node in self.nodes if node.layer is layer)
        name = self._unused(f"{name}_use{uses + 1}") if uses else name
        batched = [(1, *shape) for shape in shapes]
        output_shape = tuple(layer.compute_output_shape(batched if len(batched) > 1 else batched[0]))[1:]
        names = tuple(name for name, _ in given)
        node = Node(name, layer, names, shapes, output_shape, nested_in, bool(uses))
        self.nodes.append(node)
        return name, output_shape

    def _unused(self, name: str) -> str:
        while name in self._seen:
            name += "_"
        self._seen[name] = 0  # no layer's: one of that name would be refused
        return name

    def _problem(self, layer: Layer, shapes: Optional[tuple[Shape, ...]]) -> Optional[str]:
        rule = RULES.get(type(layer))
        if rule is None and not isinstance(layer, keras.layers.Layer):
            return "it is a bare operation on tensors, not a layer; use a layer in its place, such as Add or Rescaling"
        if rule is None:
            return "this type is not supported"
        other = self._seen.setdefault(layer.name, id(layer))
        if other != id(layer) or layer.name == INPUT:
            return "the name is taken; give each layer a name of its own"
        if layer.non_trainable_variables and layer.trainable and any(node.layer is layer for node in self.nodes):
            return "it is used more than once, and each use would move its statistics; use a layer for each"
        wrong = next((v for v in layer.weights if v.dtype != "float32"), None)
        if wrong is not None or layer.compute_dtype != "float32":
            return f"dtype {wrong.dtype if wrong is not None else layer.compute_dtype} is not supported, only float32"
        unfit = next((v for v in layer.weights if not np.isfinite(v.numpy()).all()), None)
        if unfit is not None:
            return f"variable {unfit.name} holds NaN or infinity"
        for kind in ("regularizer", "constraint"):
            for which in _REGULATED:
                if getattr(layer, f"{which}_{kind}", None) is not None:
                    return f"{which}_{kind} is not supported" + ("; use weight_decay" if kind == "regularizer" else "")
        return rule.refusal(layer) or (None if shapes is None else _unfit_inputs(rule, shapes))


def _unfit_inputs(rule: LayerRule, shapes: tuple[Shape, ...]) -> Optional[str]:
    if len(shapes) > 1 and not rule.joins:
        return f"it is called with {len(shapes)} tensors, such as an initial state; only one is supported"
    return rule.refusal_of_shape(shapes)


def _calls(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the operations of a model with their calls, in the order in which Keras computes and lists them.

    A ``training`` argument that the model was built with is of no consequence: Keras 3 overrides it from outside.
    """
    if isinstance(model, keras.Sequential):
        model = model._functional
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            if not call.is_input:
                yield call.operation, call
