"""The model that the server holds: initial weights, what a plan trains, and evaluation on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional, Protocol

import numpy as np

from edge_client.data import Dataset, load_dataset
from edge_client.trainer import Trainer

__all__ = ["BundleModel", "Evaluation", "GlobalModel"]

Evaluation = tuple[float, float, int]
"""Mean loss, accuracy, and over how many examples."""


class GlobalModel(Protocol):
    """What the round loop needs to know of a model."""

    sha256: str
    """Identifies the bundle that every device has to hold; empty: any."""

    def initial(self) -> dict[str, np.ndarray]:
        """Return the weights before training, by variable path."""

    def packed_bundle(self) -> bytes:
        """Return the bundle's zip, for devices that have none."""

    def trained(self, cut: str) -> tuple[str, ...]:
        """Return the variables that training from ``cut`` on changes."""

    def evaluate(self, weights: Mapping[str, np.ndarray]) -> Optional[Evaluation]:
        """Evaluate weights on held-out data; None where there is none."""


class BundleModel:
    """A bundle's model.

    Parameters
    ----------
    bundle
        The bundle.
    test
        Held-out data; None: the server evaluates nothing.
    trusted_key
        PEM of the key that must have signed the bundle.

    Raises
    ------
    model_export.errors.BundleError, edge_client.errors.EdgeError
        Bundle, data or runtime cannot be used.
    """

    def __init__(self, bundle: Path, *, test: Optional[Path] = None, trusted_key: Optional[bytes] = None) -> None:
        self._trainer = Trainer(bundle, trusted_key=trusted_key)
        manifest = self._trainer.manifest
        self.sha256 = self._trainer.bundle.sha256
        self._test: Optional[Dataset] = load_dataset(test, manifest.input, manifest.classes) if test else None

    def initial(self) -> dict[str, np.ndarray]:
        """Return the weights before training, by variable path."""
        return self._trainer.bundle.initial()

    def packed_bundle(self) -> bytes:
        """Return the bundle's zip.

        Raises
        ------
        model_export.errors.BundleError
            A file was altered since it was loaded.
        """
        return self._trainer.bundle.zipped()

    def trained(self, cut: str) -> tuple[str, ...]:
        """Return the variables that training from ``cut`` on changes.

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        return self._trainer.trained(cut)

    def evaluate(self, weights: Mapping[str, np.ndarray]) -> Optional[Evaluation]:
        """Evaluate weights on the held-out data; None where there is none."""
        if self._test is None:
            return None
        self._trainer.set_weights(weights)
        loss, accuracy = self._trainer.evaluate(self._test.x, self._test.y)
        return loss, accuracy, len(self._test)
