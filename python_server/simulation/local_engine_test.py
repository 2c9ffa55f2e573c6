"""The local engine trains as a client does: held against `edge_client.Trainer` on the same bundle."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge_client import Trainer
from edge_client.data import Dataset
from edge_client.fit import fit
from model_export import Adam, Sgd, export
from model_export.bundle import NETWORK, Bundle, write_bundle
from model_export.errors import BundleFormatError
from python_server.errors import ExperimentError
from python_server.simulation.engine import TrainTask, steps_until_cutoff
from python_server.simulation.local_engine import LocalEngine

ROWS = np.arange(50, 77)
"""27 samples: a whole batch of 16, and one that is filled up."""


def _both(bundle: Path, digits: Any, **task: object) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    """Train one client on both; return the trained weights of the engine and of the client, and compare the losses."""
    data = Dataset(digits.x, digits.y, "digits")
    trainer = Trainer(bundle, num_threads=1)
    settings = {"epochs": 2, "learning_rate": 0.05, "cut": "", "mu": 0.0, "seed": 7, **task}
    engine = LocalEngine({"": trainer.bundle}, data)
    initial = trainer.weights()
    (got,) = engine.train([TrainTask(ROWS, initial, steps=4, **settings)])  # type: ignore[arg-type]
    own = Dataset(digits.x[ROWS], digits.y[ROWS], "own")
    expected = trainer.fit(own, **settings)  # type: ignore[arg-type]
    assert got.problem == ""
    assert (got.examples_processed, expected.steps) == (expected.examples_processed, 4)
    assert got.loss == pytest.approx(expected.loss, rel=1e-4)
    weights = trainer.weights()
    changed = trainer.trained(str(settings["cut"]))
    assert set(got.weights) == set(changed)
    assert any(not np.array_equal(weights[path], initial[path]) for path in changed)
    return got.weights, {path: weights[path] for path in changed}


def _assert_close(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=2e-3, atol=2e-5, err_msg=path)


@pytest.mark.parametrize("cut", ["", "conv3"])
def test_a_round_is_a_clients_round(digits_bundle: Path, digits: Any, cut: str) -> None:
    _assert_close(*_both(digits_bundle, digits, cut=cut, mu=0.1))


def test_a_head_trains_from_the_features_of_its_base(head_bundle: Path, digits: Any) -> None:
    _assert_close(*_both(head_bundle, digits))


@pytest.mark.parametrize(
    "optimizer",
    [Adam(weight_decay=0.01, clip_norm=0.5), Sgd(momentum=0.8, nesterov=True, weight_decay=0.01, clip_norm=0.5)],
    ids=["adam", "nesterov"],
)
def test_optimizers_and_dropout_are_those_of_devices(optimizer: Adam | Sgd, digits: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(name="flat"),
            layers.Dense(24, activation="relu", name="hidden"),
            layers.Dropout(0.3, name="drop"),
            layers.Dense(10, activation="softmax", name="out"),
        ],
        name="mlp",
    )
    export(model, tmp_path / "b", batch_size=16, optimizer=optimizer, input_scale=1 / 255, measure=False)
    rate = 0.003 if isinstance(optimizer, Adam) else 0.05
    _assert_close(*_both(tmp_path / "b", digits, learning_rate=rate))


def test_evaluation_is_a_clients_evaluation(digits_bundle: Path, digits: Any) -> None:
    trainer = Trainer(digits_bundle, num_threads=1)
    test = Dataset(digits.test_x, digits.test_y, "test")
    got = LocalEngine({"": trainer.bundle}, test).evaluate(trainer.weights(), test)
    assert got == pytest.approx(trainer.evaluate(test.x, test.y), rel=1e-4)


def test_side_by_side_is_for_jax(digits_bundle: Path, digits: Any) -> None:
    data = Dataset(digits.x, digits.y, "digits")
    with pytest.raises(ExperimentError, match="side_by_side is 4, which needs backend = 'jax'; this is tensorflow"):
        LocalEngine({"": Bundle.load(digits_bundle)}, data, side_by_side=4)


def test_a_diverged_client_says_so(digits_bundle: Path, digits: Any) -> None:
    bundle = Bundle.load(digits_bundle)
    engine = LocalEngine({"": bundle}, Dataset(digits.x, digits.y, "digits"))
    (got,) = engine.train([TrainTask(ROWS, bundle.initial(), epochs=4, steps=8, learning_rate=1e30)])
    assert "lower learning rate" in got.problem or "went astray" in got.problem
    assert not got.weights


def test_compressed_bundles_train_as_devices_do(digits_bundle: Path, digits_rough: Path, digits: Any) -> None:
    data = Dataset(digits.x, digits.y, "digits")
    trainer = Trainer(digits_rough, num_threads=1)
    bundles = {"": Bundle.load(digits_bundle), "rough": trainer.bundle}
    engine = LocalEngine(bundles, data)
    weights = bundles[""].initial()
    settings = {"epochs": 1, "learning_rate": 0.05, "seed": 7}
    tasks = [TrainTask(ROWS, weights, steps=2, bundle=name, **settings) for name in ("rough", "")]  # type: ignore[arg-type]
    rough, whole = engine.train(tasks)
    trainer.set_weights(weights)
    trainer.fit(Dataset(digits.x[ROWS], digits.y[ROWS], "own"), **settings)  # type: ignore[arg-type]
    for path, value in trainer.weights().items():
        np.testing.assert_array_equal(rough.weights[path], value, err_msg=path)
    assert np.mean(rough.weights["conv2/kernel"] == 0) > 0.45
    assert np.mean(whole.weights["conv2/kernel"] == 0) < 0.05
    assert engine.evaluate(rough.weights, data, "rough") == pytest.approx(trainer.evaluate(data.x, data.y))
    (astray,) = engine.train([TrainTask(ROWS, weights, epochs=4, steps=8, learning_rate=1e30, bundle="rough")])
    assert "lower" in astray.problem


def test_bundles_that_keras_does_not_train_are_refused(digits: Any, digits_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(digits_bundle)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    data = Dataset(digits.x, digits.y, "digits")
    other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]).to_json()
    foreign = write_bundle(tmp_path / "b", bundle.manifest, {**files, NETWORK: other.encode()})
    with pytest.raises(BundleFormatError, match=r"network\.json has no layer"):
        LocalEngine({"": foreign}, data)
    code = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: x)]).to_json()
    unsafe = write_bundle(tmp_path / "c", bundle.manifest, {**files, NETWORK: code.encode()})
    with pytest.raises(BundleFormatError, match=r"network\.json cannot be read"):
        LocalEngine({"": unsafe}, data)


@pytest.mark.parametrize(("planned", "cutoff_s", "steps"), [(10, 0.0, 10), (10, 0.35, 3), (10, 0.01, 1), (2, 9.0, 2)])
def test_the_cutoff_strikes_as_on_a_device(
    digits_bundle: Path, digits: Any, planned: int, cutoff_s: float, steps: int
) -> None:
    assert steps_until_cutoff(planned, 0.1, cutoff_s) == steps
    trainer = Trainer(digits_bundle, num_threads=1)
    own = Dataset(digits.x[: 16 * planned], digits.y[: 16 * planned], "own")
    now, step = [0.0], trainer.train_step

    def timed(*args: Any, **options: Any) -> float:
        now[0] += 0.1
        return step(*args, **options)

    trainer.train_step = timed  # type: ignore[method-assign]
    assert fit(trainer, own, 1, learning_rate=0.01, cutoff_s=cutoff_s, clock=lambda: now[0]).steps == steps


_JAX = """
import sys
import numpy as np
from python_server.simulation.backend import use_backend
use_backend("jax")
from model_export.bundle import Bundle
from edge_client.data import load_dataset
from python_server.simulation.engine import TrainTask
from python_server.simulation.local_engine import LocalEngine
bundle = Bundle.load(sys.argv[1])
data = load_dataset(sys.argv[2], bundle.manifest.input, bundle.manifest.classes)
assert not {"tensorflow", "flwr"} & set(sys.modules), "TensorFlow or Flower was imported"
weights = bundle.initial()
own = {path: value * np.float32(1.01) for path, value in weights.items()}
tasks = [
    TrainTask(
        np.arange(27 + 9 * k), start, epochs=1, steps=2 + k // 2, learning_rate=0.05, mu=0.1, seed=k, bundle=name
    )
    for k, (start, name) in enumerate([(weights, ""), (weights, "other"), (own, "")])
]
bundles = {"": bundle, "other": bundle}
alone = list(LocalEngine(bundles, data).train(tasks))
beside = list(LocalEngine(bundles, data, side_by_side=2).train(tasks))
for one, two in zip(alone, beside):
    assert one.examples_processed == two.examples_processed and abs(one.loss - two.loss) < 1e-4
    for path in one.weights:
        np.testing.assert_allclose(one.weights[path], two.weights[path], rtol=2e-3, atol=2e-5)
np.savez(sys.argv[3], **{path.replace("/", "|"): value for path, value in alone[0].weights.items()})
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_jax_does_the_same_side_by_side_and_without_tensorflow(
    digits_bundle: Path, digits: Any, tmp_path: Path
) -> None:
    data = digits.save(tmp_path / "data.npz", slice(50, 150))
    command = [sys.executable, "-c", _JAX, str(digits_bundle), str(data), str(tmp_path / "out.npz")]
    done = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trainer = Trainer(digits_bundle, num_threads=1)
    own = Dataset(digits.x[ROWS], digits.y[ROWS], "own")
    trainer.fit(own, 1, learning_rate=0.05, mu=0.1)
    expected = trainer.weights()
    with np.load(tmp_path / "out.npz") as got:
        _assert_close(
            {path.replace("|", "/"): got[path] for path in got.files},
            {path: expected[path] for path in trainer.trained()},
        )
