"""The frozen base of a bundle: a plain inference model that turns samples into features."""

from __future__ import annotations

from typing import Optional

import numpy as np

from edge_client.data import as_network_input
from edge_client.runtime import SignatureRunner, load_interpreter
from model_export.bundle import BASE, Bundle

__all__ = ["FrozenBase"]


class FrozenBase:
    """A bundle's base in an interpreter of its own, loaded when the first features are asked for.

    Parameters
    ----------
    bundle
        A bundle that has a frozen base.
    num_threads
        Threads of the interpreter; None takes what is fastest on the runtime.
    runtime
        Name of the runtime.
    """

    def __init__(self, bundle: Bundle, *, num_threads: Optional[int], runtime: str) -> None:
        self._bundle = bundle
        self._num_threads = num_threads
        self._runtime = runtime
        self._runner: Optional[SignatureRunner] = None
        self._shape = bundle.manifest.signatures["features"].outputs["features"].shape

    @property
    def sha256(self) -> str:
        """Hash of the base's file: bases of the same hash make the same features."""
        return self._bundle.manifest.files[BASE].sha256

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one sample's features."""
        return self._shape[1:]

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features of any number of samples.

        Parameters
        ----------
        x
            ``uint8`` or ``float32 [n, ...]``; see `edge_client.data.Dataset`.

        Returns
        -------
        numpy.ndarray
            ``float32 [n, ...]``.

        Raises
        ------
        model_export.errors.BundleAltered
            The base's file was changed.
        """
        if self._runner is None:
            content = self._bundle.read(BASE)
            interpreter = load_interpreter(content, num_threads=self._num_threads, runtime=self._runtime)
            self._runner = interpreter.get_signature_runner("features")
        size = self._bundle.manifest.batch_size
        out = np.empty((len(x), *self._shape[1:]), np.float32)
        for start in range(0, len(x), size):
            part = as_network_input(x[start : start + size], self._bundle.manifest.input)
            batch = part
            if len(part) < size:
                batch = np.zeros((size, *part.shape[1:]), part.dtype)
                batch[: len(part)] = part
            out[start : start + len(part)] = self._runner(x=batch)["features"][: len(part)]
        return out
