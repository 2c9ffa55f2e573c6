"""What the exporter's tests share: runtimes, and Keras as the judge."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from model_export.runner import Call, SignatureRunner, load_calls, save_calls

REPOSITORY = Path(__file__).resolve().parent.parent
LEGACY = "POCKETFLEET_LEGACY_PYTHON"

Play = Callable[[bytes, Sequence[Call]], list[dict[str, Any]]]


class Elsewhere:
    """Plays calls in one process of another Python: to start one for each model takes longer than its calls.

    Parameters
    ----------
    python
        The other Python.
    folder
        Where models, calls and results are passed on.
    """

    def __init__(self, python: str, folder: Path) -> None:
        self._command = [python, "-m", "model_export.runner"]
        self._files = [str(folder / name) for name in ("model.tflite", "calls.npz", "results.npz")]
        self._errors = folder / "errors.txt"
        self._process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()

    def __call__(self, content: bytes, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Play calls of a new instance of the model."""
        if self._process is None or self._process.poll() is not None:
            with self._errors.open("w") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
        model, inputs, outputs = self._files
        Path(model).write_bytes(content)
        save_calls(inputs, calls)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(self._files), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer == "\n", answer or f"it died: {self._errors.read_text()}"
        return [result for _, result in load_calls(outputs)]


def play_here(content: bytes, calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Play calls of a new instance of the model with the runtime of this Python."""
    run = SignatureRunner(content)
    return [run(name, **inputs) for name, inputs in calls]


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Optional[Elsewhere]]:
    """Play calls with tflite-runtime 2.14; None where it is not installed."""
    python = os.environ.get(LEGACY)
    if not python:
        yield None
        return
    with Elsewhere(python, tmp_path_factory.mktemp("legacy")) as play_there:
        yield play_there


@pytest.fixture(scope="session", params=["ai-edge-litert", "tflite-runtime 2.14"])
def play(request: pytest.FixtureRequest) -> Play:
    """Run calls of a model's signatures one after the other; once with each runtime."""
    if request.param == "ai-edge-litert":
        return play_here
    there: Optional[Elsewhere] = request.getfixturevalue("elsewhere")
    if there is None:
        pytest.skip(f"{LEGACY} names no Python with tflite-runtime 2.14; scripts/test makes one")
    return there


Once = Callable[[Hashable, Callable[[], Any]], Any]


@pytest.fixture(scope="session")
def once() -> Once:
    """Return what was made for a key, or make it: what Keras computes is the same for each runtime."""
    made: dict[Hashable, Any] = {}

    def make_once(key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in made:
            made[key] = make()
        return made[key]

    return make_once


@dataclass(frozen=True)
class Values:
    """Loss of a step, and every variable after it, by path."""

    loss: float
    variables: dict[str, np.ndarray]


@dataclass(frozen=True)
class Judge:
    """What Keras makes of a step, in float64 and in float32.

    The distance of the two is what rounding costs in this very step. Another order of summation costs about as much
    again: a few times that distance is allowed, and no less than a few units in the last place.
    """

    before: dict[str, np.ndarray]
    exact: Values
    rounded: Values

    def accept(self, found: Values) -> None:
        """Assert that a step is as right as float32 lets it be."""
        assert found.variables.keys() == self.exact.variables.keys()
        assert found.loss == pytest.approx(self.exact.loss, rel=2e-6, abs=2e-6)
        for path, value in found.variables.items():
            exact = self.exact.variables[path]
            error = np.linalg.norm(value - exact)
            rounding = np.linalg.norm(self.rounded.variables[path] - exact)
            change = np.linalg.norm(exact - self.before[path])
            allowed = 5 * rounding + 2e-6 * change + 1e-7 * np.linalg.norm(exact)
            assert error <= allowed, f"{path}: {error:.3g} > {allowed:.3g}, change {change:.3g}"


def weights_by_path(model: Any) -> dict[str, Any]:
    """Variables of a flat Keras model by path, in layer order."""
    from model_export.network import layer_variables

    return {path: variable for layer in model.layers for path, variable in layer_variables(layer).items()}


def build_in(dtype: str, build: Callable[[], Any]) -> Any:
    """Build a model under a dtype, with the same layer names each time."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(4)
    keras.config.set_dtype_policy(dtype)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy("float32")


def keras_steps(
    build: Callable[[], Any],
    dtype: str,
    before: dict[str, np.ndarray],
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    optimizer: Any,
    *,
    trained: Callable[[str], bool] = lambda path: True,
) -> Values:
    """Train with nothing but Keras and TensorFlow; the loss is that of the last step."""
    import keras
    import tensorflow as tf

    model = build_in(dtype, build)
    variables = weights_by_path(model)
    for path, variable in variables.items():
        variable.assign(before[path].astype(dtype))
    last = model.layers[-1]
    softmax = isinstance(last, keras.layers.Softmax) or last.activation is keras.activations.softmax
    chosen = [v for v in model.trainable_variables if trained(next(p for p, w in variables.items() if w is v))]
    loss = 0.0
    for x, y in batches:
        with tf.GradientTape() as tape:
            output = model(tf.constant(x, dtype), training=True)
            mean = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, output, from_logits=not softmax))
        optimizer.apply(tape.gradient(mean, [v.value for v in chosen]), chosen)
        loss = float(mean)
    return Values(loss, {path: variable.numpy() for path, variable in variables.items()})
