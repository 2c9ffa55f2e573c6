from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_server.aggregate import Aggregator
from python_server.conftest import LAYERS
from python_server.errors import ExperimentError, UpdateError
from python_server.groups import GroupSettings
from python_server.strategies import OPTIONS, STRATEGIES, Contribution, Dac, DacOptions, Device, Plan, TrainSettings
from python_server.strategies.base import StrategyState
from python_server.toml_tables import read_table
from python_server.variants import Variant
from python_server.wire import Outbox

DEVICES = [Device(f"id{i}", f"name{i}", "gpu" if i % 2 else "cpu", 10) for i in range(4)]
CHOSEN = np.array([1, 2, 5, 7])
"""The whole model's channels that the half has."""
WEIGHTS = {
    f"{layer}/{name}": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for layer in LAYERS
    for name, shape in (("kernel", (8, 2)), ("m", (2,)))
}


@pytest.fixture
def found(variants: dict[str, Variant]) -> dict[str, Variant]:
    """Return the whole model, and a half of it with chosen channels."""
    half = variants["half"]
    where = {f"{layer}/kernel": np.ix_(CHOSEN, np.arange(2)) for layer in LAYERS}
    return {"": variants[""], "half": replace(half, submodel=replace(half.submodel, where=where))}


def settled(found: dict[str, Variant], *groups: dict[str, Any], **options: Any) -> Dac:
    groups = groups or ({"name": "weak", "processor": "cpu", "macs": 12_000.0},)
    tables = [read_table(GroupSettings, group, "groups", Path("/")) for group in groups]
    return Dac(DacOptions(**options), TrainSettings(epochs=5)).bind(found, tables)


def one_round(
    strategy: Dac, state: StrategyState, number: int, weights: dict[str, np.ndarray], add: Mapping[str, float]
) -> tuple[StrategyState, dict[str, np.ndarray], dict[str, Plan]]:
    """Do a round as the round loop does: devices add a number of their own to all that they hold."""
    plans = strategy.select(state, number, DEVICES, np.random.default_rng([7, number]))
    models = strategy.models(state, weights)
    outbox, used = Outbox(models), []
    with Aggregator(models) as aggregator:
        for device in DEVICES:
            if device.device not in add:
                continue
            plan = plans[device.device]
            sent = outbox.shipment(plan).arrays
            update, where = plan.submodel.scatter({name: value + add[device.device] for name, value in sent.items()})
            aggregator.add(update, device.examples, where, names=plan.submodel.global_names(sent))
            used.append(Contribution(device, 10, 10, 1, 1, plan.submodel))
        state, weights = strategy.finish(state, models, aggregator.result(), used)
    # What a resumed run has: values that went through JSON.
    return StrategyState(json.loads(json.dumps(state.values)), state.arrays), weights, plans


def test_each_architecture_is_a_global_model_of_its_own(found: dict[str, Variant]) -> None:
    strategy = settled(found)
    state = strategy.start(WEIGHTS)
    assert [part.name for part in strategy.architectures(state)] == [""]
    start = {name: value[CHOSEN] if name.endswith("kernel") else value for name, value in WEIGHTS.items()}
    add = {"id0": 1.0, "id1": 10.0, "id2": 3.0, "id3": 30.0}
    state, weights, plans = one_round(strategy, state, 1, WEIGHTS, add)
    assert {device.processor: plans[device.device].submodel.name for device in DEVICES} == {"cpu": "half", "gpu": ""}
    whole, half = strategy.architectures(state)
    models = strategy.models(state, weights)
    assert list(weights) == list(WEIGHTS)
    assert (whole.name, half.name, half.bundle) == ("", "half", "sha-half")
    for name in WEIGHTS:
        np.testing.assert_array_equal(weights[name], WEIGHTS[name] + 20)
        np.testing.assert_array_equal(whole.extract(models)[name], weights[name])
        np.testing.assert_array_equal(half.extract(models)[name], start[name] + 2)
    # Nobody of the half answers: it stays, and is what its devices are sent in the round after.
    state, weights, _ = one_round(strategy, state, 2, weights, {"id1": 1.0})
    state, weights, _ = one_round(strategy, state, 3, weights, {"id0": 1.0})
    models = strategy.models(state, weights)
    for name in WEIGHTS:
        np.testing.assert_array_equal(whole.extract(models)[name], WEIGHTS[name] + 21)
        np.testing.assert_array_equal(half.extract(models)[name], start[name] + 3)


def test_the_largest_architecture_that_was_trained_is_the_run_s(found: dict[str, Variant]) -> None:
    strategy = settled(found, {"name": "all", "variant": "half"})
    state, weights, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS, {"id0": 1.0})
    assert [part.name for part in strategy.architectures(state)] == ["half"]
    for name, value in weights.items():
        np.testing.assert_array_equal(value, WEIGHTS[name])


def test_across_architectures_meet_through_their_channels(found: dict[str, Variant]) -> None:
    strategy = settled(found, across=True)
    state, weights, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS, {"id0": 1.0, "id1": 4.0})
    assert state.arrays == {}
    for name, value in WEIGHTS.items():
        both = np.isin(np.arange(8), CHOSEN) if name.endswith("kernel") else np.ones(2, bool)
        np.testing.assert_array_equal(weights[name][both], value[both] + 2.5)
        np.testing.assert_array_equal(weights[name][~both], value[~both] + 4)
    assert [part.name for part in strategy.architectures(state)] == ["", "half"]


@pytest.mark.parametrize("across", [False, True])
def test_a_server_optimizer_moves_every_architecture(found: dict[str, Variant], *, across: bool) -> None:
    strategy = settled(found, across=across, server_optimizer="sgd", server_learning_rate=0.5)
    state, weights, _ = one_round(strategy, strategy.start(WEIGHTS), 1, WEIGHTS, {"id0": 2.0, "id1": 2.0})
    models = strategy.models(state, weights)
    for part in strategy.architectures(state):
        here, start = part.extract(models), found[part.name].submodel.extract(WEIGHTS)
        for name, value in here.items():
            moved = 2 if name.endswith("/m") else 1  # statistics take their mean
            np.testing.assert_array_equal(value, start[name] + moved)


def test_random_local_epochs(found: dict[str, Variant]) -> None:
    strategy = settled(found, least_epochs=3)
    state = strategy.start(WEIGHTS)
    drawn = [
        plan.epochs
        for number in range(60)
        for plan in strategy.select(state, number, DEVICES, np.random.default_rng(number)).values()
    ]
    assert {epochs: drawn.count(epochs) > 50 for epochs in set(drawn)} == {3: True, 4: True, 5: True}
    with pytest.raises(ExperimentError, match="least_epochs is 6, but some devices are given 5 epochs"):
        settled(found, least_epochs=6)


def test_an_update_of_another_architecture_is_refused(found: dict[str, Variant]) -> None:
    strategy = settled(found)
    models = strategy.models(strategy.start(WEIGHTS), WEIGHTS)
    half = strategy.select(strategy.start(WEIGHTS), 1, DEVICES, np.random.default_rng(0))["id0"].submodel
    with pytest.raises(UpdateError, match="'half:one/kernel', which is not part of its model"):
        half.scatter({"half:one/kernel": np.zeros((4, 2), np.float32)})
    update, where = half.scatter({"one/kernel": np.zeros((8, 2), np.float32)})
    with Aggregator(models) as aggregator, pytest.raises(UpdateError, match=r"'half:one/kernel' has shape \[8, 2\]"):
        aggregator.add(update, 1, where)


def test_it_is_a_strategy_like_any_other(found: dict[str, Variant]) -> None:
    assert STRATEGIES["dac"] is Dac
    assert OPTIONS["dac"] is DacOptions
    plain = Dac(DacOptions(), TrainSettings()).bind({}, ())
    state = plain.start(WEIGHTS)
    assert plain.models(state, WEIGHTS) == WEIGHTS
    assert [part.name for part in plain.architectures(state)] == [""]
    assert settled(found).remarks(DEVICES[1::2]) == ["group 'weak' has no device"]
