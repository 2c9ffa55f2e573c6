"""How a step changes one variable, one class for each optimizer of `model_export.options`.

A rule holds no state. What an optimizer remembers of a variable are its slots; they and the number of steps live in
variables of the model that `set` brings back to zero.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Optional

import tensorflow as tf

from model_export.ops.tensor import Tensor
from model_export.options import Adam, Optimizer, Sgd

__all__ = ["AdamRule", "SgdRule", "UpdateRule", "update_rule"]


class UpdateRule(abc.ABC):
    """The update of one variable.

    Attributes
    ----------
    slots
        Names of what is remembered of each trained variable; each has the variable's shape and begins at zero.
    counts
        Whether the rule needs the number of the step.
    """

    slots: tuple[str, ...] = ()
    counts: bool = False

    @abc.abstractmethod
    def update(
        self, value: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor], step: Optional[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the new value and the new slots.

        Parameters
        ----------
        value, gradient
            Of the variable; proximal term and clipping are in the gradient.
        rate
            Learning rate, scalar.
        slots
            Value of each of `slots`.
        step
            Number of this step, 1 for the first after `set`; float32 scalar. None unless `counts`.
        """


class SgdRule(UpdateRule):
    """Stochastic gradient descent; `model_export.options.Sgd` says how."""

    def __init__(self, options: Sgd) -> None:
        self._options = options
        self.slots = ("velocity",) if options.momentum else ()

    def update(
        self, value: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor], step: Optional[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `UpdateRule`."""
        options = self._options
        value = _decayed(value, options.weight_decay, rate)
        if not self.slots:
            return value - gradient * rate, {}
        velocity = slots["velocity"] * options.momentum - gradient * rate
        change = velocity * options.momentum - gradient * rate if options.nesterov else velocity
        return value + change, {"velocity": velocity}


class AdamRule(UpdateRule):
    """Adam; `model_export.options.Adam` says how."""

    counts = True

    def __init__(self, options: Adam) -> None:
        self._options = options
        self.slots = ("mean", "square", "largest") if options.amsgrad else ("mean", "square")

    def update(
        self, value: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor], step: Optional[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `UpdateRule`."""
        options = self._options
        value = _decayed(value, options.weight_decay, rate)
        mean = slots["mean"] + (gradient - slots["mean"]) * (1.0 - options.beta_1)
        square = slots["square"] + (gradient * gradient - slots["square"]) * (1.0 - options.beta_2)
        moved = {"mean": mean, "square": square}
        if options.amsgrad:
            moved["largest"] = square = tf.maximum(slots["largest"], square)
        size = rate * tf.sqrt(_one_minus_power(options.beta_2, step)) / _one_minus_power(options.beta_1, step)
        return value - mean * size / (tf.sqrt(square) + options.epsilon), moved


def update_rule(optimizer: Optimizer) -> UpdateRule:
    """Return the rule of an optimizer."""
    return AdamRule(optimizer) if isinstance(optimizer, Adam) else SgdRule(optimizer)


def _decayed(value: Tensor, weight_decay: float, rate: Tensor) -> Tensor:
    return value - value * (weight_decay * rate) if weight_decay else value


def _one_minus_power(base: float, step: Tensor) -> Tensor:
    """Return ``1 - base ** step``, as accurate for the first step as for the millionth.

    Taken as it stands, the difference loses four of float32's seven digits where the base is 0.999. It is
    ``2t / (1 + t)`` with ``t = tanh(-step · ln(base) / 2)``, which loses none; TFLite has no ``expm1``.
    """
    if base == 0.0:
        return 1.0
    t = tf.tanh(step * (-0.5 * math.log(base)))
    return (t + t) / (t + 1.0)
