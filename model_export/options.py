"""What a user chooses at export, as plain values. Needs no TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Union

from model_export.errors import ExportError

__all__ = ["CONVOLUTIONS", "Adam", "Optimizer", "Sgd", "describe_optimizer"]

CONVOLUTIONS = ("auto", "pairs", "shifts", "taps")
"""Ways to compute a trained convolution; `model_export.ops.convolution` says what they are.

Only "auto" also leaves expanding 1×1 convolutions to the batch norm after them (`model_export.expansions`).
"""


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with the semantics of ``keras.optimizers.SGD``.

    One step, with ``g`` the gradient and ``η`` the learning rate of the call:

    0. ``clip_norm`` c: ``g ← g · min(1, c / ‖g‖)``, where the norm is that of all trained variables' gradients together
       (``global_clipnorm`` of Keras). 0: none.
    1. ``proximal``: ``g ← g + mu · (v − v₀)``, where ``v₀`` is the value last given to ``set`` and ``mu`` an input
       of the step (FedProx, Li et al. 2020).
    2. ``weight_decay`` λ: ``v ← v − η·λ·v``. It is decoupled from the momentum (Loshchilov & Hutter 2019) and
       applies to every trained variable, biases and batch-norm scales included, just as ``weight_decay`` of Keras.
    3. ``momentum`` β: ``m ← β·m − η·g``, then ``v ← v + m``, or with ``nesterov`` ``v ← v + β·m − η·g``.
       Without momentum ``v ← v − η·g``.

    Raises
    ------
    ExportError
        A value is out of its range, or Nesterov is asked for without momentum.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    proximal: bool = False
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.momentum < 1.0:
            raise ExportError(f"momentum is {self.momentum}; it has to be at least 0 and less than 1")
        _check_shared(self)
        if self.nesterov and self.momentum == 0.0:
            raise ExportError("nesterov needs a momentum greater than 0")


@dataclass(frozen=True)
class Adam:
    """Adam with the semantics of ``keras.optimizers.Adam`` (Kingma & Ba 2015, the form before its section 2.1).

    Clipping, proximal term and decoupled weight decay are those of `Sgd`, steps 0 to 2. Then, with ``g`` the gradient,
    ``η`` the learning rate of the call and ``t`` the number of steps since the values were ``set``, this one included:

    * ``m ← β₁·m + (1 - β₁)·g`` and ``s ← β₂·s + (1 - β₂)·g²``
    * ``v ← v - η · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√s + ε)``; with ``amsgrad`` the largest ``s`` until then instead of
      ``s`` (Reddi et al. 2018)

    ``t`` counts the steps of all training signatures together, as ``iterations`` of Keras does.

    Raises
    ------
    ExportError
        A value is out of its range.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    weight_decay: float = 0.0
    proximal: bool = False
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ExportError(f"{name} is {value}; it has to be at least 0 and less than 1")
        # Below the smallest normal float32 a runtime may take it for zero, and divide zero by zero.
        if not 1e-30 <= self.epsilon < float("inf"):
            raise ExportError(f"epsilon is {self.epsilon}; it has to be at least 1e-30")
        _check_shared(self)


Optimizer = Union[Sgd, Adam]
"""What `export` takes as its optimizer."""


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the manifest's entry: the name, and all options by name."""
    return {"name": "adam" if isinstance(optimizer, Adam) else "sgd", **asdict(optimizer)}


def _check_shared(optimizer: Optimizer) -> None:
    if not 0.0 <= optimizer.weight_decay < 1.0:
        raise ExportError(f"weight_decay is {optimizer.weight_decay}; it has to be at least 0 and less than 1")
    if not 0.0 <= optimizer.clip_norm < float("inf"):
        raise ExportError(f"clip_norm is {optimizer.clip_norm}; it has to be a positive number, or 0 for none")
