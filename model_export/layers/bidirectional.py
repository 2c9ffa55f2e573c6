"""``Bidirectional``: one recurrent layer reads the sequence from its beginning, another from its end."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape
from model_export.layers.recurrent import RecurrentRule
from model_export.ops.tensor import Tensor
from model_export.ops.windows import backwards

__all__ = ["BidirectionalRule"]

_MERGES = ("concat", "sum", "ave", "mul")


class BidirectionalRule(LayerRule):
    """``Bidirectional`` of the given layers; its variables are ``forward_kernel``, ``backward_kernel`` and so on."""

    def __init__(self, kinds: dict[type, RecurrentRule]) -> None:
        self._kinds = kinds

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        for part in (layer.forward_layer, layer.backward_layer):
            rule = self._kinds.get(type(part))
            if rule is None:
                only = ", ".join(kind.__name__ for kind in self._kinds)
                return f"{type(part).__name__} inside is not supported, only {only}"
            problem = rule.refusal(part)
            if problem is not None:
                return f"inside, {problem}"
        if layer.merge_mode not in _MERGES:
            return f"merge_mode={layer.merge_mode!r} is not supported, only {', '.join(_MERGES)}"
        return None

    def refusal_of_shape(self, input_shapes: tuple[Shape, ...]) -> Optional[str]:
        """See `LayerRule`."""
        return next(iter(self._kinds.values())).refusal_of_shape(input_shapes)

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        parts = (layer.forward_layer, layer.backward_layer)
        return sum(self._kinds[type(part)].macs(part, input_shape, output_shape) for part in parts)

    def variable_names(self, layer: Layer) -> list[str]:
        """See `LayerRule`."""
        ways = (("forward", layer.forward_layer), ("backward", layer.backward_layer))
        return [f"{way}_{variable.name}" for way, part in ways for variable in part.weights]

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        one = self._part(layer.forward_layer, call, "forward")
        other = self._part(layer.backward_layer, call, "backward")
        a, b = one.output, _in_time(layer, other.output)

        def backward(dy: Tensor) -> Gradients:
            if layer.merge_mode == "concat":
                da, db = tf.split(dy, [a.shape[-1], b.shape[-1]], axis=-1)
            elif layer.merge_mode == "mul":
                da, db = dy * b, dy * a
            else:
                da = db = dy * 0.5 if layer.merge_mode == "ave" else dy
            gradients = {"forward": one.backward(da), "backward": other.backward(_in_time(layer, db))}
            variables = {
                f"{way}_{name}": value for way, part in gradients.items() for name, value in part.variables.items()
            }
            return Gradients((gradients["forward"].inputs[0] + gradients["backward"].inputs[0],), variables)

        return Applied(_merged(layer.merge_mode, a, b), backward)

    def _part(self, part: Layer, call: Call, way: str) -> Applied:
        variables = {name: value for name, value in call.variables.items() if name.startswith(f"{way}_")}
        own = {name.removeprefix(f"{way}_"): value for name, value in variables.items()}
        return self._kinds[type(part)].apply(part, Call(call.name, call.inputs, own, constant=call.constant))


def _in_time(layer: Layer, y: Tensor) -> Tensor:
    """Turn the sequence of the layer that reads from the end around."""
    return backwards(y, axis=1) if layer.forward_layer.return_sequences else y


def _merged(mode: str, a: Tensor, b: Tensor) -> Tensor:
    if mode == "concat":
        return tf.concat([a, b], axis=-1)
    if mode == "mul":
        return a * b
    return (a + b) * 0.5 if mode == "ave" else a + b
