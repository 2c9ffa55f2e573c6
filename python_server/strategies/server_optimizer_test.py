"""Server optimizers against Flower's, on the same means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp import strategy as flower

from python_server.strategies import Contribution, Device, StrategyState
from python_server.strategies.server_optimizer import ServerOptimizer, ServerOptimizerOptions
from python_server.submodels import WHOLE, Submodel
from python_server.variants import Variant

ROUNDS = 4
SHAPES = {"a/kernel": (3, 4), "b/kernel": (5,)}


def means(seed: int = 3) -> list[dict[str, np.ndarray]]:
    """Return start weights and the mean of each round; updates are so large that v's start does not matter."""
    random = np.random.default_rng(seed)
    return [
        {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
        for _ in range(ROUNDS + 1)
    ]


def ours(options: ServerOptimizerOptions) -> list[dict[str, np.ndarray]]:
    weights, *rounds = means()
    state, found = StrategyState(), []
    for mean in rounds:
        state, weights = ServerOptimizer(options).step(state, weights, mean)
        found.append(weights)
    return found


def flowers(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """Let one of Flower's strategies do the same: its FedAvg is made to return our means."""
    start, *rounds = means()
    record = record_of(start)
    found = []
    for number, mean in enumerate(rounds):
        monkeypatch.setattr(
            flower.FedAvg, "aggregate_train", lambda *_, mean=mean: (record_of(mean), MetricRecord({"n": 1}))
        )
        strategy.current_arrays = (
            record if isinstance(strategy, flower.FedAvgM) else {k: array.numpy() for k, array in record.items()}
        )
        record, _ = strategy.aggregate_train(number, [])
        found.append({name: array.numpy() for name, array in record.items()})
    return found


def record_of(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def assert_same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    assert len(one) == len(other) == ROUNDS
    for mine, theirs in zip(one, other):
        for name in SHAPES:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_sgd_is_flowers_fedavgm(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.8)
    options = ServerOptimizerOptions("sgd", server_learning_rate=0.5, server_momentum=0.8)
    assert_same(ours(options), flowers(theirs, monkeypatch))


@pytest.mark.parametrize(("name", "kind"), [("adagrad", "FedAdagrad"), ("yogi", "FedYogi"), ("adam", "FedAdam")])
def test_adaptive_ones_are_flowers(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, beta1, beta2, tau = 0.3, 0.0 if name == "adagrad" else 0.9, 0.99, 1e-6
    betas = {} if name == "adagrad" else {"beta_1": beta1, "beta_2": beta2}
    theirs = getattr(flower, kind)(eta=rate, tau=tau, **betas)
    options = ServerOptimizerOptions(name, rate, beta1, beta2, tau)
    if name == "adam":  # Flower corrects Adam's bias, which the paper does not
        corrections = [np.sqrt(1 - beta2 ** (n + 1.0)) / (1 - beta1 ** (n + 1.0)) for n in range(ROUNDS)]
        rates = iter([rate / correction for correction in corrections])
        original = theirs.__class__.aggregate_train

        def uncorrected(number: int, replies: Any) -> Any:
            theirs.eta = next(rates)
            return original(theirs, number, replies)

        monkeypatch.setattr(theirs, "aggregate_train", uncorrected)
    assert_same(ours(options), flowers(theirs, monkeypatch))


def test_without_one_the_mean_is_taken_as_it_is() -> None:
    before, mean, *_ = means()
    state, weights = ServerOptimizer(ServerOptimizerOptions()).step(StrategyState(), before, mean)
    assert weights is mean
    assert state.arrays == {}


def test_sgd_at_rate_one_without_momentum_is_the_mean() -> None:
    for mine, mean in zip(ours(ServerOptimizerOptions("sgd", server_momentum=0.0)), means()[1:]):
        for name in SHAPES:
            np.testing.assert_allclose(mine[name], mean[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "yogi", "adagrad"])
def test_what_nobody_trained_stays_with_its_moments(name: str) -> None:
    before, first, second, *_ = means()
    optimizer = ServerOptimizer(ServerOptimizerOptions(name))
    state, weights = optimizer.step(StrategyState(), before, first)
    kept = weights["b/kernel"].copy()
    after, weights = optimizer.step(state, weights, {**second, "b/kernel": kept})
    np.testing.assert_array_equal(weights["b/kernel"], kept)
    np.testing.assert_array_equal(after.arrays["server-m/b/kernel"], state.arrays["server-m/b/kernel"])
    assert not np.array_equal(weights["a/kernel"], first["a/kernel"])


@pytest.mark.parametrize("name", ["sgd", "adam", "yogi", "adagrad"])
def test_coordinates_that_nobody_trained_stay_with_their_moments(name: str) -> None:
    """A slice and a pruned network meet; in the second round nobody is there for the rest."""
    before, first, second, *_ = means()
    part = Submodel("slice", where={"a/kernel": np.ix_([0, 2], [0, 1, 3])}, masks={"b/kernel": np.arange(5) > 1})
    mask = np.ones((3, 4), bool)
    mask[1:, 1:] = False
    pruned = Submodel("pruned", masks={"a/kernel": mask})
    device = Device("d", "d", "cpu", 1)
    whole, *two = (Contribution(device, 1, 1, 1, 1, each, tuple(SHAPES)) for each in (WHOLE, part, pruned))
    sliced = replace(two[0], variables=("a/kernel", "b/kernel"))
    few = [sliced, replace(two[1], variables=("a/kernel",))]
    optimizer = ServerOptimizer(ServerOptimizerOptions(name))
    state, weights = optimizer.step(StrategyState(), before, first, [whole, *few])
    assert all((weights[path] != before[path]).all() for path in SHAPES)
    reached = {"a/kernel": mask.copy(), "b/kernel": np.arange(5) > 1}
    reached["a/kernel"][np.ix_([0, 2], [0, 1, 3])] = True
    mean = {path: np.where(reached[path], second[path], weights[path]) for path in SHAPES}
    after, moved = optimizer.step(state, weights, mean, few)
    everywhere, _ = optimizer.step(state, weights, mean)
    for path, where in reached.items():
        assert 0 < where.sum() < where.size
        np.testing.assert_array_equal(moved[path] != weights[path], where)
        for key in (key for key in state.arrays if key.endswith(path)):
            np.testing.assert_array_equal(after.arrays[key][~where], state.arrays[key][~where])
            np.testing.assert_array_equal(after.arrays[key][where], everywhere.arrays[key][where])


def test_statistics_take_their_mean(variants: dict[str, Variant]) -> None:
    before = {"one/kernel": np.zeros((8, 2), np.float32), "one/m": np.zeros(2, np.float32)}
    mean = {name: value + 1 for name, value in before.items()}
    options = ServerOptimizerOptions("sgd", server_learning_rate=0.5)
    state, weights = ServerOptimizer(options, variants[""].trained).step(StrategyState(), before, mean)
    assert weights["one/m"].tolist() == [1, 1]
    assert np.unique(weights["one/kernel"]).tolist() == [0.5]
    assert list(state.arrays) == ["server-m/one/kernel"]
