"""The model that the server holds: initial weights, what a plan trains, and evaluation on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional, Protocol

import numpy as np

from edge_client.data import Dataset, load_dataset
from edge_client.trainer import Trainer
from model_export.bundle import Bundle
from python_server.variants import Variant, load_variant, whole_model

__all__ = ["BundleModel", "Evaluation", "GlobalModel"]

Evaluation = tuple[float, float, int]
"""Mean loss, accuracy, and over how many examples."""


class GlobalModel(Protocol):
    """What the round loop needs to know of a model."""

    sha256: str
    """Identifies the experiment's bundle; empty: devices may hold any."""

    @property
    def variants(self) -> Mapping[str, Variant]:
        """What devices can be given, by name; the experiment's own bundle under the empty name. Empty: not known."""

    def initial(self) -> dict[str, np.ndarray]:
        """Return the weights before training, by variable path."""

    def packed_bundle(self, bundle: str = "") -> bytes:
        """Return the zip of a variant's bundle, by its hash, for devices that lack it; empty: the experiment's own."""

    def trained(self, cut: str, bundle: str = "") -> tuple[str, ...]:
        """Return the variables that training from ``cut`` on changes in a bundle; empty: the experiment's own."""

    def held(self, weights: Mapping[str, np.ndarray], bundle: str) -> dict[str, np.ndarray]:
        """Return what a device that holds a bundle makes of weights that it is sent: rounded, clustered, pruned."""

    def evaluate(self, weights: Mapping[str, np.ndarray], bundle: str = "") -> Optional[Evaluation]:
        """Evaluate weights of a bundle (empty: the experiment's own) on held-out data; None where there is none."""


class BundleModel:
    """A bundle's model.

    Parameters
    ----------
    bundle
        The bundle.
    test
        Held-out data; None: the server evaluates nothing.
    trusted_key
        PEM of the key that must have signed the bundles.
    variants
        Bundles of variants by name.

    Raises
    ------
    ExperimentError
        A variant does not fit the model.
    model_export.errors.BundleError, edge_client.errors.EdgeError
        Bundle, data or runtime cannot be used.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        test: Optional[Path] = None,
        trusted_key: Optional[bytes] = None,
        variants: Optional[Mapping[str, Path]] = None,
    ) -> None:
        self._trainer = Trainer(bundle, trusted_key=trusted_key)
        manifest = self._trainer.manifest
        self.sha256 = self._trainer.bundle.sha256
        self._test: Optional[Dataset] = load_dataset(test, manifest.input, manifest.classes) if test else None
        whole = self._trainer.bundle
        self.variants: dict[str, Variant] = {"": whole_model(whole)}
        self._bundles = {"": whole, whole.sha256: whole}
        self._trainers = {"": self._trainer, whole.sha256: self._trainer}
        for name, path in (variants or {}).items():
            loaded = Bundle.load(path, trusted_key=trusted_key)
            self.variants[name] = load_variant(name, loaded, whole)
            self._bundles[loaded.sha256] = loaded

    def initial(self) -> dict[str, np.ndarray]:
        """Return the weights before training, by variable path."""
        return self._trainer.bundle.initial()

    def packed_bundle(self, bundle: str = "") -> bytes:
        """Return the zip of a variant's bundle, by its hash; empty: the experiment's own.

        Raises
        ------
        model_export.errors.BundleError
            A file was altered since it was loaded.
        """
        return self._bundles[bundle].zipped()

    def trained(self, cut: str, bundle: str = "") -> tuple[str, ...]:
        """Return the variables that training from ``cut`` on changes in a bundle; empty: the experiment's own.

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        return self._bundles[bundle].manifest.trained(cut)

    def held(self, weights: Mapping[str, np.ndarray], bundle: str) -> dict[str, np.ndarray]:
        """Return what a device that holds a bundle makes of weights that it is sent, by loading them as it does."""
        trainer = self._loaded(bundle)
        trainer.set_weights(weights)
        return trainer.weights()

    def evaluate(self, weights: Mapping[str, np.ndarray], bundle: str = "") -> Optional[Evaluation]:
        """Evaluate weights of a bundle (empty: the experiment's own) on the held-out data; None where there is none."""
        if self._test is None:
            return None
        trainer = self._loaded(bundle)
        trainer.set_weights(weights)
        loss, accuracy = trainer.evaluate(self._test.x, self._test.y)
        return loss, accuracy, len(self._test)

    def _loaded(self, bundle: str) -> Trainer:
        if bundle not in self._trainers:
            self._trainers[bundle] = Trainer(self._bundles[bundle])
        return self._trainers[bundle]
