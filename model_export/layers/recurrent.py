"""``SimpleRNN``, ``LSTM`` and ``GRU``, unrolled over their time axis.

The projection of the inputs and every gradient of a kernel are one product over all times at once; what is left of a
step is one small product and the gates.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Optional

import tensorflow as tf

from model_export.layers.activation import function_of, unsupported_function
from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape, unsupported_setting
from model_export.ops.matmul import correlate_rows, matmul
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor

__all__ = ["GruRule", "LstmRule", "RecurrentRule", "SimpleRnnRule"]

MOST_STEPS = 256
"""Each step is some thirty ops, forwards and backwards."""

States = tuple[Tensor, ...]
Products = Sequence[tuple[Tensor, Tensor]]
"""Left operand ``[B, U]`` and gradient of the product ``[B, G]``, for each block of columns of the recurrent kernel."""

StepBackward = Callable[[States], tuple[Tensor, Products, States]]
"""Gradient of the new states → gradient of the step's input ``[B, G]``, products, gradient of the old states."""


class RecurrentRule(LayerRule):
    """What the recurrent layers have in common; the first of their states is the output."""

    states: int = 1

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        nothing = dict.fromkeys(
            f"{which}_{kind}" for which in ("kernel", "recurrent", "bias") for kind in ("regularizer", "constraint")
        )
        return (
            unsupported_setting(layer, return_state=False, stateful=False, time_major=False)
            or unsupported_setting(layer.cell, dropout=0.0, recurrent_dropout=0.0, **nothing)
            or unsupported_function("activation", layer.activation)
            or unsupported_function("recurrent_activation", getattr(layer, "recurrent_activation", layer.activation))
        )

    def refusal_of_shape(self, input_shapes: tuple[Shape, ...]) -> Optional[str]:
        """See `LayerRule`."""
        steps = input_shapes[0][0]
        if steps > MOST_STEPS:
            return f"{steps} time steps are too many to unroll, at most {MOST_STEPS}; use shorter sequences"
        return None

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return input_shape[0] * int(math.prod(layer.cell.kernel.shape) + math.prod(layer.cell.recurrent_kernel.shape))

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, kernel, recurrent = call.inputs[0], call.variables["kernel"], call.variables["recurrent_kernel"]
        bias = call.variables.get("bias")
        samples, steps, channels = x.shape
        flat = matmul(tf.reshape(x, [samples * steps, channels]), kernel)
        input_bias, recurrent_bias = _biases(bias)
        if input_bias is not None:
            flat = flat + input_bias
        parts = tf.unstack(tf.reshape(flat, [samples, steps, kernel.shape[1]]), axis=1)
        order = list(range(steps))[:: -1 if layer.go_backwards else 1]
        state: States = (tf.zeros([samples, layer.units]),) * self.states
        outputs: list[Tensor] = []
        undo: list[StepBackward] = []
        for place in order:
            state, backward = self._step(layer, parts[place], state, recurrent, recurrent_bias)
            outputs.append(state[0])
            undo.append(backward)
        y = tf.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]

        def backward_through_time(dy: Tensor) -> Gradients:
            shown = tf.unstack(dy, axis=1) if layer.return_sequences else None
            flowing: States = (tf.zeros([samples, layer.units]),) * self.states
            dparts: list[Tensor] = [None] * steps
            products: list[Products] = []
            for number in reversed(range(steps)):
                if shown is not None:
                    flowing = (flowing[0] + shown[number], *flowing[1:])
                elif number == steps - 1:
                    flowing = (dy, *flowing[1:])
                dparts[order[number]], product, flowing = undo[number](flowing)
                products.append(product)
            dflat = tf.stack(dparts, axis=1)
            blocks = [
                (tf.stack([left for left, _ in block], axis=1), tf.stack([right for _, right in block], axis=1))
                for block in zip(*products)
            ]
            columns = [correlate_rows(left, right) for left, right in blocks]
            variables = {
                "kernel": correlate_rows(x, dflat),
                "recurrent_kernel": columns[0] if len(columns) == 1 else tf.concat(columns, axis=1),
            }
            if bias is not None:
                sums = [sum_to_channels(dflat)]
                if recurrent_bias is not None:
                    sums.append(sum_to_channels(blocks[0][1]))
                variables["bias"] = sums[0] if len(sums) == 1 else tf.stack(sums)
            dx = matmul(tf.reshape(dflat, [samples * steps, kernel.shape[1]]), kernel, transpose_b=True)
            return Gradients((tf.reshape(dx, x.shape),), variables)

        return Applied(y, backward_through_time)

    @abc.abstractmethod
    def _step(
        self, layer: Layer, part: Tensor, states: States, recurrent: Tensor, bias: Optional[Tensor]
    ) -> tuple[States, StepBackward]:
        """Take one step; ``part`` is the projected input ``[B, G]``, ``bias`` that of the recurrent product."""


def _biases(bias: Optional[Tensor]) -> tuple[Optional[Tensor], Optional[Tensor]]:
    """Return the bias of the input's and of the recurrent product; only ``GRU(reset_after=True)`` has both."""
    if bias is not None and len(bias.shape) == 2:
        return bias[0], bias[1]
    return bias, None


class SimpleRnnRule(RecurrentRule):
    """``SimpleRNN``."""

    def _step(
        self, layer: Layer, part: Tensor, states: States, recurrent: Tensor, bias: Optional[Tensor]
    ) -> tuple[States, StepBackward]:
        (before,) = states
        after, undo = function_of(layer.activation)(part + matmul(before, recurrent))

        def backward(flowing: States) -> tuple[Tensor, Products, States]:
            dz = undo(flowing[0])
            return dz, [(before, dz)], (matmul(dz, recurrent, transpose_b=True),)

        return (after,), backward


class LstmRule(RecurrentRule):
    """``LSTM`` (Hochreiter & Schmidhuber 1997); its states are output and cell."""

    states = 2

    def _step(
        self, layer: Layer, part: Tensor, states: States, recurrent: Tensor, bias: Optional[Tensor]
    ) -> tuple[States, StepBackward]:
        before, memory = states
        gate, activation = function_of(layer.recurrent_activation), function_of(layer.activation)
        parts = tf.split(part + matmul(before, recurrent), 4, axis=-1)
        (enter, undo_enter), (forget, undo_forget), (leave, undo_leave) = (gate(parts[i]) for i in (0, 1, 3))
        candidate, undo_candidate = activation(parts[2])
        cell = forget * memory + enter * candidate
        shown, undo_shown = activation(cell)

        def backward(flowing: States) -> tuple[Tensor, Products, States]:
            dafter, dcell = flowing
            dcell = dcell + undo_shown(dafter * leave)
            dz = tf.concat(
                [
                    undo_enter(dcell * candidate),
                    undo_forget(dcell * memory),
                    undo_candidate(dcell * enter),
                    undo_leave(dafter * shown),
                ],
                axis=-1,
            )
            return dz, [(before, dz)], (matmul(dz, recurrent, transpose_b=True), dcell * forget)

        return (leave * shown, cell), backward


class GruRule(RecurrentRule):
    """``GRU`` (Cho et al. 2014), the reset gate before or after the recurrent product."""

    def _step(
        self, layer: Layer, part: Tensor, states: States, recurrent: Tensor, bias: Optional[Tensor]
    ) -> tuple[States, StepBackward]:
        (before,) = states
        gate, activation = function_of(layer.recurrent_activation), function_of(layer.activation)
        units = layer.units
        gates, inner = recurrent[:, : 2 * units], recurrent[:, 2 * units :]
        if layer.reset_after:
            product = matmul(before, recurrent)
            keep_product, reset_product, inner_product = tf.split(
                product if bias is None else product + bias, 3, axis=-1
            )
        else:
            keep_product, reset_product = tf.split(matmul(before, gates), 2, axis=-1)
        keep_part, reset_part, inner_part = tf.split(part, 3, axis=-1)
        keep, undo_keep = gate(keep_part + keep_product)
        reset, undo_reset = gate(reset_part + reset_product)
        if layer.reset_after:
            candidate, undo_candidate = activation(inner_part + reset * inner_product)
        else:
            candidate, undo_candidate = activation(inner_part + matmul(reset * before, inner))

        def backward(flowing: States) -> tuple[Tensor, Products, States]:
            (dafter,) = flowing
            dcandidate = undo_candidate(dafter * (1.0 - keep))
            dkeep = undo_keep(dafter * (before - candidate))
            dbefore = dafter * keep
            if layer.reset_after:
                dreset = undo_reset(dcandidate * inner_product)
                dproduct = tf.concat([dkeep, dreset, dcandidate * reset], axis=-1)
                dbefore = dbefore + matmul(dproduct, recurrent, transpose_b=True)
                return tf.concat([dkeep, dreset, dcandidate], axis=-1), [(before, dproduct)], (dbefore,)
            dmasked = matmul(dcandidate, inner, transpose_b=True)
            dgates = tf.concat([dkeep, undo_reset(dmasked * before)], axis=-1)
            dbefore = dbefore + dmasked * reset + matmul(dgates, gates, transpose_b=True)
            products = [(before, dgates), (reset * before, dcandidate)]
            return tf.concat([dgates, dcandidate], axis=-1), products, (dbefore,)

        return (keep * before + (1.0 - keep) * candidate,), backward
