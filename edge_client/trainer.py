"""Trains, evaluates and applies a bundle's model on whatever TensorFlow Lite runtime is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Callable, Optional, Union

import numpy as np

from edge_client.base import FrozenBase
from edge_client.data import Dataset, as_network_input
from edge_client.errors import DataError, WeightsError
from edge_client.feature_cache import FeatureCache, feature_key
from edge_client.fit import FitResult, fit
from edge_client.runtime import Interpreter, SignatureRunner, available_runtime, load_interpreter
from model_export.bundle import MODEL, Bundle

__all__ = ["Trainer"]


class Trainer:
    """One model in one interpreter, with its state; its frozen base, if it has one, in another.

    Parameters
    ----------
    bundle
        A bundle or its path.
    num_threads
        Threads of the interpreter; None takes what is fastest on the runtime.
    trusted_key
        PEM of the public key that must have signed the bundle; None accepts any or no signature.
    feature_cache
        Where `cached_features` keeps features for other runs; None keeps them in memory alone.
    interpreter
        Makes what runs the model's signatures, where that is not a TensorFlow Lite runtime. A frozen base is always
        TensorFlow Lite's.

    Raises
    ------
    model_export.errors.BundleError
        The bundle cannot be used.
    edge_client.errors.NoRuntimeError
        No TensorFlow Lite runtime is installed.
    """

    def __init__(
        self,
        bundle: Union[Bundle, str, os.PathLike[str]],
        *,
        num_threads: Optional[int] = None,
        trusted_key: Optional[bytes] = None,
        feature_cache: Optional[FeatureCache] = None,
        interpreter: Optional[Callable[[Bundle], Interpreter]] = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trusted_key=trusted_key)
        self.manifest = self.bundle.manifest
        self.num_threads = num_threads
        if interpreter is None:
            self.runtime = available_runtime()
            self._interpreter = load_interpreter(self.bundle.read(MODEL), num_threads=num_threads, runtime=self.runtime)
        else:
            self._interpreter = interpreter(self.bundle)
            self.runtime = str(getattr(self._interpreter, "name", type(self._interpreter).__name__))
        self._base: Optional[FrozenBase] = None
        if "features" in self.manifest.signatures:
            self._base = FrozenBase(self.bundle, num_threads=num_threads, runtime=available_runtime())
        self._runners: dict[str, SignatureRunner] = {}
        self._feature_cache = feature_cache
        self._cached: Optional[tuple[Dataset, np.ndarray]] = None
        self.set_weights(self.bundle.initial())

    @property
    def batch_size(self) -> int:
        """Samples a step takes; fewer are padded with samples of weight zero."""
        return self.manifest.batch_size

    @property
    def has_features(self) -> bool:
        """Whether a frozen base feeds the trained part, so that its features can be cached."""
        return self._base is not None

    def train_signature(self, cut: Optional[str] = None) -> str:
        """Return the signature that trains from ``cut`` on (None: all that the bundle trains).

        Raises
        ------
        ValueError
            The bundle has no such cut.
        """
        return self.manifest.training_signature(cut)

    def trained(self, cut: Optional[str] = None) -> tuple[str, ...]:
        """Return the paths of the variables that training from ``cut`` on changes."""
        return self.manifest.trained(cut)

    def train_step(
        self,
        x: np.ndarray,
        y: np.ndarray,
        learning_rate: float,
        cut: Optional[str] = None,
        *,
        mu: float = 0.0,
        seed: int = 0,
    ) -> float:
        """Take one step of SGD on one batch.

        Parameters
        ----------
        x
            ``uint8`` or ``float32 [b, ...]`` with ``1 <= b <= batch_size``; see `edge_client.data.Dataset`.
        y
            Class indices, integers ``[b]``.
        learning_rate
            Of this step.
        cut
            Train only from this layer on; None trains all that the bundle trains.
        mu
            Weight of the proximal term (FedProx), for bundles exported with one.
        seed
            Of the dropout masks, for networks with dropout.

        Returns
        -------
        float
            Mean loss over the batch, before the step.

        Raises
        ------
        DataError
            Shape, size or labels do not fit; nothing was trained.
        """
        return self._step(self.train_signature(cut), self._entering(x), y, learning_rate, mu, seed)

    def fit(
        self,
        dataset: Dataset,
        epochs: int,
        *,
        learning_rate: float,
        steps: int = 0,
        cut: Optional[str] = None,
        mu: float = 0.0,
        seed: int = 0,
        cutoff_s: Optional[float] = None,
        cache_features: bool = True,
        on_step: Optional[Callable[[int, int], None]] = None,
    ) -> FitResult:
        """Train for some epochs; see `edge_client.fit.fit`."""
        return fit(
            self,
            dataset,
            epochs,
            learning_rate=learning_rate,
            steps=steps,
            cut=cut,
            mu=mu,
            seed=seed,
            cutoff_s=cutoff_s,
            cache_features=cache_features,
            on_step=on_step,
        )

    def train_features(
        self,
        features: np.ndarray,
        y: np.ndarray,
        learning_rate: float,
        cut: Optional[str] = None,
        *,
        mu: float = 0.0,
        seed: int = 0,
    ) -> float:
        """Take one step from what `features` returned; otherwise like `train_step`."""
        return self._step(self.train_signature(cut), features, y, learning_rate, mu, seed)

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return what the frozen base makes of any number of samples: ``float32 [n, ...]``.

        Raises
        ------
        ValueError
            The bundle has no frozen base.
        """
        if self._base is None:
            raise ValueError(f"bundle {self.manifest.name!r} trains {self.manifest.trainable!r}: it has no frozen base")
        return self._base.features(self._checked(x))

    def cached_features(self, dataset: Dataset) -> np.ndarray:
        """Return the features of a whole dataset, computed once: the base is frozen, so they never change."""
        if self._cached is None or self._cached[0] is not dataset:
            self._cached = (dataset, self._kept_features(dataset))
        return self._cached[1]

    def _kept_features(self, dataset: Dataset) -> np.ndarray:
        if self._base is None or self._feature_cache is None:
            return self.features(dataset.x)
        base = self._base
        x = self._checked(dataset.x)
        return self._feature_cache.get(
            feature_key(base.sha256, dataset, self.manifest.input, self.runtime),
            (len(x), *base.feature_shape),
            lambda: (base.features(x[i : i + self.batch_size]) for i in range(0, len(x), self.batch_size)),
        )

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Return mean loss and accuracy over any number of samples."""
        return self._evaluate(self._checked(x), y, self._entering)

    def evaluate_features(self, features: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Return mean loss and accuracy from what `features` returned."""
        return self._evaluate(features, y, lambda part: part)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return class probabilities of any number of samples: ``float32 [n, classes]``."""
        x = self._checked(x)
        out = np.empty((len(x), len(self.manifest.classes)), np.float32)
        for start in range(0, len(x), self.batch_size):
            part = self._entering(x[start : start + self.batch_size])
            found = self._run("infer", **{self._entry: self._pad(part)})["probabilities"]
            out[start : start + len(part)] = found[: len(part)]
        return out

    def weights(self) -> dict[str, np.ndarray]:
        """Return every state variable by its Keras path, in the manifest's order."""
        values = self._run("get")
        return {path: values[f"v{index:04d}"] for index, path in enumerate(self.manifest.state)}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set every state variable; momentum starts anew.

        Raises
        ------
        WeightsError
            A name is unknown or missing, or a shape does not fit; nothing was changed.
        """
        variables = self.manifest.variables
        unknown = [name for name in weights if name not in variables]
        if unknown:
            raise WeightsError(f"unknown weight {unknown[0]!r}: bundle {self.manifest.name!r} has no such variable")
        inputs = {}
        for index, (path, variable) in enumerate(variables.items()):
            if path not in weights:
                raise WeightsError(f"missing weight {path!r}: all {len(variables)} variables have to be given")
            value = np.asarray(weights[path])
            if value.shape != variable.shape:
                raise WeightsError(f"weight {path!r} has shape {list(value.shape)}, not {list(variable.shape)}")
            if not np.can_cast(value.dtype, variable.dtype, "same_kind"):
                raise WeightsError(f"weight {path!r} has dtype {value.dtype}, not {variable.dtype}")
            inputs[f"v{index:04d}"] = np.ascontiguousarray(value, dtype=variable.dtype)
        self._run("set", **inputs)

    def _run(self, signature: str, **inputs: np.ndarray) -> Mapping[str, np.ndarray]:
        runner = self._runners.get(signature)
        if runner is None:
            runner = self._runners[signature] = self._interpreter.get_signature_runner(signature)
        return runner(**inputs)

    def _step(self, signature: str, x: np.ndarray, y: np.ndarray, learning_rate: float, mu: float, seed: int) -> float:
        count = len(x)
        if not 1 <= count <= self.batch_size:
            raise DataError(f"a step takes 1 to {self.batch_size} samples, got {count}")
        known = self.manifest.signatures[signature].inputs
        inputs = {self._entry: self._pad(x), "y": self._labels(y, count), "w": self._sample_weights(count)}
        inputs["learning_rate"] = np.array(learning_rate, np.float32)
        if "mu" in known:
            inputs["mu"] = np.array(mu, np.float32)
        elif mu:
            raise ValueError(f"bundle {self.manifest.name!r} was exported without a proximal term; export it with one")
        if "seed" in known:
            inputs["seed"] = np.array(seed, np.int32)
        return float(self._run(signature, **inputs)["loss"])

    def _evaluate(
        self, x: np.ndarray, y: np.ndarray, entering: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[float, float]:
        if not len(x):
            raise DataError("cannot evaluate on no samples")
        loss = correct = 0.0
        for start in range(0, len(x), self.batch_size):
            part = entering(x[start : start + self.batch_size])
            count = len(part)
            inputs = {self._entry: self._pad(part), "y": self._labels(y[start : start + count], count)}
            out = self._run("evaluate", w=self._sample_weights(count), **inputs)
            loss += float(out["loss"])
            correct += float(out["correct"])
        return loss / len(x), correct / len(x)

    @property
    def _entry(self) -> str:
        return "features" if self.has_features else "x"

    def _entering(self, x: np.ndarray) -> np.ndarray:
        """Turn samples into what the model takes: preprocessed, or the base's features of them."""
        return self.features(x) if self.has_features else as_network_input(self._checked(x), self.manifest.input)

    def _checked(self, x: np.ndarray) -> np.ndarray:
        expected = self.manifest.input.shape
        if x.shape[1:] != expected:
            raise DataError(f"samples are {list(x.shape[1:])}, the network takes {list(expected)}")
        return x

    def _pad(self, x: np.ndarray) -> np.ndarray:
        if len(x) == self.batch_size:
            return x
        out = np.zeros((self.batch_size, *x.shape[1:]), x.dtype)
        out[: len(x)] = x
        return out

    def _labels(self, y: np.ndarray, count: int) -> np.ndarray:
        if len(y) != count:
            raise DataError(f"{count} samples, {len(y)} labels")
        classes = len(self.manifest.classes)
        if np.any((y < 0) | (y >= classes)):
            raise DataError(f"label {y[(y < 0) | (y >= classes)][0]} is outside 0..{classes - 1}")
        return self._pad(np.asarray(y, np.int32))

    def _sample_weights(self, count: int) -> np.ndarray:
        weights = np.zeros(self.batch_size, np.float32)
        weights[:count] = 1
        return weights
