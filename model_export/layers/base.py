"""What the exporter has to know of a kind of layer."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, TypeAlias

from model_export.ops.tensor import Tensor

__all__ = ["Applied", "Call", "Gradients", "Layer", "LayerRule", "Shape"]

Layer: TypeAlias = Any
"""A ``keras.layers.Layer``; Keras ships no types."""

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One application of a layer to a batch.

    Attributes
    ----------
    name
        The layer's name in the layer order.
    inputs
        Its inputs, each with the batch size as its first axis.
    variables
        Its variables by name ("kernel", "moving_mean", …), see `LayerRule.variable_names`.
    constant
        Whether the variables are constants of the graph. Then the plain inference ops are best: the converter folds
        and XNNPACK takes them. No gradient is asked for.
    training
        Whether batch norm uses the batch's statistics and dropout drops.
    weights
        Weight of each sample, ``[B] float32``; given while training.
    seed
        int32 scalar; given while training if the network drops out.
    logits
        Whether to leave out the layer's softmax, because the loss is taken on the logits.
    convolution
        How convolutions are computed where their kernels change.
    deferred
        Whether to leave a pointwise convolution to the batch norm after it; see `model_export.ops.pointwise_norm`.
    """

    name: str
    inputs: tuple[Tensor, ...]
    variables: Mapping[str, Tensor] = field(default_factory=dict)
    constant: bool = False
    training: bool = False
    weights: Optional[Tensor] = None
    seed: Optional[Tensor] = None
    logits: bool = False
    convolution: str = "auto"
    deferred: bool = False


@dataclass(frozen=True)
class Gradients:
    """Gradients with respect to a layer's inputs, in their order, and its variables, by name."""

    inputs: tuple[Tensor, ...]
    variables: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """A layer's output, its backward pass, and new values of variables that change without a gradient."""

    output: Tensor
    backward: Callable[[Tensor], Gradients]
    updates: Mapping[str, Tensor] = field(default_factory=dict)


class LayerRule(abc.ABC):
    """How one kind of Keras layer is computed and differentiated with builtin ops.

    Attributes
    ----------
    joins
        Whether the layer takes several tensors.
    passes_gradient
        Whether its output can be differentiated with respect to its input.
    """

    joins: bool = False
    passes_gradient: bool = True

    def refusal(self, layer: Layer) -> Optional[str]:
        """Say which setting of the layer is not supported, as "setting=value is not supported"; None if all are."""
        return None

    def refusal_of_shape(self, input_shapes: tuple[Shape, ...]) -> Optional[str]:
        """Say why the layer cannot take inputs of these shapes, without the batch axis; None if it can."""
        return None

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """Multiply-accumulates for one sample; the shapes, of the first input and the output, have no batch axis."""
        return 0

    def drops(self, layer: Layer) -> bool:
        """Tell whether the layer draws random numbers while training."""
        return False

    def variable_names(self, layer: Layer) -> list[str]:
        """Names of the layer's variables, in the order of its ``weights`` and different from each other."""
        return [variable.name for variable in layer.weights]

    @abc.abstractmethod
    def apply(self, layer: Layer, call: Call) -> Applied:
        """Compute the layer's output."""


def unsupported_setting(layer: Layer, **supported: Any) -> Optional[str]:
    """Return a refusal for the first setting of ``layer`` that differs from its one supported value."""
    for name, only in supported.items():
        value = getattr(layer, name, only)
        if value != only:
            return f"{name}={value!r} is not supported, only {name}={only!r}"
    return None
