"""Steps of compressed models against the same rules written with NumPy, on both runtimes.

The reference is a perceptron whose gradients are written out, rounded by `model_export.formats`, pruned and clustered
by plain indexing. It shares no code with the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np
import pytest

from model_export import Adam, Sgd, export
from model_export.bundle import MODEL, Bundle
from model_export.compression import Cluster, Compression, Prune, Quantize
from model_export.conftest import Play
from model_export.errors import ExportError
from model_export.formats import FLOATS, INTEGERS, on_grid

BATCH, INPUTS, CLASSES = 8, 6, 4
RATE, MOMENTUM, DECAY, MU = 0.2, 0.9, 0.01, 0.3
STEPS = 4
OPTIMIZER = Sgd(momentum=MOMENTUM, weight_decay=DECAY, proximal=True)

VARIANTS = {
    "pruned": Compression(prune=Prune(0.5)),
    "pruned globally, bfloat16 weights": Compression(prune=Prune(0.7, "global"), quantize=Quantize("bfloat16")),
    "float16": Compression(quantize=Quantize("float16", "float16", "float16")),
    "float24": Compression(quantize=Quantize("float24", "bfloat16", "float24")),
    "int8": Compression(quantize=Quantize("int8", "int8", "int8")),
    "int4 weights, one scale, pruned": Compression(prune=Prune(0.3), quantize=Quantize("int4", per_channel=False)),
    "clustered by means": Compression(cluster=Cluster(5)),
    "clustered by sums, pruned": Compression(prune=Prune(0.4), cluster=Cluster(4, "sum")),
}


def perceptron() -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((INPUTS,)),
            *(keras.layers.Dense(n, "tanh", name=f"d{n}") for n in (10, 7)),
            keras.layers.Dense(CLASSES, name="logits"),
        ]
    )


class Reference:
    """The compressed perceptron in NumPy; float32 as the graph's, but for the order of sums."""

    def __init__(self, bundle: Bundle, compression: Compression) -> None:
        self.quantize = compression.quantize or Quantize()
        self.cluster = compression.cluster
        self.values = {path: value.copy() for path, value in bundle.initial().items()}
        self.start = {path: value.copy() for path, value in self.values.items()}
        self.velocity = {path: np.zeros_like(value) for path, value in self.values.items()}
        self.masks = {p: v != 0 for p, v in self.values.items() if compression.prune and p.endswith("kernel")}

    def held(self, path: str, value: np.ndarray) -> np.ndarray:
        format = self.quantize.weights
        if format in INTEGERS and not path.endswith("kernel"):
            return value
        return on_grid(value, format, per_channel=self.quantize.per_channel)

    def by_sample(self, x: np.ndarray, format: str) -> np.ndarray:
        return on_grid(x.T, format, per_channel=True).T

    def grouped(self, path: str, gradient: np.ndarray) -> np.ndarray:
        """Give each weight its codebook entry's gradient."""
        start, out = self.start[path], np.zeros_like(gradient)
        if not self.cluster or not path.endswith("kernel"):
            return gradient
        for value in np.unique(start[start != 0]):
            members = start == value
            out[members] = gradient[members].mean() if self.cluster.gradient == "mean" else gradient[members].sum()
        return out

    def step(self, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
        q, v = self.quantize, self.values
        outputs = [self.by_sample(x, q.activations)]
        for name in ("d10", "d7"):
            z = outputs[-1] @ v[f"{name}/kernel"] + v[f"{name}/bias"]
            outputs.append(np.tanh(z))
            outputs.append(self.by_sample(outputs[-1], q.activations))
        logits = outputs[-1] @ v["logits/kernel"] + v["logits/bias"]
        if q.activations in FLOATS:
            logits = on_grid(logits, q.activations)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        loss = -(np.log(p[np.arange(len(y)), y]) * w).sum() / w.sum()
        flow = (p - np.eye(CLASSES, dtype=np.float32)[y]) * (w / w.sum())[:, None]
        gradients = {}
        for name, entering, smooth in (("logits", 4, None), ("d7", 2, 3), ("d10", 0, 1)):
            flow = self.by_sample(flow.astype(np.float32), q.gradients)
            if smooth is not None:
                flow = flow * (1 - outputs[smooth] ** 2)
            gradients[f"{name}/kernel"], gradients[f"{name}/bias"] = outputs[entering].T @ flow, flow.sum(0)
            flow = flow @ v[f"{name}/kernel"].T
        for path, gradient in gradients.items():
            gradient = gradient * self.masks[path] if path in self.masks else gradient
            gradient = on_grid(self.grouped(path, gradient), q.gradients)
            pull = MU * (v[path] - self.start[path])
            if self.cluster and self.cluster.gradient == "sum":
                pull = self.grouped(path, pull) if path.endswith("kernel") else pull
            moved = MOMENTUM * self.velocity[path] - RATE * (gradient + pull)
            self.velocity[path] = on_grid(moved, q.gradients)
            v[path] = self.held(path, v[path] - RATE * DECAY * v[path] + moved)
        return float(loss)


def data(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    return [
        (random.normal(size=(BATCH, INPUTS)).astype(np.float32), random.integers(0, CLASSES, BATCH).astype(np.int32))
        for _ in range(count)
    ]


def feed(x: np.ndarray, y: np.ndarray, w: np.ndarray, seed: Optional[int] = None) -> dict[str, Any]:
    fed = {"x": x, "y": y, "w": w, "learning_rate": np.float32(RATE), "mu": np.float32(MU)}
    return fed if seed is None else {**fed, "seed": np.int32(seed)}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Export each variant once, whatever the runtimes that play it."""
    made: dict[str, Bundle] = {}

    def export_once(name: str) -> Bundle:
        if name not in made:
            path = tmp_path_factory.mktemp("compressed") / "b"
            options: dict[str, Any] = {"optimizer": OPTIMIZER, "compression": VARIANTS[name], "measure": False}
            made[name] = export(perceptron(), path, batch_size=BATCH, **options)
        return made[name]

    return export_once


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, exported: Callable[[str], Bundle]) -> tuple[Compression, Bundle]:
    return VARIANTS[request.param], exported(request.param)


def test_steps_are_those_of_the_rule(variant: tuple[Compression, Bundle], play: Play) -> None:
    """One session for all of it: starting the older runtime takes most of the time."""
    compression, bundle = variant
    initial = {f"v{i:04d}": value for i, value in enumerate(bundle.initial().values())}
    moved = {key: value + np.float32(0.011) for key, value in initial.items()}
    calls: list[Any] = [("set", initial), ("get", {}), ("set", moved), ("get", {}), ("set", initial), ("get", {})]
    (x, y), few = data(1)[0], (np.arange(BATCH) < 3).astype(np.float32)
    for padding in (0.0, 7.0):
        filled = np.where(few[:, None] > 0, x, np.float32(padding))
        calls += [("train", feed(filled, y, few)), ("get", {}), ("set", initial)]
    reference = Reference(bundle, compression)
    losses = []
    for number, (x, y) in enumerate(data(STEPS)):
        w = np.ones(BATCH, np.float32)
        if number == 1:
            x, w = x * (np.arange(BATCH) < 5)[:, None].astype(np.float32), (np.arange(BATCH) < 5).astype(np.float32)
        calls.append(("train", feed(x, y, w)))
        losses.append(reference.step(x, y, w))
    results = play(bundle.read(MODEL), [*calls, ("get", {})])
    check_state(bundle, compression, initial, results)
    for key, value in results[7].items():
        np.testing.assert_array_equal(results[10][key], value, err_msg="what pads a batch changes nothing")
    check_training(bundle, compression, reference, losses, results)


def check_state(bundle: Bundle, compression: Compression, initial: dict[str, Any], results: list[Any]) -> None:
    for key, value in initial.items():
        np.testing.assert_array_equal(results[1][key], value)
        np.testing.assert_array_equal(results[5][key], value)
    assert any(not np.array_equal(results[3][key], value) for key, value in initial.items())
    reference = Reference(bundle, compression)
    for path, found in zip(bundle.manifest.state, results[3].values(), strict=True):
        value = bundle.initial()[path] + np.float32(0.011)
        value = value * reference.masks[path] if path in reference.masks else value
        np.testing.assert_allclose(found, reference.held(path, value), rtol=1e-6, atol=1e-7)


def check_training(
    bundle: Bundle, compression: Compression, reference: Reference, losses: list[float], results: list[Any]
) -> None:
    # Sums in another order differ in the last bit, and where that decides a rounding, by one step of the grid.
    coarse = {"float32": 1e-6, "float24": 2e-5, "float16": 1e-3, "bfloat16": 8e-3, "int8": 8e-3, "int4": 0.15}
    quantize = compression.quantize or Quantize()
    step = max(coarse[quantize.weights], coarse[quantize.activations], coarse[quantize.gradients])
    found_losses = [float(result["loss"]) for result in results[-1 - STEPS : -1]]
    np.testing.assert_allclose(found_losses, losses, rtol=max(step, 2e-6))
    for path, found in zip(bundle.manifest.state, results[-1].values(), strict=True):
        expected = reference.values[path]
        change = np.abs(expected - bundle.initial()[path]).max()
        assert change > 5 * step or quantize.weights in INTEGERS
        difference = np.abs(found - expected)
        assert difference.max() <= 3 * step * np.abs(expected).max(), path
        assert np.mean(difference > 2e-5 * np.abs(expected).max()) <= 0.15, path
        if path in reference.masks:
            assert reference.masks[path].mean() < 0.8
            np.testing.assert_array_equal(found[~reference.masks[path]], 0)


def test_the_manifest_tells_the_compression(variant: tuple[Compression, Bundle]) -> None:
    compression, bundle = variant
    told = Bundle.load(bundle.path).manifest.compression
    assert told == compression.to_manifest()
    assert told
    if compression.cluster:
        kernels = [v for p, v in bundle.initial().items() if p.endswith("kernel")]
        assert all(len(np.unique(k[k != 0])) <= compression.cluster.clusters for k in kernels)
    if compression.prune and compression.prune.scope == "layer":
        kernel = bundle.initial()["d10/kernel"]
        assert np.mean(kernel == 0) == pytest.approx(compression.prune.sparsity, abs=0.5 / kernel.size)


def test_stochastic_rounding_keeps_small_updates_on_average(play: Play, tmp_path_factory: Any) -> None:
    quantize = Quantize("int8", stochastic=True)
    path = tmp_path_factory.mktemp("stochastic") / "b"
    compression = Compression(quantize=quantize)
    bundle = export(perceptron(), path, batch_size=BATCH, compression=compression, measure=False)
    x, y = data(1)[0]
    fed = {**feed(x, y, np.ones(BATCH, np.float32)), "learning_rate": np.float32(1e-3)}
    del fed["mu"]
    inputs = {f"v{i:04d}": v for i, v in enumerate(bundle.initial().values())}
    calls: list[Any] = []
    for seed in range(200):
        calls += [("set", inputs), ("train", {**fed, "seed": np.int32(seed)}), ("get", {})]
    found = np.stack([r["v0000"] for r in play(bundle.read(MODEL), calls)[2::3]]).astype(np.float64)
    reference = Reference(bundle, Compression(quantize=quantize))
    gradient = _kernel_gradient(reference.values, x, y)
    nearest = on_grid(inputs["v0000"] - np.float32(1e-3) * gradient, "int8", per_channel=True)
    step = np.abs(inputs["v0000"]).max(0) / 127
    largest = np.abs(inputs["v0000"]) == np.abs(inputs["v0000"]).max(0)
    assert np.mean(np.abs(nearest - inputs["v0000"]) < 0.3 * step) > 0.8, (
        "the updates are meant to be too small for the format"
    )
    drift = (found.mean(0) - inputs["v0000"] + 1e-3 * gradient) / step
    # Of 200 draws between two steps of the grid, the mean is within 5 standard errors.
    assert np.abs(drift[~largest]).max() < 5 * 0.5 / np.sqrt(200)
    assert len({values.tobytes() for values in found}) > 10, "another seed rounds otherwise"


def _kernel_gradient(values: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    h1 = np.tanh(x @ values["d10/kernel"] + values["d10/bias"])
    h2 = np.tanh(h1 @ values["d7/kernel"] + values["d7/bias"])
    logits = h2 @ values["logits/kernel"] + values["logits/bias"]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    flow = (p - np.eye(CLASSES)[y]) / len(y)
    flow = (flow @ values["logits/kernel"].T) * (1 - h2**2)
    flow = (flow @ values["d7/kernel"].T) * (1 - h1**2)
    return np.asarray(x.T @ flow, np.float64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prune(1.0), "prune is 1.0; the share has to lie between 0 and 1"),
        (lambda: Prune(0.5, "model"), "scope is 'model'"),
        (lambda: Quantize("float8"), "no number format is called 'float8'; there are float32, float24, "),
        (lambda: Quantize("float64"), "float64 is beyond TensorFlow Lite"),
        (lambda: Quantize(stochastic=True), "stochastic rounding needs a format narrower"),
        (lambda: Cluster(1), "clusters is 1"),
        (lambda: Cluster(4, "median"), "gradient is 'median'"),
        (lambda: Compression(cluster=Cluster(4), quantize=Quantize("int4")), "clusters and int4 weights exclude"),
    ],
)
def test_wrong_options_are_named(make: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        make()


def test_adam_is_not_for_narrow_grids(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="trains with Sgd only"):
        export(None, tmp_path / "b", batch_size=4, optimizer=Adam(), compression=Compression(quantize=Quantize("int8")))
    assert not (tmp_path / "b").exists()
