"""Which TensorFlow Lite runtime is there. No other file names one.

ai-edge-litert first, then tflite-runtime, then the interpreter inside TensorFlow.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from typing import Any, Optional, Protocol

import numpy as np

from edge_client.errors import NoRuntimeError

__all__ = ["RUNTIMES", "Interpreter", "SignatureRunner", "available_runtime", "default_threads", "load_interpreter"]

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


class SignatureRunner(Protocol):
    """Calls one signature of a model with named tensors."""

    def __call__(self, **inputs: np.ndarray) -> Mapping[str, np.ndarray]:
        """Run the signature."""


class Interpreter(Protocol):
    """The part of a TensorFlow Lite interpreter that we use."""

    def allocate_tensors(self) -> None:
        """Plan memory and apply the default delegates."""

    def get_signature_runner(self, signature_key: str) -> SignatureRunner:
        """Return the runner of one signature."""

    def get_signature_list(self) -> Mapping[str, Any]:
        """Return the signatures and the names of their tensors."""


def available_runtime() -> str:
    """Return the name of the runtime that `load_interpreter` takes; does not import it.

    Raises
    ------
    NoRuntimeError
        None is installed.
    """
    for name, module in RUNTIMES.items():
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            return name
    raise NoRuntimeError(
        "no TensorFlow Lite runtime is installed: pip install 'pocketfleet[edge]' (or 'pocketfleet[edge-legacy]' "
        "for boards that only tflite-runtime supports)"
    )


def default_threads(runtime: str) -> int:
    """Return how many threads train fastest with ``runtime`` on this machine.

    tflite-runtime 2.14 runs the operations of a training step in two thread pools that fight over the cores; one thread
    was 2.4 times as fast as two when it was measured.
    """
    return 1 if runtime == "tflite-runtime" else max(1, os.cpu_count() or 1)


def load_interpreter(model: bytes, *, num_threads: Optional[int] = None, runtime: Optional[str] = None) -> Interpreter:
    """Load a model.

    Parameters
    ----------
    model
        The bytes of a ``.tflite`` file.
    num_threads
        Threads for the operations; None takes `default_threads`.
    runtime
        One of `RUNTIMES`; None takes `available_runtime`.

    Raises
    ------
    NoRuntimeError
        No runtime, or not the one asked for, is installed.
    ValueError
        The runtime does not accept the model.
    """
    name = runtime or available_runtime()
    try:
        module = importlib.import_module(RUNTIMES[name])
    except ImportError as error:
        raise NoRuntimeError(f"the runtime {name} cannot be loaded: {error}") from None
    interpreter: Interpreter = module.Interpreter(
        model_content=model, num_threads=default_threads(name) if num_threads is None else num_threads
    )
    # tflite-runtime 2.14 never applies XNNPACK when a signature runner is made first.
    interpreter.allocate_tensors()
    return interpreter
