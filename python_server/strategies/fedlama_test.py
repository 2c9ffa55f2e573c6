from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.aggregate import Aggregator
from python_server.errors import FleetError
from python_server.strategies import Contribution, Device, FedLama, FedLamaOptions, Plan, StrategyState, TrainSettings
from python_server.strategies.fedlama import intervals
from python_server.variants import Variant
from python_server.wire import Outbox

DEVICES = [Device(f"id{i}", f"name{i}", "cpu", 10, {"keeps-weights": True}) for i in range(4)]
WEIGHTS = {
    "big/kernel": np.zeros((10, 8), np.float32),
    "norm/gamma": np.ones(8, np.float32),
    "norm/moving_variance": np.ones(8, np.float32),
    "small/kernel": np.zeros((4, 1), np.float32),
}
SPREAD = {"big": 0.3, "norm": 0.5, "small": 1.0}
"""How far apart the devices' layers go in a round."""


def chance(number: int) -> np.random.Generator:
    return np.random.default_rng([7, number])


def a_strategy(phi: int = 2, fraction: float = 1.0) -> FedLama:
    return FedLama(FedLamaOptions(phi=phi, fraction=fraction), TrainSettings(steps=10))


def one_round(
    strategy: FedLama,
    state: StrategyState,
    number: int,
    weights: dict[str, np.ndarray],
    devices: Sequence[Device] = DEVICES,
    failing: Sequence[str] = (),
) -> tuple[StrategyState, dict[str, np.ndarray], Mapping[str, Plan]]:
    """Let each device add what is its own to every layer that it sends."""
    plans = strategy.select(state, number, devices, chance(number))
    aggregator, outbox, used = Aggregator(weights), Outbox(weights), []
    for place, device in enumerate(DEVICES):
        if device.device not in plans or device.device in failing:
            continue
        plan = plans[device.device]
        assert plan.reply is not None
        update = {
            path: (weights[path] + np.float32(SPREAD[path.split("/")[0]] * place)).astype(np.float32)
            for path in weights
            if path in plan.reply
        }
        aggregator.add(update, 10)
        used.append(Contribution(device, 10, 10, 10, 10, distances=outbox.distances(plan, update)))
    state, weights = strategy.finish(state, weights, aggregator.result(), used)
    return StrategyState(json.loads(json.dumps(state.values)), state.arrays), weights, plans


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_server_optimizer_moves_only_what_was_aggregated(optimizer: str) -> None:
    options = FedLamaOptions(phi=2, server_optimizer=optimizer, server_momentum=0.5, server_learning_rate=0.1)
    strategy, weights = FedLama(options, TrainSettings(steps=10)), WEIGHTS
    state = strategy.start(weights)
    for number in range(1, 5):
        before, moments = weights, state.arrays
        state, weights, _ = one_round(strategy, state, number, weights)
        big = "big/kernel"
        if number == 3:  # the first round after the intervals were set, in which the quiet layer rests
            assert state.values["intervals"] == {"big": 2, "norm": 1, "small": 1}
            np.testing.assert_array_equal(weights[big], before[big])
            for key in (f"server-m/{big}", f"server-v/{big}"):
                assert key not in moments or moments[key] is state.arrays[key], "its moments rest too"
        else:
            assert not np.array_equal(weights[big], before[big])
        assert not np.array_equal(weights["small/kernel"], before["small/kernel"])


def test_quiet_layers_travel_every_phi_rounds_and_loud_ones_every_round() -> None:
    strategy, weights = a_strategy(phi=3), WEIGHTS
    state = strategy.start(weights)
    every, loud = frozenset(WEIGHTS), frozenset({"small/kernel", "norm/gamma", "norm/moving_variance"})
    asked, sent, starts, keeps = [], [], [], []
    for number in range(1, 8):
        state, weights, plans = one_round(strategy, state, number, weights)
        plan = plans["id0"]
        asked.append(plan.reply)
        sent.append(plan.send)
        starts.append(plan.start_round)
        keeps.append(plan.keep_weights)
    assert state.values["intervals"] == {"big": 3, "norm": 1, "small": 1}
    assert asked == [every, every, every, loud, loud, every, loud]
    # At the beginning of three rounds all that was aggregated is sent, later what was aggregated just before.
    assert sent == [None, every, every, None, loud, loud, None]
    assert starts == [None, 1, 2, None, 4, 5, None]
    assert keeps == [True, True, False, True, True, False, True]


def test_the_discrepancy_is_the_paper_s() -> None:
    strategy = a_strategy()
    state = strategy.start(WEIGHTS)
    state, _, _ = one_round(strategy, state, 1, WEIGHTS)
    found = state.values["discrepancies"]
    for layer, spread in SPREAD.items():  # the same in each parameter, so dim(u_l) cancels
        offset = 1 if layer == "norm" else 0
        values = [np.float32(offset) + np.float32(spread * place) for place in range(4)]
        assert found[layer] == pytest.approx(np.var(values, dtype=np.float64), rel=1e-4)


def test_moving_statistics_travel_with_their_layer_and_do_not_count(variants: Mapping[str, Variant]) -> None:
    strategy = a_strategy(phi=3).bind({"": variants[""]}, ())
    weights = {path: np.zeros(shape, np.float32) for path, shape in (("one/kernel", (8, 2)), ("one/m", (2,)))}
    state = strategy.start({**weights, "two/m": np.zeros(2, np.float32)})
    assert state.values["sizes"] == {"one": 16, "two": 0}
    plan = strategy.select(state, 1, DEVICES, chance(1))["id0"]
    assert plan.reply == frozenset({"one/kernel", "one/m", "two/m"})
    used = [Contribution(DEVICES[0], 10, 10, 10, 10, distances={"one/kernel": 2.0, "one/m": 1000.0, "two/m": 5.0})]
    before = {**weights, "two/m": np.zeros(2, np.float32)}
    state, _ = strategy.finish(state, before, dict(before), used)
    assert state.values["discrepancies"] == {"one": 2.0 / 16, "two": 0.0}


def test_a_layer_without_parameters_is_due_in_every_round() -> None:
    assert intervals({"a": 0.0, "b": 1.0, "c": 2.0}, {"a": 0, "b": 50, "c": 50}, 2) == {"a": 1, "b": 2, "c": 1}


def test_a_layer_s_discrepancy_is_per_local_step() -> None:
    strategy = a_strategy()
    state = strategy.start(WEIGHTS)
    weights: dict[str, np.ndarray] = WEIGHTS
    for number in range(1, 5):
        state, weights, _ = one_round(strategy, state, number, weights)
        if number == 1:
            first = state.values["discrepancies"]["big"]
    assert state.values["intervals"]["big"] == 2
    # Not aggregated in round 3, as apart in round 4 as in round 1, in twice the steps.
    assert state.values["discrepancies"]["big"] == pytest.approx(first / 2, rel=1e-3)


def test_who_failed_is_sent_everything_and_does_not_start_from_its_own() -> None:
    strategy = a_strategy(phi=4)
    state, weights, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS)
    state, weights, _ = one_round(strategy, state, 2, weights, failing=["id2"])
    plans = strategy.select(state, 3, DEVICES, chance(3))
    assert set(plans) == {device.device for device in DEVICES}
    assert (plans["id2"].start_round, plans["id2"].send) == (None, None)
    assert plans["id1"].start_round == 2


def test_the_devices_are_chosen_for_phi_rounds() -> None:
    strategy, weights = a_strategy(phi=5, fraction=0.5), WEIGHTS
    state = strategy.start(weights)
    chosen = []
    for number in range(1, 21):
        state, weights, plans = one_round(strategy, state, number, weights)
        chosen.append(frozenset(plans))
    for start in range(0, 20, 5):
        assert len(set(chosen[start : start + 5])) == 1
    assert len(set(chosen)) > 1
    assert all(len(devices) == 2 for devices in chosen)


def test_others_take_over_when_all_chosen_devices_are_gone() -> None:
    strategy = a_strategy(phi=3)
    state, _, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS, DEVICES[:2])
    plans = strategy.select(state, 2, DEVICES[2:], chance(2))
    assert set(plans) == {"id2", "id3"}
    assert all(plan.start_round is None and plan.send is None for plan in plans.values())


def test_a_round_without_answers_changes_nothing_and_the_next_sends_everything() -> None:
    strategy = a_strategy(phi=3)
    state, weights, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS)
    measured = state.values["discrepancies"]
    state, same, _ = one_round(strategy, state, 2, weights, failing=[device.device for device in DEVICES])
    assert all(same[path].tobytes() == weights[path].tobytes() for path in weights)
    assert state.values["discrepancies"] == measured
    assert all(plan.send is None for plan in strategy.select(state, 3, DEVICES, chance(3)).values())


def test_devices_that_keep_nothing_are_left_out_by_name() -> None:
    old = [Device("old", "grandpa", "cpu", 10), Device("stock", "supernode", "cpu", 10, {"keeps-weights": False})]
    strategy = a_strategy()
    assert set(strategy.select(strategy.start(WEIGHTS), 1, [*old, *DEVICES], chance(1))) == {f"id{i}" for i in range(4)}
    with pytest.raises(FleetError, match="grandpa, supernode"):
        strategy.select(strategy.start(WEIGHTS), 1, old, chance(1))


def test_intervals_at_the_cross_point() -> None:
    sizes = {"a": 50, "b": 30, "c": 10, "d": 10}
    # Sorted: c (δ 0, 1−λ 0.9), a (0.25, 0.4), b (0.55, 0.1: here the curves have crossed), d.
    assert intervals({"a": 1, "b": 2, "c": 0, "d": 9}, sizes, 4) == {"a": 4, "b": 4, "c": 4, "d": 1}
    # Here they have at a already (0.71, 0.4).
    assert intervals({"a": 4, "b": 0.9, "c": 0, "d": 0.8}, sizes, 4) == {"a": 1, "b": 4, "c": 4, "d": 4}


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.floats(0, 1e6), st.integers(1, 10**6)), min_size=1))
def test_relaxed_layers_are_the_quietest_and_all_but_the_last_less_than_their_share(
    layers: dict[str, tuple[float, int]],
) -> None:
    discrepancies = {layer: value for layer, (value, _) in layers.items()}
    sizes = {layer: size for layer, (_, size) in layers.items()}
    chosen = intervals(discrepancies, sizes, 2)
    rare = [layer for layer, interval in chosen.items() if interval == 2]
    often = [layer for layer, interval in chosen.items() if interval == 1]
    assert often  # some layer is due in every round
    if rare:
        assert max(discrepancies[layer] for layer in rare) <= min(discrepancies[layer] for layer in often)
        total = sum(discrepancies[layer] * sizes[layer] for layer in sizes)
        before = sorted(rare, key=lambda layer: discrepancies[layer])[:-1]
        cost = sum(discrepancies[layer] * sizes[layer] for layer in before) / total
        assert cost < 1 - sum(sizes[layer] for layer in before) / sum(sizes.values())
