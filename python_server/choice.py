"""What one device is given to train, with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Optional

from python_server.codec_choice import Codecs
from python_server.submodels import WHOLE, Submodel
from python_server.variants import Variant

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """What a device is given, and why.

    Attributes
    ----------
    variant
        The bundle; None: nothing is known of bundles, as with stock clients.
    cut
        The layer that it trains from; empty: all.
    epochs, cutoff_s
        As in plans.
    train_s, times_slower
        See `GroupSettings`.
    reason
        Why, in words.
    codecs
        How numbers travel; None: as the experiment says.
    """

    variant: Optional[Variant]
    cut: str
    epochs: int
    cutoff_s: float = 0.0
    train_s: float = 0.0
    times_slower: float = 1.0
    reason: str = ""
    codecs: Optional[Codecs] = None

    @property
    def submodel(self) -> Submodel:
        """The part of the global model that the device holds."""
        return self.variant.submodel if self.variant else WHOLE

    @property
    def size(self) -> tuple[int, ...]:
        """What choices are ordered by: the variant's size, then the parameters that are trained."""
        if self.variant is None:
            return ()
        manifest = self.variant.manifest
        trained = manifest.costs.signatures[manifest.training_signature(self.cut)].trained_parameters
        return (*self.variant.size, trained)

    def within_train_s(self, examples: int) -> Choice:
        """Return the choice with no more epochs than the budget of time allows, for a device with so many examples."""
        if not self.train_s or self.variant is None:
            return self
        step_ms = self.variant.step_ms(self.cut)
        assert step_ms is not None  # looked for when the run started
        batch = self.variant.manifest.batch_size
        epoch_s = max(1, math.ceil(examples / batch)) * step_ms * self.times_slower / 1000
        epochs = max(1, min(self.epochs, int(self.train_s / epoch_s)))
        cutoff_s = self.cutoff_s
        if epoch_s > self.train_s:
            cutoff_s = min(self.train_s, cutoff_s or self.train_s)
        reason = f"{self.reason}; an epoch takes {epoch_s:.3g} s of {self.train_s:g} s"
        return replace(self, epochs=epochs, cutoff_s=cutoff_s, reason=reason)
