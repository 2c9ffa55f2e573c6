"""Runs a bundle's signatures on Keras instead of TensorFlow Lite, so that a client can train on a GPU.

TensorFlow Lite has no delegate that trains on one. The same step on Keras's layers, which the simulator has, runs on
whatever TensorFlow or JAX offer: NVIDIA's TensorFlow on a Jetson, CUDA on a desktop. `KerasInterpreter` takes the place
of the TensorFlow Lite interpreter in `edge_client.Trainer`; all else of the client stays as it is.

Sums are made in another order than TensorFlow Lite makes them, so weights agree to some five digits, not to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from edge_client.runtime import SignatureRunner
from model_export.bundle import Bundle
from python_server.simulation.backend import compiled
from python_server.simulation.keras_network import KerasNetwork
from python_server.simulation.step import make_evaluation, make_step, slots_of

__all__ = ["KerasInterpreter"]

Outputs = Mapping[str, np.ndarray]


class KerasInterpreter:
    """A bundle's model on Keras; what `edge_client.runtime.Interpreter` asks for.

    Parameters
    ----------
    bundle
        The bundle.

    Attributes
    ----------
    name
        What the client calls its runtime.

    Raises
    ------
    python_server.errors.ExperimentError
        The bundle trains compressed weights, which Keras does not.
    model_export.errors.BundleFormatError
        The bundle holds no network that Keras can read.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.name = f"keras on {keras.config.backend()}"
        self._manifest = bundle.manifest
        self._network = KerasNetwork(bundle)
        self._entry = "features" if "features" in bundle.manifest.signatures else "x"
        self._evaluation = compiled(make_evaluation(self._network))
        self._inference = compiled(self._probabilities)
        self._set({path: np.asarray(value) for path, value in bundle.initial().items()})

    def allocate_tensors(self) -> None:
        """Do nothing: Keras has its own memory."""

    def get_signature_list(self) -> Mapping[str, Any]:
        """Return the signatures and the names of their tensors."""
        return {
            name: {"inputs": list(signature.inputs), "outputs": list(signature.outputs)}
            for name, signature in self._manifest.signatures.items()
            if name != "features"
        }

    def get_signature_runner(self, signature_key: str) -> SignatureRunner:
        """Return the runner of one signature; the frozen base's is TensorFlow Lite's own business."""
        fixed: dict[str, SignatureRunner] = {
            "get": self._run_get,
            "set": self._run_set,
            "evaluate": self._run_evaluate,
            "infer": self._run_infer,
        }
        if signature_key in fixed:
            return fixed[signature_key]
        cuts = {self._manifest.training_signature(cut): cut for cut in ("", *self._manifest.cuts)}
        cut = cuts[signature_key]
        return partial(self._run_step, compiled(make_step(self._network, cut)), self._network.trained(cut))

    def _set(self, values: Mapping[str, np.ndarray]) -> None:
        self._variables = {path: ops.convert_to_tensor(value) for path, value in values.items()}
        # A `set` begins anew: momentum, the step's number, and what the proximal term pulls to.
        self._anchors = dict(self._variables)
        self._slots: dict[str, dict[str, Any]] = {slot: {} for slot in slots_of(self._manifest.optimizer)}
        self._steps = 0

    def _run_get(self, **inputs: np.ndarray) -> Outputs:
        values = [ops.convert_to_numpy(self._variables[path]) for path in self._manifest.state]
        return {f"v{index:04d}": np.array(value) for index, value in enumerate(values)}

    def _run_set(self, **inputs: np.ndarray) -> Outputs:
        self._set({path: inputs[f"v{index:04d}"] for index, path in enumerate(self._manifest.variables)})
        return {}

    def _run_step(self, step: Any, trained: tuple[str, ...], **inputs: np.ndarray) -> Outputs:
        for kept in self._slots.values():
            for path in trained:
                if path not in kept:
                    kept[path] = ops.zeros_like(self._variables[path])
        self._steps += 1
        slots = {slot: {path: kept[path] for path in trained} for slot, kept in self._slots.items()}
        batch = {
            "given": ops.convert_to_tensor(inputs[self._entry].astype(np.float32, copy=False)),
            "y": ops.convert_to_tensor(inputs["y"]),
            "w": ops.convert_to_tensor(inputs["w"]),
            "seed": ops.convert_to_tensor(inputs.get("seed", np.array(0, np.int32))),
            "step": ops.convert_to_tensor(np.array(self._steps, np.float32)),
        }
        anchors = {path: self._anchors[path] for path in trained} if self._manifest.optimizer["proximal"] else {}
        shared = {
            "rate": ops.convert_to_tensor(inputs["learning_rate"]),
            "mu": ops.convert_to_tensor(inputs.get("mu", np.array(0, np.float32))),
            "anchors": anchors,
        }
        state, loss = step({"state": {"variables": self._variables, "slots": slots}, "batch": batch, **shared})
        self._variables = dict(state["variables"])
        for slot, moved in state["slots"].items():
            self._slots[slot].update(moved)
        return {"loss": ops.convert_to_numpy(loss)}

    def _run_evaluate(self, **inputs: np.ndarray) -> Outputs:
        batch = {
            "given": ops.convert_to_tensor(inputs[self._entry].astype(np.float32, copy=False)),
            "y": ops.convert_to_tensor(inputs["y"]),
            "w": ops.convert_to_tensor(inputs["w"]),
        }
        loss, correct = self._evaluation(batch, self._variables)
        return {"loss": ops.convert_to_numpy(loss), "correct": ops.convert_to_numpy(correct)}

    def _run_infer(self, **inputs: np.ndarray) -> Outputs:
        given = ops.convert_to_tensor(inputs[self._entry].astype(np.float32, copy=False))
        return {"probabilities": ops.convert_to_numpy(self._inference({"given": given}, self._variables))}

    def _probabilities(self, batch: Mapping[str, Any], variables: Mapping[str, Any]) -> Any:
        return ops.softmax(self._network.logits(variables, batch["given"])[0], axis=-1)
