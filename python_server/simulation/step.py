"""One step of local training as a pure function of variables and batch, the same on every backend of Keras.

It does what a bundle's ``train`` signatures do (`model_export.training`, `model_export.optimizers`): loss over weighted
samples, clipping, proximal term, decoupled weight decay, then SGD or Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from python_server.simulation.backend import value_and_gradient
from python_server.simulation.keras_network import KerasNetwork

__all__ = ["make_evaluation", "make_step", "slots_of"]

Tensor = Any
State = dict[str, Any]
"""``variables``: all carried ones by path; ``slots``: for each slot of the optimizer, trained variables by path."""
Batch = Mapping[str, Tensor]
"""``given [B, ...]``, ``y`` and ``w`` ``[B]``, ``seed`` int32 scalar, and ``step``, the number of this step from 1.
Without ``w`` (on TensorFlow) all samples count alike, and there may be any number of them."""


def slots_of(optimizer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the optimizer remembers of each trained variable; all begins at zero."""
    if optimizer["name"] == "adam":
        return ("mean", "square")
    return ("velocity",) if optimizer["momentum"] else ()


def make_step(network: KerasNetwork, cut: str) -> Callable[[Mapping[str, Any]], tuple[State, Tensor]]:
    """Return the function that takes one step of training from layer ``cut`` on.

    Parameters
    ----------
    network
        The network.
    cut
        A cut of the bundle; empty: all that the bundle trains.

    Returns
    -------
    callable
        Takes ``{"state": State, "batch": Batch, "rate", "mu", "anchors"}``; returns the new state and the mean loss
        before the step. With ``active`` beside these, a boolean scalar, the state stays as it is where that is false:
        clients that are done wait for those that step beside them.
    """
    optimizer = network.manifest.optimizer
    trained, first = network.trained(cut), network.first(cut)

    def step(own: Mapping[str, Any]) -> tuple[State, Tensor]:
        state, batch = own["state"], own["batch"]
        variables = state["variables"]

        def loss(values: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            logits, updates = network.logits(
                {**variables, **values}, batch["given"], first=first, weights=batch.get("w"), seed=batch["seed"]
            )
            losses = _cross_entropy(logits, batch["y"])
            if "w" not in batch:
                return ops.mean(losses), updates
            return ops.sum(losses * batch["w"]) / ops.sum(batch["w"]), updates

        value, updates, gradients = value_and_gradient(loss, {path: variables[path] for path in trained})
        if optimizer["clip_norm"]:
            gradients = _clipped(gradients, float(optimizer["clip_norm"]))
        if optimizer["proximal"]:
            gradients = {
                path: gradient + own["mu"] * (variables[path] - own["anchors"][path])
                for path, gradient in gradients.items()
            }
        changed, slots = _update(optimizer, variables, gradients, state["slots"], own["rate"], batch["step"])
        after = {"variables": {**variables, **updates, **changed}, "slots": slots}
        if "active" in own:
            after = keras.tree.map_structure(lambda new, old: ops.where(own["active"], new, old), after, state)
        return after, value

    return step


def make_evaluation(network: KerasNetwork) -> Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Tensor, Tensor]]:
    """Return the function from ``{"given", "y", "w"}`` and variables by path to sums of loss and of hits."""

    def evaluate(batch: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        logits, _ = network.logits(variables, batch["given"])
        hits = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), batch["y"]), "float32")
        return ops.sum(_cross_entropy(logits, batch["y"]) * batch["w"]), ops.sum(hits * batch["w"])

    return evaluate


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    truth = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    return -ops.sum(ops.log_softmax(logits, axis=-1) * truth, axis=-1)


def _clipped(gradients: Mapping[str, Tensor], limit: float) -> dict[str, Tensor]:
    square = sum(ops.sum(gradient * gradient) for gradient in gradients.values())
    factor = ops.minimum(ops.rsqrt(ops.maximum(square, 1e-30)) * limit, 1.0)
    return {path: gradient * factor for path, gradient in gradients.items()}


def _update(
    optimizer: Mapping[str, Any],
    variables: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    slots: Mapping[str, Mapping[str, Tensor]],
    rate: Tensor,
    step: Tensor,
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Return the new values and slots, as `model_export.options` defines them."""
    changed: dict[str, Tensor] = {}
    moved: dict[str, dict[str, Tensor]] = {slot: {} for slot in slots}
    for path, gradient in gradients.items():
        value = variables[path]
        if optimizer["weight_decay"]:
            value = value - value * (float(optimizer["weight_decay"]) * rate)
        if optimizer["name"] == "adam":
            beta_1, beta_2 = float(optimizer["beta_1"]), float(optimizer["beta_2"])
            mean, square = slots["mean"][path], slots["square"][path]
            moved["mean"][path] = mean = mean + (gradient - mean) * (1.0 - beta_1)
            moved["square"][path] = square = square + (gradient * gradient - square) * (1.0 - beta_2)
            size = rate * ops.sqrt(_one_minus_power(beta_2, step)) / _one_minus_power(beta_1, step)
            changed[path] = value - mean * size / (ops.sqrt(square) + float(optimizer["epsilon"]))
        elif optimizer["momentum"]:
            momentum = float(optimizer["momentum"])
            moved["velocity"][path] = velocity = slots["velocity"][path] * momentum - gradient * rate
            changed[path] = value + (velocity * momentum - gradient * rate if optimizer["nesterov"] else velocity)
        else:
            changed[path] = value - gradient * rate
    return changed, moved


def _one_minus_power(base: float, step: Tensor) -> Tensor:
    return -ops.expm1(step * ops.log(ops.convert_to_tensor(base, "float32"))) if base else 1.0
