"""Differentiable channel weights: the layer that the search learns with, and its two losses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["ChannelWeights", "bound", "entropy"]


def entropy(weights: Any) -> Any:
    """Return the entropy of ``softmax(weights)``, one layer's term of equation 1, in nats.

    It is largest where all weights are equal; to minimize it is to drive them apart.

    Parameters
    ----------
    weights
        ``[C]`` float32.
    """
    if weights.shape[0] == 1:
        return ops.zeros(())
    shares = ops.softmax(weights)
    return -ops.sum(shares * ops.log_softmax(weights))


def bound(weights: Any) -> Any:
    """Return how far weights lie outside of 0 to 1 altogether, one layer's term of equation 2.

    The paper's equation has a minus before the sum, with which the loss would reward what it is meant to prevent.

    Parameters
    ----------
    weights
        ``[C]`` float32.
    """
    return ops.sum(ops.relu(weights - 1.0) + ops.relu(-weights))


@keras.saving.register_keras_serializable(package="pocketfleet")
class ChannelWeights(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Multiplies each channel by a weight of its own (figure 2b), and adds equation 3's loss of these weights.

    Parameters
    ----------
    entropy_factor, bound_factor
        λ₁ and λ₂ of equation 3.
    rate
        How many times faster than the network's other variables the weights move, with an optimizer that normalizes
        its steps as Adam does: the variable is the weight divided by it. The paper does not say how its weights are
        trained; at the network's own rate they would take thousands of steps from 1 to 0.
    """

    def __init__(self, entropy_factor: float, bound_factor: float, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.entropy_factor = entropy_factor
        self.bound_factor = bound_factor
        self.rate = rate

    def build(self, shape: Any) -> None:
        """Make one weight for each channel; all are 1, so that the network computes what it did without them."""
        start = keras.initializers.Constant(1.0 / self.rate)
        self.scaled = self.add_weight(shape=(shape[-1],), initializer=start, name="scaled")

    def call(self, x: Any) -> Any:
        """Weigh the channels of ``x``, ``[B, …, C]``."""
        weights = self.scaled * self.rate
        self.add_loss(self.entropy_factor * entropy(weights) + self.bound_factor * bound(weights))
        return x * weights

    @property
    def values(self) -> np.ndarray:
        """The weights, ``[C]`` float32."""
        return np.asarray(self.scaled.numpy()) * self.rate

    def put(self, values: np.ndarray) -> None:
        """Set the weights, ``[C]`` float32."""
        self.scaled.assign(values / self.rate)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        own = {name: getattr(self, name) for name in ("entropy_factor", "bound_factor", "rate")}
        return {**super().get_config(), **own}
