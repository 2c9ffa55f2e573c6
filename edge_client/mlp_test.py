"""The NumPy perceptron against finite differences, and against TensorFlow Lite in the same number formats."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from edge_client import Trainer
from edge_client.errors import DataError, WeightsError
from edge_client.mlp import FORMATS, MlpTrainer

SAMPLES, FEATURES, CLASSES = 32, 5, 2


def weights(layers: tuple[int, ...] = (FEATURES, 10, 10, CLASSES)) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made = {}
    for number, (inputs, outputs) in enumerate(zip(layers, layers[1:])):
        made[f"layer{number}/kernel"] = random.normal(0, 1, (inputs, outputs)).astype(np.float32)
        made[f"layer{number}/bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
    return made


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    y = random.integers(0, CLASSES, SAMPLES)
    return random.normal(size=(SAMPLES, FEATURES)) + (2 * y - 1)[:, None], y


def test_a_step_in_float64_follows_the_loss_downhill() -> None:
    x, y = data()
    trainer, start = MlpTrainer(weights(), format="float64"), MlpTrainer(weights(), format="float64").weights()
    assert trainer.train_step(x, y, 1.0) == trainer_loss(start, x, y)
    for path, value in trainer.weights().items():
        for index in [(0,) * value.ndim, tuple(n - 1 for n in value.shape)]:
            losses = []
            for nudge in (1e-5, -1e-5):
                moved = {key: array.copy() for key, array in start.items()}
                moved[path][index] += nudge
                losses.append(trainer_loss(moved, x, y))
            slope = (losses[0] - losses[1]) / 2e-5
            assert start[path][index] - value[index] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def trainer_loss(values: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    trainer = MlpTrainer(weights(), format="float64")
    trainer.set_weights(values)
    return trainer.evaluate(x, y)[0]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_learns_and_holds_its_own_numbers(format: str) -> None:
    x, y = data()
    trainer = MlpTrainer(weights(), format=format)
    first = trainer.train_step(x, y, 0.5)
    for _ in range(60):
        trainer.train_step(x, y, 0.5)
    loss, accuracy = trainer.evaluate(x, y)
    assert loss < first / 2
    assert accuracy > 0.9
    again = MlpTrainer(weights(), format=format)
    again.set_weights(trainer.weights())
    for path, value in trainer.weights().items():
        np.testing.assert_array_equal(again.weights()[path], value)
    if format not in ("float64", "float32"):
        dropped = {"float24": 8, "bfloat16": 16, "float16": 13}[format]
        bits = np.concatenate([v.ravel() for v in trainer.weights().values()]).view(np.uint32)
        assert not np.any(bits & np.uint32((1 << dropped) - 1))


@pytest.fixture(scope="module", params=["float32", "float24", "bfloat16", "float16"])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Trainer, MlpTrainer]:
    import keras

    from model_export import build, export
    from model_export.compression import Compression, Quantize

    keras.utils.set_random_seed(2)
    format = request.param
    bundle = export(
        build("mlp", (FEATURES,), CLASSES, layers=2),
        tmp_path_factory.mktemp("twins") / "b",
        batch_size=SAMPLES,
        compression=Compression(quantize=Quantize(format, format, format)),
        measure=False,
    )
    trainer = Trainer(bundle)
    return format, trainer, MlpTrainer(trainer.weights(), format=format)


def test_steps_are_tensorflow_lite_s_in_the_same_format(twins: tuple[str, Trainer, MlpTrainer]) -> None:
    format, theirs, ours = twins
    x, y = data()
    # TensorFlow Lite rounds what a layer gives, NumPy every operation: a handful of units in the last place.
    unit = {"float32": 2.0**-23, "float24": 2.0**-15, "bfloat16": 2.0**-7, "float16": 2.0**-10}[format]
    for _ in range(8):
        before = ours.weights()
        theirs.set_weights(before)
        losses = [ours.train_step(x, y, 0.5), theirs.train_step(x.astype(np.float32), y, 0.5)]
        assert losses[0] == pytest.approx(losses[1], rel=8 * unit, abs=8 * unit)
        for path, value in ours.weights().items():
            other = theirs.weights()[path]
            change = np.linalg.norm(value - before[path])
            assert np.linalg.norm(value - other) <= 8 * unit * (change + np.linalg.norm(value)), path


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda t: MlpTrainer(weights(), format="int8"), ValueError, "no number format is called 'int8'"),
        (lambda t: MlpTrainer({}), WeightsError, "not the kernels and biases of a perceptron: nothing"),
        (lambda t: MlpTrainer({"a/kernel": np.ones((2, 2))}), WeightsError, "not the kernels and biases"),
        (
            lambda t: MlpTrainer({**weights(), "layer1/kernel": np.ones((9, 10), np.float32)}),
            WeightsError,
            "layer 'layer1' does not fit the 10 values",
        ),
        (lambda t: t.set_weights({}), WeightsError, "missing weight 'layer0/kernel'"),
        (lambda t: t.set_weights({**weights(), "x/bias": np.ones(1)}), WeightsError, "unknown weight 'x/bias'"),
        (
            lambda t: t.set_weights({**weights(), "layer0/bias": np.ones(3)}),
            WeightsError,
            r"'layer0/bias' has shape \[3\], not \[10\]",
        ),
        (lambda t: t.train_step(np.ones((2, 4)), np.zeros(2, int), 0.1), DataError, r"\[2, 4\], the perceptron takes"),
        (lambda t: t.evaluate(np.ones((2, 5)), np.zeros(3, int)), DataError, "2 samples, labels of shape"),
        (lambda t: t.train_step(np.ones((1, 5)), np.array([2]), 0.1), DataError, "outside 0..1"),
    ],
)
def test_wrong_use_is_named_and_changes_nothing(attempt: Any, error: type[Exception], message: str) -> None:
    trainer = MlpTrainer(weights())
    with pytest.raises(error, match=message):
        attempt(trainer)
    for path, value in weights().items():
        np.testing.assert_array_equal(trainer.weights()[path], value)


def test_without_ml_dtypes_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match="pip install ml_dtypes"):
        MlpTrainer(weights(), format="bfloat16")
