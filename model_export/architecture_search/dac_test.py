"""The search on a network of two inverted residuals and scikit-learn's digits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from model_export.architecture_search import (
    Budget,
    Found,
    SearchOptions,
    groups_of_equal_budget,
    path_of,
    reach,
    read_channels,
    search,
)
from model_export.architecture_search.channel_weights import bound, entropy
from model_export.architecture_search.search_network import fold, weighted, weights_before
from model_export.architecture_search.state import fingerprint, load
from model_export.compression.channels import channel_map
from model_export.errors import DoesNotFitError, ExportError, ModelFileError
from model_export.network import read_network
from model_export.size import Size, size_of
from model_export.width import cut, slice_channels, slice_width

L = keras.layers
ROOT = Path(__file__).resolve().parent.parent.parent
# The factors are a hundred times the paper's: some dozens of steps have to do.
FAST = SearchOptions(entropy_factor=10.0, bound_factor=1.0, epochs=2, batch_size=40, learning_rate=3e-3, rate=20.0)
BUDGETS = (Budget(macs=12_000), Budget(macs=5_000, parameters=1_000))


def network() -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.ReLU(6.0)(L.Conv2D(6, 3, 2, "same", name="stem")(inputs))
    for number in (1, 2):
        y = L.BatchNormalization(name=f"norm{number}a")(L.Conv2D(24, 1, use_bias=False, name=f"expand{number}")(x))
        y = L.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{number}")(L.ReLU(6.0)(y))
        y = L.ReLU(6.0)(L.BatchNormalization(name=f"norm{number}b")(y))
        x = L.Add()([x, L.Conv2D(6, 1, name=f"project{number}")(y)])
    x = L.Dense(10, activation="softmax", name="classes")(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x, name="two_blocks")


def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images[:1000].reshape(-1, 8, 8, 1) / 16).astype(np.float32), labels[:1000]


def values_of(model: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for node in read_network(model).nodes for path, v in node.variables.items()}


def same(one: list[Found], other: list[Found]) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a.budget, a.size, a.channels, a.passes) == (b.budget, b.size, b.channels, b.passes)
        for path, value in values_of(a.model).items():
            np.testing.assert_array_equal(value, values_of(b.model)[path])


@pytest.fixture
def one_order() -> Iterator[None]:
    """Have TensorFlow's threads sum in one order: the last bit of one pixel decides which channels fall in the end."""
    from tensorflow.python.framework import config  # a test below imports this file where TensorFlow is not there

    config.enable_op_determinism()
    yield
    config.disable_op_determinism()


def test_losses_are_the_paper_s() -> None:
    weights = np.array([0.2, -0.5, 1.5, 1.0], np.float32)
    shares = np.exp(weights) / np.exp(weights).sum()
    assert float(entropy(keras.ops.convert_to_tensor(weights))) == pytest.approx(-(shares * np.log(shares)).sum())
    assert float(entropy(keras.ops.ones(8))) == pytest.approx(np.log(8))
    assert float(entropy(keras.ops.ones(1))) == 0
    assert float(bound(keras.ops.convert_to_tensor(weights))) == pytest.approx(0.5 + 0.5)


def test_folded_weights_compute_the_same() -> None:
    model = network()
    read = read_network(model)
    searched = weighted(read, ["depthwise1"], entropy_factor=1.0, bound_factor=1.0, rate=5.0)
    weights = np.linspace(-0.1, 1.2, 24).astype(np.float32)
    weights_before(searched, "depthwise1").put(weights)
    np.testing.assert_allclose(weights_before(searched, "depthwise1").values, weights, rtol=1e-6)
    whole = cut(model, read, channel_map(read), frozenset())
    fold(whole, {"depthwise1": "depthwise1/kernel"}, {"depthwise1": weights})
    x, _ = digits()
    np.testing.assert_allclose(whole.model(x[:4]), searched(x[:4]), rtol=1e-5, atol=1e-6)
    assert np.abs(whole.model(x[:4]) - model(x[:4])).max() > 1e-4


@pytest.mark.usefixtures("one_order")
def test_every_budget_gets_its_architecture_and_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    model, (x, y) = network(), digits()
    before = values_of(model)
    found = search(model, x, y, BUDGETS, options=FAST)
    for path, value in values_of(model).items():
        np.testing.assert_array_equal(value, before[path])
    assert [one.budget for one in found] == list(BUDGETS)
    for one in found:
        assert one.budget.allows(one.size)
        assert size_of(read_network(one.model)) == one.size
        narrow = slice_channels(model, one.channels).model
        shapes = {path: value.shape for path, value in values_of(one.model).items()}
        assert {path: value.shape for path, value in values_of(narrow).items()} == shapes
    assert found[0].size.macs > 11_000
    assert set(found[0].channels) <= {"expand1", "expand2"}
    for name, kept in found[1].channels.items():
        assert set(kept) <= set(found[0].channels.get(name, range(24)))

    def interrupt(line: str) -> None:
        told.append(line)
        if len(told) == lines:
            raise KeyboardInterrupt

    for last in (1, 3):  # within a pass, and after one; how many passes there may be is free to change
        told: list[str] = []
        lines = last
        few = replace(FAST, most_passes=last)
        with pytest.raises(KeyboardInterrupt):
            search(model, x, y, BUDGETS, options=few, folder=tmp_path, progress=interrupt)
    same(search(model, x, y, BUDGETS, options=FAST, folder=tmp_path), found)
    assert read_channels(path_of(tmp_path, BUDGETS[1])) == found[1].channels
    told, lines = [], 1  # all is there: nothing is trained
    same(search(model, x, y, BUDGETS, options=FAST, folder=tmp_path, progress=interrupt), found)
    with pytest.raises(ExportError, match="other settings, another model, other weights or other data; choose"):
        search(model, x / 2, y, BUDGETS, options=FAST, folder=tmp_path)
    with pytest.raises(ExportError, match="no longer has the larger architecture that macs=9000 affords"):
        search(model, x, y, [*BUDGETS, Budget(macs=9_000)], options=FAST, folder=tmp_path)


def test_a_search_is_told_apart_by_all_that_its_result_depends_on() -> None:
    def small(dilation: int = 1, bias: float = 0.0, **settings: Any) -> Any:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 2))
        x = L.Conv2D(2, 3, padding="same", dilation_rate=dilation, bias_initializer=constant(bias), name="c")(inputs)
        x = L.ReLU(**settings)(x)  # unnamed: Keras numbers it anew
        return read_network(keras.Model(inputs, L.Dense(2, name="classes")(L.Flatten()(x))))

    constant = keras.initializers.Constant

    x, y = np.zeros((4, 8, 8, 2), np.float32), np.array([0, 1, 1, 0])
    first = fingerprint(FAST, small(), x, y)
    assert fingerprint(replace(FAST, most_passes=7), small(), x.copy(), y.astype(np.int8)) == first
    others = [
        fingerprint(replace(FAST, seed=1), small(), x, y),
        fingerprint(FAST, small(max_value=6.0), x, y),
        fingerprint(FAST, small(dilation=2), x, y),
        fingerprint(FAST, small(bias=1.0), x, y),
        fingerprint(FAST, small(), x + 1, y),
        fingerprint(FAST, small(), x, 1 - y),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_a_budget_that_the_model_meets_takes_no_training() -> None:
    x, y = digits()
    (found,) = search(network(), x, y, [Budget(parameters=10**6)], progress=pytest.fail)
    assert (found.channels, found.passes, found.size) == ({}, 0, reach(network()).whole)


def test_what_cannot_be_searched_is_refused() -> None:
    model, (x, y) = network(), digits()
    least = reach(model).least
    with pytest.raises(DoesNotFitError, match=f"stays below macs=50: the smallest .* has {least.macs:,} MACs"):
        search(model, x, y, [Budget(macs=50)])
    with pytest.raises(DoesNotFitError, match="after 1 passes no architecture stays below macs=12000"):
        search(model, x, y, BUDGETS, options=SearchOptions(epochs=1, most_passes=1, batch_size=1000))
    steep = SearchOptions(epochs=2, learning_rate=1e30, batch_size=10)
    with pytest.raises(ExportError, match="the loss is (nan|inf) in pass 1, epoch .; lower the learning rate"):
        search(model, x[:20], y[:20], BUDGETS, options=steep)
    plain = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    with pytest.raises(ExportError, match="no depthwise convolution whose channels could be removed"):
        reach(plain)
    for samples, labels, message in [
        (x[:, :4], y, r"the samples are \[1000, 4, 8, 1\]; the model takes \['n', 8, 8, 1\]"),
        (np.where(x > 0.5, np.nan, x), y, "the samples hold values that are infinite or not a number"),
        (x.astype(str), y, "the samples hold values that are infinite or not a number"),
        (x, y[:5], "one whole number for each sample"),
        (x, y + 1, "the labels are 1 to 10; the model has classes 0 to 9"),
    ]:
        with pytest.raises(ExportError, match=message):
            search(model, samples, labels, BUDGETS)


@pytest.mark.parametrize("text", ["", "macs", "macs=", "macs=2T", "macs=1,macs=2", "time=5", "macs=-1", "macs=0"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="budget"):
        Budget.parse(text)


def test_budgets_are_read_and_compared() -> None:
    budget = Budget.parse("macs=1.5M,feature_map=12k")
    assert budget == Budget(macs=1.5e6, feature_map=12_000)
    assert Budget.parse(str(budget)) == budget
    assert budget.allows(Size(1_499_999, 10**9, 11_999))
    assert not budget.allows(Size(1_500_000, 1, 1))
    other = Budget(macs=3.0)
    groups = groups_of_equal_budget({"a": budget, "b": other, "c": Budget.parse("feature_map=12000,macs=1500k")})
    assert groups == {budget: ("a", "c"), other: ("b",)}


@pytest.mark.parametrize("options", [{"threshold": 1.0}, {"epochs": 0}, {"rate": float("nan")}, {"bound_factor": -1.0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=f"{next(iter(options))} is .*; "):
        SearchOptions(**options)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_a_damaged_state_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "search.npz").write_bytes(content)
    with pytest.raises(ExportError, match=r"search\.npz is damaged: .*; remove it to begin anew"):
        load(tmp_path, "mark")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"channels": {"a": [0.5]}}', '{"channels": {"a": 1}}'])
def test_what_holds_no_channels_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "channels.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match="channels.json"):
        read_channels(path)


def test_networks_are_sliced_where_tensorflow_is_not_installed() -> None:
    pytest.importorskip("jax", reason="JAX is not installed: the search was not tried without TensorFlow")
    code = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Refuse())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "tensorflow" else real(name, *rest)
from model_export.architecture_search import reach
from model_export.architecture_search.dac_test import network
from model_export.width import slice_width
print(reach(slice_width(network(), 0.5).model).whole.macs)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == reach(slice_width(network(), 0.5).model).whole.macs
