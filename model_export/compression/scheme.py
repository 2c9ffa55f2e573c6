"""What compression does to a training step: the one place that training asks.

A variable is held in a stored form, which is its codebook if it is clustered and itself otherwise. The layers compute
with weights made of it; gradients are brought into its form; a new value is put on its grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from model_export.compression.clustering import Codebook
from model_export.compression.options import NO_COMPRESSION, Compression, Quantize
from model_export.compression.pruning import masks
from model_export.compression.rounding import noise, round_to
from model_export.formats import FLOATS, INTEGERS, encode, on_grid
from model_export.k_means import k_means
from model_export.ops.tensor import Tensor

__all__ = ["PLAIN", "Scheme"]


class Scheme:
    """Compression of one model's variables.

    Parameters
    ----------
    variables
        Initial values of the variables that the model carries as state, by path.
    trained
        Paths of those that are trained; kernels among them are pruned and clustered.
    compression
        What to do with them.
    """

    def __init__(self, variables: Mapping[str, np.ndarray], trained: frozenset[str], compression: Compression) -> None:
        self.compression = compression
        self._quantize = compression.quantize or Quantize()
        kernels = {path: value for path, value in variables.items() if path in trained and is_kernel(path, value)}
        self.masks = masks(kernels, compression.prune) if compression.prune else {}
        self.codebooks: dict[str, Codebook] = {}
        self._held: dict[str, Any] = {}
        self._initial = {}
        for path, value in variables.items():
            value = value * self.masks[path] if path in self.masks else value
            value = on_grid(value, self.format_of(path, value), per_channel=self._quantize.per_channel)
            if compression.cluster and path in kernels:
                value = self._clustered(path, value)
            self._initial[path] = value

    def _clustered(self, path: str, value: np.ndarray) -> np.ndarray:
        assert self.compression.cluster is not None
        keep = self.masks.get(path, np.ones(value.shape, bool))
        clusters = self.compression.cluster.clusters
        if np.unique(value[keep]).size <= clusters:
            return value
        centres, places = k_means(value[keep], clusters)
        indices = np.full(value.shape, -1, np.int32)
        indices[keep] = places
        mean = self.compression.cluster.gradient == "mean"
        self.codebooks[path] = Codebook(indices, len(centres), mean=mean)
        self.masks.pop(path, None)
        return on_grid(centres, self._quantize.weights)

    @property
    def compresses(self) -> bool:
        """Whether anything differs from the model as it is."""
        return bool(self.masks or self.codebooks) or self._quantize != Quantize()

    @property
    def tables(self) -> dict[str, np.ndarray]:
        """What the model has to hold beside its variables, by path: masks (bool) and indices (int8)."""
        return {**self.masks, **{path: codebook.table for path, codebook in self.codebooks.items()}}

    def read_tables_from(self, held: Mapping[str, Any]) -> None:
        """Take `tables` from these ``tf.Variable`` instead of making them constants.

        A constant would be cast to four bytes a weight when the model is converted.
        """
        self._held = dict(held)

    def _table(self, path: str) -> Tensor:
        return self._held[path].read_value() if path in self._held else self.tables[path]

    def _masked(self, path: str, value: Tensor) -> Tensor:
        return value * tf.cast(self._table(path), tf.float32)

    @property
    def takes_seed(self) -> bool:
        """Whether a training step needs a seed."""
        return self._quantize.stochastic

    @property
    def initial(self) -> dict[str, np.ndarray]:
        """Initial stored form of each variable by path."""
        return dict(self._initial)

    def format_of(self, path: str, value: np.ndarray) -> str:
        """Return the number format in which a variable is held."""
        format = self._quantize.weights
        return "float32" if format in INTEGERS and not is_kernel(path, value) else format

    def weights(self, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make what the layers compute with from the stored forms."""
        return {
            path: self.codebooks[path].weights(value, self._table(path)) if path in self.codebooks else value
            for path, value in stored.items()
        }

    @property
    def rounds(self) -> bool:
        """Whether what passes between layers is rounded."""
        return (self._quantize.activations, self._quantize.gradients) != ("float32", "float32")

    def activation(self, x: Tensor, *, logits: bool = False) -> Tensor:
        """Round a layer's output ``[B, …]``, or the network's input."""
        return self._rounded_by_sample(x, self._quantize.activations, logits=logits)

    def flow(self, gradient: Tensor) -> Tensor:
        """Round the gradient with respect to a layer's output ``[B, …]``."""
        return self._rounded_by_sample(gradient, self._quantize.gradients)

    def gradient(self, path: str, gradient: Tensor) -> Tensor:
        """Turn the gradient with respect to a variable into that of its stored form."""
        if path in self.masks:
            gradient = self._masked(path, gradient)
        if path in self.codebooks:
            gradient = self.codebooks[path].gradient(gradient, self._table(path))
        return round_to(gradient, self._quantize.gradients)

    def anchor(self, path: str, value: Tensor, anchor: Optional[Tensor]) -> Optional[Tensor]:
        """Return what the proximal term pulls a stored form to.

        A codebook entry that sums its weights' gradients is pulled by each of them.
        """
        if anchor is None or path not in self.codebooks:
            return anchor
        return value - (value - anchor) * self.codebooks[path].steps

    def updated(self, path: str, value: Tensor, seed: Optional[Tensor]) -> Tensor:
        """Put the new value of a stored form on its grid."""
        format = self._format(path, value)
        if format == "float32":
            return value
        shape = tuple(value.shape)
        draws = self._quantize.stochastic and seed is not None
        return round_to(value, format, axes=self._axes(value), noise=noise(shape, seed, path) if draws else None)

    def velocity(self, value: Tensor) -> Tensor:
        """Put new momentum on the grid of the gradients."""
        return round_to(value, self._quantize.gradients)

    def project(self, path: str, value: Tensor) -> Tensor:
        """Turn a value that was given from outside into the nearest stored form."""
        if path in self.codebooks:
            value = self.codebooks[path].project(value, self._table(path))
        elif path in self.masks:
            value = self._masked(path, value)
        return round_to(value, self._format(path, value), axes=self._axes(value))

    def encoded(self, path: str) -> dict[str, np.ndarray]:
        """Return the narrow arrays that hold a variable's initial value; see `model_export.formats.encode`."""
        value, format = self._initial[path], self._format(path, self._initial[path])
        if path in self.codebooks:
            indices = self.codebooks[path].indices
            keep = indices >= 0
            mask = None if keep.all() else keep
            return encode(value, format, mask=mask, codebook=value, indices=indices[keep])
        return encode(value, format, per_channel=self._quantize.per_channel, mask=self.masks.get(path))

    def stored(self) -> dict[str, np.ndarray]:
        """Return the initial values of all variables as ``model_export.formats.decode_all`` reads them."""
        return {
            f"{path}:{part}" if part else path: array
            for path in self._initial
            for part, array in self.encoded(path).items()
        }

    def _format(self, path: str, value: Tensor) -> str:
        return self._quantize.weights if path in self.codebooks else self.format_of(path, value)

    def _axes(self, value: Tensor) -> Optional[tuple[int, ...]]:
        per_channel = self._quantize.per_channel and len(value.shape) > 1
        return tuple(range(len(value.shape) - 1)) if per_channel else None

    def _rounded_by_sample(self, x: Tensor, format: str, *, logits: bool = False) -> Tensor:
        """Give each sample a scale of its own, so that what is padded to a batch changes nothing in it."""
        if format == "float32" or (logits and format not in FLOATS):
            return x
        return round_to(x, format, axes=tuple(range(1, len(x.shape))))


def is_kernel(path: str, value: np.ndarray) -> bool:
    """Tell whether a variable is a layer's matrix of weights."""
    return path.rpartition("/")[2].endswith(("kernel", "embeddings")) and len(value.shape) > 1


PLAIN = Scheme({}, frozenset(), NO_COMPRESSION)
"""No compression."""
