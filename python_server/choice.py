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
    steps
        Local steps; 0: ``epochs`` decides.
    """

    variant: Optional[Variant]
    cut: str
    epochs: int
    cutoff_s: float = 0.0
    train_s: float = 0.0
    times_slower: float = 1.0
    reason: str = ""
    codecs: Optional[Codecs] = None
    steps: int = 0

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
        """Return the choice with no more than the budget of time allows, for a device with so many examples."""
        if not self.train_s or self.variant is None:
            return self
        step_ms = self.variant.step_ms(self.cut)
        assert step_ms is not None  # looked for when the run started
        step_s = step_ms * self.times_slower / 1000
        epoch_s = max(1, math.ceil(examples / self.variant.manifest.batch_size)) * step_s
        what, unit_s = ("a step", step_s) if self.steps else ("an epoch", epoch_s)
        fitting, cutoff_s = max(1, int(self.train_s / unit_s)), self.cutoff_s
        if unit_s > self.train_s:
            cutoff_s = min(self.train_s, cutoff_s or self.train_s)
        return replace(
            self,
            epochs=self.epochs if self.steps else min(self.epochs, fitting),
            steps=min(self.steps, fitting),
            cutoff_s=cutoff_s,
            reason=f"{self.reason}; {what} takes {unit_s:.3g} s of {self.train_s:g} s",
        )
