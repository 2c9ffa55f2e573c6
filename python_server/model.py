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

__all__ = ["BundleModel", "Evaluation", "GlobalModel", "RunBundles"]

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

    def evaluate(self, weights: Mapping[str, np.ndarray]) -> Optional[Evaluation]:
        """Evaluate weights on held-out data; None where there is none."""


class RunBundles:
    """The bundles of a run: the experiment's own, and its variants.

    Parameters
    ----------
    bundle
        The experiment's bundle.
    trusted_key
        PEM of the key that must have signed the bundles.
    variants
        Bundles of variants by name.

    Attributes
    ----------
    bundles
        By hash; the experiment's own also under the empty name.
    variants, sha256
        As in `GlobalModel`.

    Raises
    ------
    ExperimentError
        A variant does not fit the model.
    model_export.errors.BundleError
        A bundle cannot be used.
    """

    def __init__(
        self, bundle: Path, *, trusted_key: Optional[bytes] = None, variants: Optional[Mapping[str, Path]] = None
    ) -> None:
        whole = Bundle.load(bundle, trusted_key=trusted_key)
        self.sha256 = whole.sha256
        self.bundles: dict[str, Bundle] = {"": whole, whole.sha256: whole}
        self.variants: dict[str, Variant] = {"": whole_model(whole)}
        for name, path in (variants or {}).items():
            loaded = Bundle.load(path, trusted_key=trusted_key)
            self.variants[name] = load_variant(name, loaded, whole)
            self.bundles[loaded.sha256] = loaded
        self._trainers: dict[str, Trainer] = {}

    def initial(self) -> dict[str, np.ndarray]:
        """Return the weights before training, by variable path."""
        return self.bundles[""].initial()

    def packed_bundle(self, bundle: str = "") -> bytes:
        """Return the zip of a variant's bundle, by its hash; empty: the experiment's own.

        Raises
        ------
        model_export.errors.BundleError
            A file was altered since it was loaded.
        """
        return self.bundles[bundle].zipped()

    def trained(self, cut: str, bundle: str = "") -> tuple[str, ...]:
        """Return the variables that training from ``cut`` on changes in a bundle; empty: the experiment's own.

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        return self.bundles[bundle].manifest.trained(cut)

    def held(self, weights: Mapping[str, np.ndarray], bundle: str) -> dict[str, np.ndarray]:
        """Return what a device that holds a bundle makes of weights that it is sent, by loading them as it does.

        Raises
        ------
        edge_client.errors.NoRuntimeError
            No TensorFlow Lite runtime is installed.
        """
        trainer = self.trainer(bundle)
        trainer.set_weights(weights)
        return trainer.weights()

    def trainer(self, bundle: str = "") -> Trainer:
        """Return a bundle's trainer, made once."""
        bundle = bundle or self.sha256
        if bundle not in self._trainers:
            self._trainers[bundle] = Trainer(self.bundles[bundle])
        return self._trainers[bundle]


class BundleModel(RunBundles):
    """The bundles of a run, the experiment's own evaluated as on devices.

    Parameters
    ----------
    bundle, trusted_key, variants
        See `RunBundles`.
    test
        Held-out data; None: the server evaluates nothing.

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
        super().__init__(bundle, trusted_key=trusted_key, variants=variants)
        manifest = self.trainer().manifest
        self._test: Optional[Dataset] = load_dataset(test, manifest.input, manifest.classes) if test else None

    def evaluate(self, weights: Mapping[str, np.ndarray]) -> Optional[Evaluation]:
        """Evaluate weights on the held-out data; None where there is none."""
        if self._test is None:
            return None
        self.trainer().set_weights(weights)
        loss, accuracy = self.trainer().evaluate(self._test.x, self._test.y)
        return loss, accuracy, len(self._test)
