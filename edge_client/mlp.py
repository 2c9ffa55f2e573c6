"""Trains multilayer perceptrons with NumPy alone, in the number format that is asked for.

For devices without TensorFlow Lite, and for formats that it does not compute in: the experiment of Zhang, "Towards a
Federated Learning Framework for Heterogeneous Devices of Internet of Things" (2021), section 6, is one in float64. What
is held in memory is of the format: weights, activations, gradients.

float64, float32 and float16 are NumPy's own types, bfloat16 is that of the package ``ml_dtypes``. float24 is emulated:
every result is rounded to 15 bits of fraction, but takes the memory of a float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_client.errors import DataError, WeightsError
from model_export.formats import on_grid

__all__ = ["FORMATS", "MlpTrainer"]

FORMATS = ("float64", "float32", "float24", "bfloat16", "float16")


class MlpTrainer:
    """A perceptron of sigmoid layers that ends in logits, trained by plain SGD on the cross-entropy.

    Parameters
    ----------
    weights
        ``<layer>/kernel`` and ``<layer>/bias`` of each layer, from input to output: the weights of a bundle or model of
        the zoo's ``mlp``.
    format
        One of `FORMATS`.

    Raises
    ------
    ValueError
        There is no such format.
    WeightsError
        The weights are not those of a perceptron.
    ImportError
        bfloat16 is asked for and ``ml_dtypes`` is not installed.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], *, format: str = "float32") -> None:
        if format not in FORMATS:
            raise ValueError(f"no number format is called {format!r}; there are {', '.join(FORMATS)}")
        self.format = format
        self._dtype = _dtype(format)
        self._layers = [path[: -len("/kernel")] for path in weights if path.endswith("/kernel")]
        expected = [f"{layer}/{name}" for layer in self._layers for name in ("kernel", "bias")]
        if not expected or sorted(expected) != sorted(weights):
            raise WeightsError(f"not the kernels and biases of a perceptron: {', '.join(weights) or 'nothing'}")
        width = weights[expected[0]].shape[0]
        for layer in self._layers:
            kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
            if kernel.ndim != 2 or kernel.shape[0] != width or bias.shape != kernel.shape[1:]:
                raise WeightsError(f"layer {layer!r} does not fit the {width} values that enter it")
            width = kernel.shape[1]
        self._shapes = {path: weights[path].shape for path in expected}
        self._values = {path: self._round(weights[path]) for path in expected}

    def train_step(self, x: np.ndarray, y: np.ndarray, learning_rate: float) -> float:
        """Take one step of SGD on one batch of any size.

        Parameters
        ----------
        x
            ``[b, features]``.
        y
            Class indices, integers ``[b]``.
        learning_rate
            Of this step.

        Returns
        -------
        float
            Mean loss over the batch, before the step.

        Raises
        ------
        DataError
            Shape or labels do not fit; nothing was trained.
        """
        outputs = self._forward(self._checked(x, y))
        loss, _, probabilities = self._score(outputs[-1], y)
        rows = np.arange(len(y))
        probabilities[rows, y] = self._round(probabilities[rows, y] - self._number(1))
        flow = self._round(probabilities * self._number(1 / len(y)))
        rate = self._number(learning_rate)
        for position in range(len(self._layers) - 1, -1, -1):
            path = self._layers[position]
            entering = outputs[position]
            kernel = self._values[f"{path}/kernel"]
            dkernel = self._round(entering.T @ flow)
            dbias = self._round(np.asarray(flow, np.float64 if self.format == "float64" else np.float32).sum(0))
            if position:
                flow = self._round(flow @ kernel.T)
                slope = self._round(entering * self._round(self._number(1) - entering))
                flow = self._round(flow * slope)
            for name, gradient in (("kernel", dkernel), ("bias", dbias)):
                value = self._values[f"{path}/{name}"]
                self._values[f"{path}/{name}"] = self._round(value - self._round(gradient * rate))
        return loss

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Return mean loss and accuracy.

        Raises
        ------
        DataError
            Shape or labels do not fit.
        """
        loss, correct, _ = self._score(self._forward(self._checked(x, y))[-1], y)
        return loss, correct

    def weights(self) -> dict[str, np.ndarray]:
        """Return every variable by path, in float64 where that is the format and float32 otherwise, both exact."""
        wide = np.float64 if self.format == "float64" else np.float32
        return {path: np.array(value, wide) for path, value in self._values.items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set every variable, rounded to the format.

        Raises
        ------
        WeightsError
            A name is unknown or missing, or a shape does not fit; nothing was changed.
        """
        for path in weights:
            if path not in self._shapes:
                raise WeightsError(f"unknown weight {path!r}: the perceptron has no such variable")
        for path, shape in self._shapes.items():
            if path not in weights:
                raise WeightsError(f"missing weight {path!r}: all {len(self._shapes)} variables have to be given")
            if weights[path].shape != shape:
                raise WeightsError(f"weight {path!r} has shape {list(weights[path].shape)}, not {list(shape)}")
        self._values = {path: self._round(weights[path]) for path in self._shapes}

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what enters each layer, and the logits."""
        outputs = [self._round(x)]
        for position, layer in enumerate(self._layers):
            product = self._round(outputs[-1] @ self._values[f"{layer}/kernel"])
            z = self._round(product + self._values[f"{layer}/bias"])
            outputs.append(z if position == len(self._layers) - 1 else self._sigmoid(z))
        return outputs

    def _sigmoid(self, z: np.ndarray) -> np.ndarray:
        # Of the magnitude alone, so that no exponential overflows float16.
        small = self._round(np.exp(-np.abs(z)))
        one = self._number(1)
        upper = self._round(one / self._round(one + small))
        return np.where(np.signbit(z), self._round(one - upper), upper)

    def _score(self, logits: np.ndarray, y: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Return mean loss, accuracy and probabilities; the mean itself is taken in float64."""
        shifted = self._round(logits - logits.max(-1, keepdims=True))
        exponentials = self._round(np.exp(shifted))
        total = self._round(np.asarray(exponentials, np.float64).sum(-1, keepdims=True))
        losses = np.log(np.asarray(total[:, 0], np.float64)) - np.asarray(shifted[np.arange(len(y)), y], np.float64)
        hits = np.asarray(logits, np.float64).argmax(-1) == y
        return float(losses.mean()), float(hits.mean()), self._round(exponentials / total)

    def _round(self, values: Any) -> np.ndarray:
        """Return values in the format; what is in it already is not copied."""
        with np.errstate(over="ignore"):
            array = np.asarray(values).astype(self._dtype, copy=False)
        return on_grid(array, "float24") if self.format == "float24" else array

    def _number(self, value: float) -> Any:
        return self._round(np.asarray(value, np.float64))[()]

    def _checked(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        features, classes = self._shapes[f"{self._layers[0]}/kernel"][0], self._shapes[f"{self._layers[-1]}/bias"][0]
        if x.ndim != 2 or x.shape[1] != features or not len(x):
            raise DataError(f"samples are {list(x.shape)}, the perceptron takes [b, {features}]")
        if y.shape != x.shape[:1]:
            raise DataError(f"{len(x)} samples, labels of shape {list(y.shape)}")
        if np.any((y < 0) | (y >= classes)):
            raise DataError(f"a label is outside 0..{classes - 1}")
        return x


def _dtype(format: str) -> Any:
    if format == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            raise ImportError("NumPy has no bfloat16; install it with: pip install ml_dtypes") from None
        return np.dtype(bfloat16)
    return np.dtype("float32" if format == "float24" else format)
