"""Forward and backward passes over a network, and the step of the optimizer.

The backward pass is written out: every layer's rule returns its own, and they are called from output to input. So the
graph holds nothing but what the rules put there, no gradient that TensorFlow would register, and nothing at all before
the first trained layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import tensorflow as tf

from model_export.compression.scheme import PLAIN, Scheme
from model_export.expansions import expansions
from model_export.layers.base import Applied, Call
from model_export.network import Network, Node
from model_export.ops.loss import cross_entropy
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor
from model_export.optimizers import update_rule
from model_export.options import Optimizer

__all__ = ["Batch", "Pass", "StepResult", "forward", "gradient_step"]


@dataclass(frozen=True)
class Batch:
    """What a training step is fed with.

    Attributes
    ----------
    labels
        ``[B] int32``.
    weights
        ``[B] float32``.
    learning_rate
        Scalar.
    mu
        Weight of the proximal term, scalar; None without one.
    seed
        int32 scalar; None without dropout.
    step
        Number of this step since ``set``, float32 scalar; None if the optimizer does not count.
    """

    labels: Tensor
    weights: Tensor
    learning_rate: Tensor
    mu: Optional[Tensor] = None
    seed: Optional[Tensor] = None
    step: Optional[Tensor] = None


@dataclass(frozen=True)
class Pass:
    """A forward pass: the value of each node by name, and how each layer was applied."""

    values: Mapping[str, Tensor]
    applied: Mapping[str, Applied]


@dataclass(frozen=True)
class StepResult:
    """Outcome of a step: mean loss, hits times their weights, new values of variables and their new slots by path."""

    loss: Tensor
    correct: Tensor
    variables: Mapping[str, Tensor]
    slots: Mapping[str, Mapping[str, Tensor]]


def forward(
    network: Network,
    nodes: Sequence[Node],
    given: Mapping[str, Tensor],
    variables: Mapping[str, Tensor],
    *,
    constant: bool = False,
    train: frozenset[str] = frozenset(),
    batch: Optional[Batch] = None,
    scheme: Scheme = PLAIN,
    convolution: str = "auto",
) -> Pass:
    """Compute ``nodes`` in their order.

    Parameters
    ----------
    network
        The network they belong to.
    nodes
        The nodes; what they take is in ``given`` or computed before.
    given
        Values by name.
    variables
        Values of all variables of ``nodes`` by path.
    constant
        Whether the variables are constants of the graph.
    train
        Names of the nodes that are in training mode.
    batch
        The batch; needed if any node is in training mode.
    scheme
        How activations are rounded.
    convolution
        One of `model_export.options.CONVOLUTIONS`.
    """
    values = {name: scheme.activation(value) for name, value in given.items()}
    applied: dict[str, Applied] = {}
    deferred = expansions(network, train) if convolution == "auto" and not scheme.rounds else frozenset()
    for node in nodes:
        call = Call(
            name=node.name,
            inputs=tuple(values[name] for name in node.inputs),
            variables={path.rpartition("/")[2]: variables[path] for path in node.variables},
            constant=constant,
            training=node.name in train,
            weights=batch.weights if batch else None,
            seed=batch.seed if batch else None,
            logits=node.name == network.logits,
            convolution=convolution,
            deferred=node.name in deferred,
        )
        applied[node.name] = node.rule.apply(node.layer, call)
        values[node.name] = scheme.activation(applied[node.name].output, logits=call.logits)
    return Pass(values, applied)


def backward(
    nodes: Sequence[Node], passed: Pass, output: str, gradient: Tensor, first: int, scheme: Scheme = PLAIN
) -> dict[str, Tensor]:
    """Gradients of the trainable variables of ``nodes[first:]`` by path, given that of the output.

    Layers that no trained layer lies before are left out. The rounding of activations is taken as the identity (the
    straight-through estimator).
    """
    needed: set[str] = set()
    for node in nodes[first:]:
        if node.trainable_paths or any(name in needed for name in node.inputs):
            needed.add(node.name)
    flowing: dict[str, Tensor] = {output: gradient}
    found: dict[str, Tensor] = {}
    for node in reversed(nodes[first:]):
        if node.name not in needed or node.name not in flowing:
            continue
        gradients = passed.applied[node.name].backward(scheme.flow(flowing.pop(node.name)))
        for path in node.trainable_paths:
            part = gradients.variables[path.rpartition("/")[2]]
            found[path] = found[path] + part if path in found else part  # a shared layer has several uses
        for name, part in zip(node.inputs, gradients.inputs):
            if name in needed:
                flowing[name] = flowing[name] + part if name in flowing else part
    return {path: scheme.gradient(path, gradient) for path, gradient in found.items()}


def gradient_step(
    network: Network,
    given: Mapping[str, Tensor],
    variables: Mapping[str, Tensor],
    slots: Mapping[str, Mapping[str, Tensor]],
    anchors: Mapping[str, Tensor],
    batch: Batch,
    optimizer: Optimizer,
    *,
    start: int,
    first: int,
    scheme: Scheme = PLAIN,
    convolution: str = "auto",
) -> StepResult:
    """One step of training.

    Parameters
    ----------
    network
        The network.
    given
        Value that enters the layers from ``start`` on, by name.
    variables
        Values of all variables from ``start`` on, by path, in the form in which ``scheme`` stores them.
    slots, anchors
        What the optimizer remembers, and the values that the proximal term pulls to, of trained variables by path;
        empty if not used.
    batch
        Labels, weights and so on.
    optimizer
        The optimizer.
    start
        Position of the first layer that is computed here.
    first
        Position of the first layer that is trained; those before it are in inference mode.
    scheme
        How the model is compressed.
    convolution
        One of `model_export.options.CONVOLUTIONS`.
    """
    nodes = network.nodes[start:]
    train = frozenset(node.name for node in network.nodes[first:])
    weights = scheme.weights(variables)
    passed = forward(network, nodes, given, weights, train=train, batch=batch, scheme=scheme, convolution=convolution)
    scores = cross_entropy(passed.values[network.logits], batch.labels, batch.weights)
    gradients = backward(nodes, passed, network.logits, scores.gradient(), first - start, scheme)
    if optimizer.clip_norm:
        gradients = _clipped(gradients, optimizer.clip_norm)
    rule = update_rule(optimizer)
    changed: dict[str, Tensor] = {}
    remembered: dict[str, Mapping[str, Tensor]] = {}
    for path, gradient in gradients.items():
        value = variables[path]
        anchor = scheme.anchor(path, value, anchors.get(path))
        if anchor is not None:
            gradient = gradient + batch.mu * (value - anchor)
        changed[path], moved = rule.update(value, gradient, batch.learning_rate, slots.get(path, {}), batch.step)
        remembered[path] = {name: scheme.velocity(slot) for name, slot in moved.items()}
    for node in nodes:
        changed.update(
            {f"{node.layer.name}/{name}": value for name, value in passed.applied[node.name].updates.items()}
        )
    changed = {path: scheme.updated(path, value, batch.seed) for path, value in changed.items()}
    return StepResult(scores.loss / scores.weight, scores.correct, changed, remembered)


def _clipped(gradients: Mapping[str, Tensor], limit: float) -> dict[str, Tensor]:
    """Shorten the vector of all gradients to ``limit`` if it is longer."""
    squares = tf.stack([tf.reduce_sum(sum_to_channels(gradient * gradient)) for gradient in gradients.values()])
    # A norm of zero would be divided by; no gradient is that small and of any use.
    inverse = tf.math.rsqrt(tf.maximum(tf.reduce_sum(squares), 1e-30))
    factor = tf.minimum(inverse * limit, 1.0)
    return {path: gradient * factor for path, gradient in gradients.items()}
