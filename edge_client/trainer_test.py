from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.errors import DataError, WeightsError
from edge_client.feature_cache import FeatureCache
from edge_client.fit import batches, fit
from edge_client.trainer import Trainer
from model_export.bundle import MODEL, Bundle
from model_export.errors import BundleAltered

if TYPE_CHECKING:
    from conftest import Digits


@pytest.fixture
def trainer(digits_bundle: Path) -> Trainer:
    return Trainer(digits_bundle, num_threads=1)


@pytest.fixture
def data(digits: Digits) -> Dataset:
    return Dataset(digits.x[:250], digits.y[:250], "digits")


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_starts_from_the_initial_weights_and_returns_them_bit_for_bit(trainer: Trainer) -> None:
    assert _same(trainer.weights(), trainer.bundle.initial())
    changed = {
        name: np.random.default_rng(0).normal(size=v.shape).astype("f4") for name, v in trainer.weights().items()
    }
    trainer.set_weights(changed)
    assert _same(trainer.weights(), changed)


def test_learns_digits(trainer: Trainer, digits: Digits) -> None:
    before = trainer.evaluate(digits.test_x, digits.test_y)
    result = trainer.fit(Dataset(digits.x, digits.y, "digits"), 4, learning_rate=0.02, seed=1)
    loss, accuracy = trainer.evaluate(digits.test_x, digits.test_y)
    assert accuracy > 0.93 > before[1]
    assert result.steps == result.planned_steps == 4 * 90
    assert result.examples_processed == 4 * 1437
    assert not result.cut_off
    predicted = trainer.predict(digits.test_x)
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-5)
    assert (predicted.argmax(1) == digits.test_y).mean() == pytest.approx(accuracy)
    assert -np.log(predicted[np.arange(360), digits.test_y]).mean() == pytest.approx(loss, rel=1e-4)


def test_same_seed_same_weights(digits_bundle: Path, data: Dataset) -> None:
    weights = []
    for seed in (5, 5, 6):
        trainer = Trainer(digits_bundle, num_threads=1)
        trainer.fit(data, 2, learning_rate=0.05, seed=seed)
        weights.append(trainer.weights())
    assert _same(weights[0], weights[1])
    assert not _same(weights[0], weights[2])


def test_set_weights_starts_momentum_anew(trainer: Trainer, data: Dataset) -> None:
    first = trainer.train_step(data.x[:16], data.y[:16], 0.1)
    after_one = trainer.weights()
    trainer.train_step(data.x[16:32], data.y[16:32], 0.1)
    trainer.set_weights(trainer.bundle.initial())
    assert trainer.train_step(data.x[:16], data.y[:16], 0.1) == first
    assert _same(trainer.weights(), after_one)


def test_cut_leaves_earlier_layers_alone(trainer: Trainer, data: Dataset) -> None:
    before = trainer.weights()
    trainer.fit(data, 1, learning_rate=0.05, cut="conv3")
    after = trainer.weights()
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == set(trainer.trained("conv3"))
    assert all(name.split("/")[0] in ("conv3", "norm3", "logits") for name in changed)


def test_proximal_term_pulls_back(trainer: Trainer, data: Dataset) -> None:
    def distance(mu: float) -> float:
        start = trainer.bundle.initial()
        trainer.set_weights(start)
        trainer.fit(data, 2, learning_rate=0.05, mu=mu)
        after = trainer.weights()
        return sum(float(np.square(after[n] - start[n]).sum()) for n in trainer.trained() if "moving" not in n)

    assert distance(1.0) < 0.7 * distance(0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.update(extra=np.zeros(1)), "unknown weight 'extra'"),
        (lambda w: w.pop("conv2/kernel"), "missing weight 'conv2/kernel'"),
        (lambda w: w.update({"conv2/kernel": w["conv2/kernel"][:2]}), r"'conv2/kernel' has shape \[2, 3"),
        (lambda w: w.update({"conv2/kernel": w["conv2/kernel"] * 1j}), "has dtype complex"),
    ],
)
def test_wrong_weights_change_nothing(
    trainer: Trainer, change: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    before = trainer.weights()
    wrong = {name: value + 1 for name, value in before.items()}
    change(wrong)
    with pytest.raises(WeightsError, match=message):
        trainer.set_weights(wrong)
    assert _same(trainer.weights(), before)


def test_wrong_samples_train_nothing(trainer: Trainer, data: Dataset) -> None:
    before = trainer.weights()
    for x, y, message in (
        (data.x[:17], data.y[:17], "1 to 16 samples, got 17"),
        (data.x[:0], data.y[:0], "1 to 16 samples, got 0"),
        (data.x[:4, :7], data.y[:4], r"\[7, 8, 1\], the network takes \[8, 8, 1\]"),
        (data.x[:4], np.array([0, 1, 2, 10]), r"label 10 is outside 0\.\.9"),
        (data.x[:4], data.y[:3], "4 samples, 3 labels"),
    ):
        with pytest.raises(DataError, match=message):
            trainer.train_step(x, y, 0.1)
    with pytest.raises(ValueError, match="no cut 'conv9'; it has: conv2, conv3"):
        trainer.fit(data, 1, learning_rate=0.1, cut="conv9")
    with pytest.raises(DataError, match="no samples"):
        trainer.fit(Dataset(data.x[:0], data.y[:0], "d"), 1, learning_rate=0.1)
    assert _same(trainer.weights(), before)


def test_altered_model_is_not_loaded(digits_bundle: Path, tmp_path: Path) -> None:
    copy = Bundle.load(digits_bundle).to_zip(tmp_path / "b.zip")
    assert Trainer(copy).predict(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 10)
    altered = tmp_path / "altered"
    altered.mkdir()
    for file in digits_bundle.iterdir():
        (altered / file.name).write_bytes(file.read_bytes())
    content = bytearray((altered / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (altered / MODEL).write_bytes(content)
    with pytest.raises(BundleAltered, match=r"model\.tflite was altered"):
        Trainer(altered)


def _ticking(step_s: float) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) * step_s


@pytest.mark.parametrize(("cutoff_s", "steps"), [(None, 32), (0, 32), (1000, 32), (10, 8), (0.5, 1)])
def test_cutoff_ends_before_the_time_is_up_and_keeps_the_work(
    digits_bundle: Path, data: Dataset, cutoff_s: float | None, steps: int
) -> None:
    # Every look at this clock takes a second: a step, too, since it looks once a step.
    trainer = Trainer(digits_bundle, num_threads=1)
    result = fit(trainer, data, 2, learning_rate=0.05, seed=3, cutoff_s=cutoff_s, clock=_ticking(1.0))
    assert (result.steps, result.planned_steps, result.cut_off) == (steps, 32, steps < 32)
    by_hand = Trainer(digits_bundle, num_threads=1)
    full = min(steps, 15)
    assert result.examples_processed == full * 16 + (10 if steps > 15 else 0) + max(0, min(steps - 16, 15)) * 16 + (
        10 if steps > 31 else 0
    )
    fit(by_hand, data, 2, learning_rate=0.05, seed=3, cutoff_s=cutoff_s, clock=_ticking(1.0))
    assert _same(trainer.weights(), by_hand.weights())
    assert not _same(trainer.weights(), trainer.bundle.initial())


def test_cached_features_are_the_same_training(
    head_bundle: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached, direct = Trainer(head_bundle, num_threads=1), Trainer(head_bundle, num_threads=1)
    assert cached.has_features
    first = cached.fit(data, 2, learning_rate=0.1, seed=4)
    again = cached.cached_features(data)
    assert cached.cached_features(data) is again
    for rows in batches(len(data), 16, 2, 4):
        direct.train_step(data.x[rows], data.y[rows], 0.1)
    uncached = Trainer(head_bundle, num_threads=1)
    monkeypatch.setattr(uncached, "cached_features", lambda data: pytest.fail("it was not to cache them"))
    uncached.fit(data, 2, learning_rate=0.1, seed=4, cache_features=False)
    for name, value in cached.weights().items():
        np.testing.assert_allclose(value, direct.weights()[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(uncached.weights()[name], direct.weights()[name])
    assert first.features_s > 0
    loss, accuracy = cached.evaluate(data.x, data.y)
    from_features = cached.evaluate_features(again, data.y)
    assert from_features == pytest.approx((loss, accuracy), rel=1e-5)
    assert [name.split("/")[0] for name in cached.trained()] == ["logits", "logits"]


def test_another_run_takes_the_features_from_the_disk(head_bundle: Path, data: Dataset, tmp_path: Path) -> None:
    first = Trainer(head_bundle, num_threads=1, feature_cache=FeatureCache(tmp_path))
    features = first.cached_features(data)
    np.testing.assert_array_equal(features, first.features(data.x))
    (kept,) = tmp_path.iterdir()
    # The file says it is something else now, and its hash is right: only a reader of the file can know.
    changed = FeatureCache(tmp_path / "other").get("k", features.shape, lambda: [features + 1])
    kept.write_bytes((tmp_path / "other" / "k.features").read_bytes())
    again = Trainer(head_bundle, num_threads=1, feature_cache=FeatureCache(tmp_path))
    np.testing.assert_array_equal(again.cached_features(data), changed)


def test_legacy_runtime_trains_the_same(digits_bundle: Path, digits: Digits, tmp_path: Path) -> None:
    python = os.environ.get("POCKETFLEET_LEGACY_PYTHON")
    if not python:
        pytest.skip("POCKETFLEET_LEGACY_PYTHON names no Python with tflite-runtime; scripts/test makes one")
    digits.save(tmp_path / "d.npz", slice(0, 250))
    code = """
import sys, numpy as np
from edge_client.data import load_dataset
from edge_client.trainer import Trainer
bundle, data, out = sys.argv[1:]
trainer = Trainer(bundle, num_threads=1)
m = trainer.manifest
result = trainer.fit(load_dataset(data, m.input, m.classes), 2, learning_rate=0.05, seed=3)
print(trainer.runtime, result.loss)
np.savez(out, **trainer.weights())
"""
    results = {}
    for name, executable in (("legacy", python), ("here", sys.executable)):
        out = tmp_path / f"{name}.npz"
        command = [executable, "-c", code, str(digits_bundle), str(tmp_path / "d.npz"), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
        assert done.returncode == 0, done.stderr
        runtime, loss = done.stdout.split()
        with np.load(out) as weights:
            results[name] = (runtime, float(loss), dict(weights))
    assert (results["legacy"][0], results["here"][0]) == ("tflite-runtime", "ai-edge-litert")
    assert results["legacy"][1] == pytest.approx(results["here"][1], rel=1e-4)
    # 32 steps of float32 training: rounding differs by 1e-7 a step and grows through batch norm and ReLU kinks.
    for name, value in results["here"][2].items():
        np.testing.assert_allclose(results["legacy"][2][name], value, rtol=2e-3, atol=2e-3)
