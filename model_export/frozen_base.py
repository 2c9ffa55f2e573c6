"""The frozen base of a network as a plain inference model: one signature ``features``, no variables.

A file of its own, so that a runtime can hand all of it to its fast kernels, its numbers can be held in fewer bytes,
and a client that has the features in its cache need not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from model_export.conversion import to_tflite
from model_export.errors import ExportError
from model_export.manifest import Signature, TensorSpec
from model_export.network import INPUT, Network
from model_export.ops.tensor import Tensor
from model_export.training import forward

__all__ = ["BASE_FORMATS", "FrozenBase", "calibration_input"]

BASE_FORMATS = ("float32", "float16", "int8")


class FrozenBase(tf.Module):  # type: ignore[misc]
    """Layers before ``start``, as constants.

    Parameters
    ----------
    network
        The network.
    batch_size
        Samples in each batch.
    start
        Position of the first layer after the base.
    """

    def __init__(self, network: Network, batch_size: int, start: int) -> None:
        super().__init__()
        nodes = network.nodes[:start]
        entry = network.crossing(start)[0]
        constants = {path: variable.numpy() for node in nodes for path, variable in node.variables.items()}
        self._input = tf.TensorSpec([batch_size, *network.input_shape], tf.float32, "x")
        self._output_shape = (batch_size, *network.shape_of(entry))

        def features(x: Tensor) -> dict[str, Tensor]:
            return {"features": forward(network, nodes, {INPUT: x}, constants, constant=True).values[entry]}

        self.concrete = {"features": tf.function(features, autograph=False).get_concrete_function(self._input)}

    def describe(self) -> Signature:
        """Return the manifest's entry of the signature ``features``."""
        x = TensorSpec(tuple(self._input.shape), "float32")
        return Signature({"x": x}, {"features": TensorSpec(self._output_shape, "float32")}, ())

    def convert(self, base_format: str, calibration: Optional[np.ndarray] = None) -> bytes:
        """Return the TFLite file; input and output are float32 in every format.

        Parameters
        ----------
        base_format
            "float32"; "float16" for weights of two bytes, which the runtime widens when it loads them; or "int8" for
            weights (a scale for each channel) and activations (a scale for each tensor) of one byte, as in
            Jacob et al. 2018, section 3.
        calibration
            ``float32 [n, ...]`` with ``n`` a multiple of the batch size, as `calibration_input` returns it: the ranges
            of int8's activations are what these samples reach.

        Raises
        ------
        ConversionError
            The converter failed.
        """
        return to_tflite(
            self, self.concrete, configure=lambda c: _configure(c, base_format, self._batches(calibration))
        )

    def _batches(self, calibration: Optional[np.ndarray]) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
        def batches() -> Iterator[dict[str, np.ndarray]]:
            size = self._input.shape[0]
            assert calibration is not None
            for start in range(0, len(calibration), size):
                yield {"x": calibration[start : start + size]}

        return batches


def calibration_input(
    calibration: Optional[np.ndarray], base_format: str, network: Network, batch_size: int, scale: float, offset: float
) -> Optional[np.ndarray]:
    """Check calibration samples; return what the network is fed with, repeated to whole batches.

    Raises
    ------
    ExportError
        The format needs samples and there are none, or the other way round, or they do not fit the network.
    """
    if base_format != "int8":
        if calibration is not None:
            raise ExportError(f"calibration is for base_format='int8'; {base_format!r} needs none, leave it out")
        return None
    if calibration is None or not np.size(calibration):
        raise ExportError(
            "base_format='int8' needs calibration: some hundred typical samples, in the pixels that devices have "
            "(--calibration FILE.npz, with the samples as x)"
        )
    shape, dtype = np.shape(calibration), np.asarray(calibration).dtype
    if shape[1:] != network.input_shape:
        raise ExportError(f"calibration samples are {list(shape[1:])}, the network takes {list(network.input_shape)}")
    if dtype.kind not in "biuf":
        raise ExportError(f"calibration holds {dtype}; it has to be numbers")
    x = np.asarray(calibration, np.float32) * np.float32(scale) + np.float32(offset)
    if not np.isfinite(x).all():
        raise ExportError("calibration holds values that are infinite or not a number")
    return x[np.arange(-(-len(x) // batch_size) * batch_size) % len(x)]


def _configure(converter: Any, base_format: str, batches: Callable[[], Iterator[dict[str, np.ndarray]]]) -> None:
    if base_format == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if base_format == "float16":
        converter.target_spec.supported_types = [tf.float16]
    else:
        converter.representative_dataset = batches
        # Ops without an int8 form stay in float32, with conversions around them.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
