"""Steps that follow each other, parts of a network, and the optimizer's terms, against Keras or a closed form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from model_export import Adam, Sgd, export
from model_export.bundle import BASE, MODEL, Bundle
from model_export.conftest import Judge, Once, Play, Values, build_in, keras_steps, weights_by_path
from model_export.network import read_network
from model_export.options import Optimizer
from model_export.reference import Reference, keras_optimizer
from model_export.signatures import signature_of_cut

L = keras.layers
BATCH = 8
RATE = 0.05


def small() -> Any:
    """Convolutions with batch norm around a skip connection; smooth, so that no ReLU flips by rounding."""
    inputs = keras.Input((8, 8, 2))
    x = L.BatchNormalization(name="norm1", momentum=0.9)(L.Conv2D(6, 3, padding="same", name="conv1")(inputs))
    skip = x = L.Activation("tanh", name="act1")(x)
    x = L.BatchNormalization(name="norm 2:b", momentum=0.9)(L.Conv2D(6, 3, padding="same", name="conv2")(x))
    x = L.Add(name="add")([L.Activation("tanh", name="act2")(x), skip])
    x = L.BatchNormalization(name="norm3", momentum=0.9)(L.Conv2D(8, 3, strides=2, name="conv3")(x))
    x = L.GlobalAveragePooling2D(name="pool")(L.Activation("tanh", name="act3")(x))
    return keras.Model(inputs, L.Dense(4, name="logits")(L.Dense(8, activation="tanh", name="hidden")(x)))


def batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches that can be learned: the class is the quadrant that is brighter."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        y = random.integers(0, 4, BATCH).astype(np.int32)
        x = random.normal(size=(BATCH, 8, 8, 2)).astype(np.float32)
        for i, label in enumerate(y):
            row, column = divmod(int(label), 2)
            x[i, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
        made.append((x, y))
    return made


def feed(x: np.ndarray, y: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "w": np.ones(BATCH, np.float32), "learning_rate": np.float32(RATE), **more}


def values_of(bundle: Bundle, got: dict[str, Any]) -> dict[str, np.ndarray]:
    return dict(zip(bundle.manifest.state, got.values(), strict=True))


OPTIMIZERS: dict[str, Optimizer] = {
    "momentum": Sgd(momentum=0.9),
    "nesterov": Sgd(momentum=0.8, nesterov=True),
    "weight decay": Sgd(weight_decay=0.02),
    "clipped": Sgd(momentum=0.5, clip_norm=0.05),
    "clipped, but not reached": Sgd(clip_norm=1e6),
    "adam": Adam(),
    "adam with all": Adam(beta_1=0.8, beta_2=0.99, epsilon=1e-3, weight_decay=0.02, clip_norm=0.2),
    "amsgrad": Adam(beta_2=0.5, amsgrad=True),
    "all": Sgd(momentum=0.9, nesterov=True, weight_decay=0.01, clip_norm=0.2),
}


def dense() -> Any:
    return keras.Sequential([keras.Input((6,)), L.Dense(5, activation="tanh"), L.Dense(4)])


@pytest.fixture(scope="session", params=OPTIMIZERS)
def optimized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Optimizer, Bundle]:
    optimizer = OPTIMIZERS[request.param]
    path = tmp_path_factory.mktemp("optimizers") / "b"
    return optimizer, export(build_in("float32", dense), path, batch_size=BATCH, optimizer=optimizer, measure=False)


def test_optimizer_is_keras_s_over_several_steps(optimized: tuple[Optimizer, Bundle], play: Play, once: Once) -> None:
    optimizer, bundle = optimized
    random = np.random.default_rng(0)
    data = [(random.normal(size=(BATCH, 6)).astype(np.float32), np.arange(BATCH, dtype=np.int32) % 4) for _ in range(5)]
    results = play(bundle.read(MODEL), [*(("train", feed(x, y)) for x, y in data), ("get", {})])
    before = bundle.initial()
    exact, rounded = once(
        optimizer,
        lambda: [keras_steps(dense, t, before, data, keras_optimizer(optimizer, RATE)) for t in ("float64", "float32")],
    )
    Judge(before, exact, rounded).accept(Values(float(results[-2]["loss"]), values_of(bundle, results[-1])))


@pytest.fixture(scope="session")
def proximal(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("proximal") / "b"
    return export(
        build_in("float32", dense), path, batch_size=BATCH, optimizer=Sgd(momentum=0.5, proximal=True), measure=False
    )


def test_proximal_term_pulls_to_what_set_was_given(proximal: Bundle, play: Play) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(BATCH, 6)).astype(np.float32), np.arange(BATCH, dtype=np.int32) % 4
    anchors = {f"v{i:04d}": value + np.float32(0.1) for i, value in enumerate(proximal.initial().values())}
    fed, mu = feed(x, y), 0.7
    calls: list[Any] = [("set", anchors)]
    for _ in range(4):
        calls += [("train", {**fed, "mu": np.float32(mu)}), ("get", {})]
    results = play(proximal.read(MODEL), calls)
    # The loss's gradient at each of the values passed through comes from Keras; the rest is arithmetic.
    anchor = dict(zip(proximal.manifest.state, anchors.values(), strict=True))
    value: dict[str, Any] = dict(anchor)
    velocity = {path: np.zeros_like(v, np.float64) for path, v in anchor.items()}
    for got in results[2::2]:
        unit = keras_steps(dense, "float64", value, [(x, y)], keras.optimizers.SGD(1.0))
        for path in value:
            gradient = value[path] - unit.variables[path] + mu * (value[path].astype(np.float64) - anchor[path])
            velocity[path] = 0.5 * velocity[path] - RATE * gradient
            value[path] = value[path] + velocity[path]
        for path, found in values_of(proximal, got).items():
            np.testing.assert_allclose(found, value[path], rtol=2e-6, atol=2e-6)


def test_set_brings_momentum_to_rest(proximal: Bundle, play: Play) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(BATCH, 6)).astype(np.float32), np.arange(BATCH, dtype=np.int32) % 4
    step = ("train", feed(x, y, mu=np.float32(0.1)))
    initial = {f"v{i:04d}": value for i, value in enumerate(proximal.initial().values())}
    results = play(proximal.read(MODEL), [step, ("get", {}), step, step, ("set", initial), step, ("get", {})])
    for name, value in results[1].items():
        np.testing.assert_array_equal(results[-1][name], value)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("whole") / "b"
    model = build_in("float32", small)
    return export(
        model, path, batch_size=BATCH, cuts=("norm 2:b", "conv3", "logits"), optimizer=Sgd(momentum=0.9), measure=False
    )


def test_fifty_steps_stay_with_keras(whole: Bundle, play: Play, once: Once) -> None:
    data = batches(50)
    results = play(whole.read(MODEL), [*(("train", feed(x, y)) for x, y in data), ("get", {})])
    before = whole.initial()
    exact, rounded = once(
        "fifty",
        lambda: [
            keras_steps(small, dtype, before, data, keras.optimizers.SGD(RATE, momentum=0.9))
            for dtype in ("float64", "float32")
        ],
    )
    losses = [float(result["loss"]) for result in results[:-1]]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2
    # Rounding grows from step to step, in Keras as well, by luck more in one than in the other.
    assert losses[-1] == pytest.approx(exact.loss, rel=1e-3)
    for path, found in values_of(whole, results[-1]).items():
        error = np.linalg.norm(found - exact.variables[path])
        rounding = np.linalg.norm(rounded.variables[path] - exact.variables[path])
        assert error <= 10 * rounding + 1e-4 * np.linalg.norm(exact.variables[path] - before[path]), path


@pytest.mark.parametrize("cut", ["norm 2:b", "conv3", "logits"])
def test_cut_trains_what_lies_behind_it_and_nothing_else(whole: Bundle, play: Play, cut: str) -> None:
    signature = signature_of_cut(cut)
    (x, y) = batches(1)[0]
    step, got = play(whole.read(MODEL), [(signature, feed(x, y)), ("get", {})])
    found = values_of(whole, got)
    before = whole.initial()
    changed = {path for path in before if not np.array_equal(before[path], found[path])}
    updates = whole.manifest.signatures[signature].updates
    # The bias before a batch norm has no gradient, only its rounding.
    assert changed - {"conv3/bias"} == set(updates) - {"conv3/bias"}
    names = [layer.name for layer in whole.manifest.layers]
    behind = set(names[names.index(cut) :])
    assert set(updates) == {path for path in before if path.rpartition("/")[0] in behind}
    network = read_network(build_in("float32", small))
    expected = []
    for dtype in ("float64", "float32"):
        for path, variable in ((p, v) for node in network.nodes for p, v in node.variables.items()):
            variable.assign(before[path])
        reference = Reference(network, dtype)
        loss = reference.step(x, y, RATE, Sgd(momentum=0.9), first=network.index(cut))
        expected.append(Values(loss, reference.values))
    Judge(before, *expected).accept(Values(float(step["loss"]), found))


def test_signatures_share_variables_and_momentum(whole: Bundle, play: Play) -> None:
    (x, y) = batches(1)[0]
    results = play(
        whole.read(MODEL), [("train", feed(x, y)), ("train_from_conv3", feed(x, y)), ("get", {}), ("infer", {"x": x})]
    )
    assert float(results[1]["loss"]) != float(results[0]["loss"])
    model = build_in("float32", small)
    for path, variable in weights_by_path(model).items():
        variable.assign(values_of(whole, results[2])[path])
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(x, training=False)))
    np.testing.assert_allclose(results[3]["probabilities"], expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("head") / "b"
    return export(build_in("float32", small), path, batch_size=BATCH, trainable="head", measure=False)


def test_head_carries_and_trains_the_dense_layers_only(head: Bundle) -> None:
    assert head.manifest.state == ("hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias")
    assert set(head.manifest.signatures) == {
        "features",
        "train_head",
        "evaluate",
        "infer",
        "get",
        "set",
    }
    base = [layer for layer in head.manifest.layers if layer.name not in ("hidden", "logits")]
    assert not any(layer.trained or layer.variables for layer in base)
    assert sum(layer.parameters for layer in base) > 0


def test_features_and_head_are_the_whole_path(head: Bundle, play: Play) -> None:
    (x, y) = batches(1)[0]
    w = np.ones(BATCH, np.float32)
    (features,) = (result["features"] for result in play(head.read(BASE), [("features", {"x": x})]))
    fed = {"features": features, "y": y, "w": w}
    train = ("train_head", {**fed, "learning_rate": np.float32(RATE)})
    inferred, scored, step, got = play(
        head.read(MODEL), [("infer", {"features": features}), ("evaluate", fed), train, ("get", {})]
    )
    expected_probabilities = keras.ops.softmax(build_in("float32", small)(x, training=False))
    np.testing.assert_allclose(inferred["probabilities"], expected_probabilities, rtol=1e-5, atol=1e-6)
    assert scored["loss"] == pytest.approx(-np.log(inferred["probabilities"][np.arange(BATCH), y]).sum(), rel=1e-5)
    network = read_network(build_in("float32", small))
    before = {path: variable.numpy() for node in network.nodes for path, variable in node.variables.items()}
    expected = []
    for dtype in ("float64", "float32"):
        reference = Reference(network, dtype)
        loss = reference.step(x, y, RATE, Sgd(), first=network.index("hidden"))
        expected.append(Values(loss, {path: reference.values[path] for path in head.manifest.state}))
    Judge(before, *expected).accept(Values(float(step["loss"]), values_of(head, got)))


@pytest.fixture(scope="session")
def suffix(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("suffix") / "b"
    return export(
        build_in("float32", small), path, batch_size=BATCH, trainable="conv3", cuts=("hidden",), measure=False
    )


def test_cut_behind_a_base_trains_from_features(suffix: Bundle, play: Play) -> None:
    (x, y) = batches(1)[0]
    (features,) = (result["features"] for result in play(suffix.read(BASE), [("features", {"x": x})]))
    fed = {key: value for key, value in feed(x, y).items() if key != "x"}
    calls: list[Any] = [("train_from_hidden", {"features": features, **fed}), ("get", {})]
    step, got = play(suffix.read(MODEL), calls)
    network = read_network(build_in("float32", small))
    before = {path: variable.numpy() for node in network.nodes for path, variable in node.variables.items()}
    expected = []
    for dtype in ("float64", "float32"):
        reference = Reference(network, dtype)
        loss = reference.step(x, y, RATE, Sgd(), first=network.index("hidden"))
        expected.append(Values(loss, {path: reference.values[path] for path in suffix.manifest.state}))
    Judge(before, *expected).accept(Values(float(step["loss"]), values_of(suffix, got)))
    assert set(suffix.manifest.signatures) == {
        "features", "train_head", "train_from_hidden", "evaluate", "infer", "get", "set"
    }  # fmt: skip
    assert suffix.manifest.state[0] == "conv3/kernel"


def dropping() -> Any:
    inputs = keras.Input((6,))
    x = L.Dropout(0.3, name="drop1")(L.Dense(16, activation="tanh", name="dense1")(inputs))
    x = L.Dropout(0.5, name="drop2")(L.Dense(16, activation="tanh", name="dense2")(x))
    return keras.Model(inputs, L.Dense(4, name="logits")(x))


@pytest.fixture(scope="session")
def dropout(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("dropout") / "b"
    return export(build_in("float32", dropping), path, batch_size=BATCH, cuts=("logits",), measure=False)


def test_dropout_drops_by_the_seed_alone(dropout: Bundle, play: Play) -> None:
    x = np.random.default_rng(0).normal(size=(BATCH, 6)).astype(np.float32)
    y = np.arange(BATCH, dtype=np.int32) % 4
    initial = {f"v{i:04d}": value for i, value in enumerate(dropout.initial().values())}
    calls: list[Any] = []
    for seed in (5, 6, 5):
        calls += [("set", initial), ("train", feed(x, y, seed=np.int32(seed))), ("get", {})]
    results = play(dropout.read(MODEL), calls)
    (_, first, one), (_, second, _), (_, third, same) = (results[i : i + 3] for i in (0, 3, 6))
    assert first["loss"] == third["loss"] != second["loss"]
    assert all(np.array_equal(one[name], same[name]) for name in one)

    network = read_network(build_in("float32", dropping))
    for path, variable in ((p, v) for node in network.nodes for p, v in node.variables.items()):
        variable.assign(dropout.initial()[path])
    expected = []
    for dtype in ("float64", "float32"):
        reference = Reference(network, dtype)
        expected.append(Values(reference.step(x, y, RATE, Sgd(), first=0, seed=5), reference.values))
    Judge(dropout.initial(), *expected).accept(Values(float(first["loss"]), values_of(dropout, one)))


def test_cut_behind_the_dropout_takes_no_seed(dropout: Bundle) -> None:
    assert "seed" in dropout.manifest.signatures["train"].inputs
    assert "seed" not in dropout.manifest.signatures["train_from_logits"].inputs
