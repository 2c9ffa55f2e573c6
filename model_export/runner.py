"""Run the signatures of a model with whichever TFLite runtime is installed. Needs no TensorFlow.

The exporter compares a new model with Keras through this file. As a command it plays back lists of calls, so that the
tests can do the same under another Python with another runtime::

    python -m model_export.runner

Each line of its input is a JSON list of three files, ``[MODEL.tflite, CALLS.npz, RESULTS.npz]``, and is answered with
an empty line, or an error. ``CALLS.npz`` holds the inputs of each call as ``<number>/<signature>/<input>``; a call
without inputs is marked by an empty input name. ``RESULTS.npz`` holds the outputs as ``<number>/<signature>/<output>``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from model_export.quiet import quiet

__all__ = ["SignatureRunner", "load_calls", "runtime_name", "save_calls"]

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")

Call = tuple[str, dict[str, Any]]


class SignatureRunner:
    """The signatures of one model, called by name; they share its variables.

    Parameters
    ----------
    content
        The ``.tflite`` file.
    num_threads
        Threads of the runtime.

    Raises
    ------
    ImportError
        No runtime is installed.
    """

    def __init__(self, content: bytes, num_threads: int = 1) -> None:
        with quiet():
            self._interpreter = _interpreter_class()(model_content=content, num_threads=num_threads)
            self._interpreter.allocate_tensors()
        self._signatures: dict[str, Any] = self._interpreter.get_signature_list()
        self._runners: dict[str, Any] = {}

    def inputs(self, name: str) -> list[str]:
        """Names of a signature's inputs."""
        return list(self._signatures[name]["inputs"])

    def __call__(self, name: str, **inputs: Any) -> dict[str, Any]:
        """Run a signature; return copies of its outputs."""
        if name not in self._runners:
            self._runners[name] = self._interpreter.get_signature_runner(name)
        return {key: np.array(value) for key, value in self._runners[name](**inputs).items()}


def save_calls(path: str, calls: Sequence[Call]) -> None:
    """Write the inputs, or the outputs, of calls in their order."""
    arrays: dict[str, Any] = {}
    for number, (name, values) in enumerate(calls):
        arrays[f"{number}/{name}/"] = np.zeros(0)
        arrays.update({f"{number}/{name}/{key}": value for key, value in values.items()})
    np.savez(path, **arrays)


def load_calls(path: str) -> list[Call]:
    """Read what `save_calls` wrote."""
    calls: list[Call] = []
    with np.load(path) as archive:
        for entry in archive.files:
            _, name, key = entry.split("/")
            if key:
                calls[-1][1][key] = archive[entry]
            else:
                calls.append((name, {}))
    return calls


def runtime_name() -> str:
    """Name and version of the installed runtime, as in "ai-edge-litert 2.3.0".

    Raises
    ------
    ImportError
        No runtime is installed.
    """
    package = _interpreter_class().__module__.partition(".")[0].replace("_", "-")
    return f"{package} {importlib.metadata.version(package)}"


def _interpreter_class() -> Any:
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name).Interpreter
        except ImportError:
            continue
    raise ImportError("no TFLite runtime is installed; install ai-edge-litert")


def _main() -> None:
    for line in sys.stdin:
        model, calls, results = json.loads(line)
        try:
            with open(model, "rb") as file:
                run = SignatureRunner(file.read())
            save_calls(results, [(name, run(name, **inputs)) for name, inputs in load_calls(calls)])
        except (ValueError, RuntimeError) as error:
            print(repr(error), flush=True)
        else:
            print(flush=True)


if __name__ == "__main__":
    _main()
