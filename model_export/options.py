"""What a user chooses at export, as plain values. Needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from model_export.errors import ExportError

__all__ = ["CONVOLUTIONS", "Sgd"]

CONVOLUTIONS = ("auto", "pairs", "shifts", "taps")
"""Ways to compute a trained convolution; `model_export.ops.convolution` says what they are."""


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
        if not 0.0 <= self.weight_decay < 1.0:
            raise ExportError(f"weight_decay is {self.weight_decay}; it has to be at least 0 and less than 1")
        if not 0.0 <= self.clip_norm < float("inf"):
            raise ExportError(f"clip_norm is {self.clip_norm}; it has to be a positive number, or 0 for none")
        if self.nesterov and self.momentum == 0.0:
            raise ExportError("nesterov needs a momentum greater than 0")
