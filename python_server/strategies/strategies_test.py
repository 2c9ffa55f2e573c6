from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.strategies import (
    Contribution,
    Device,
    FedAvg,
    FedAvgOptions,
    ProcessorCutoff,
    ProcessorCutoffOptions,
    StrategyState,
    TrainSettings,
)

DEVICES = [Device(f"id{i}", f"name{i}", "gpu" if i % 2 else "cpu", 10 * i) for i in range(10)]
TRAIN = TrainSettings(epochs=3, learning_rate={1: 0.1, 5: 0.01}, cut="head")


def chance(number: int = 1) -> np.random.Generator:
    return np.random.default_rng([7, number])


@given(st.floats(0.001, 1), st.integers(1, 1000))
def test_fedavg_selects_a_fraction_reproducibly(fraction: float, number: int) -> None:
    strategy = FedAvg(FedAvgOptions(fraction=fraction), TRAIN)
    plans = strategy.select(StrategyState(), number, DEVICES, chance(number))
    assert len(plans) == max(1, int(np.ceil(fraction * len(DEVICES))))
    assert plans == strategy.select(StrategyState(), number, DEVICES, chance(number))
    assert set(plans) <= {device.device for device in DEVICES}


def test_fedavg_chooses_others_in_other_rounds() -> None:
    strategy = FedAvg(FedAvgOptions(fraction=0.3), TRAIN)
    chosen = {frozenset(strategy.select(StrategyState(), n, DEVICES, chance(n))) for n in range(1, 21)}
    assert len(chosen) > 10


def test_the_plan_is_the_settings() -> None:
    strategy = FedAvg(FedAvgOptions(proximal_mu=0.5), TRAIN)
    plan = strategy.select(StrategyState(), 5, DEVICES, chance())["id0"]
    assert plan.to_config(number=5, run="r", seed=9) == {
        "epochs": 3,
        "learning-rate": 0.01,
        "cutoff-s": 0.0,
        "cut": "head",
        "proximal-mu": 0.5,
        "server-round": 5,
        "run": "r",
        "seed": 9,
        "reply-arrays": "trained",
    }


@pytest.mark.parametrize(("weight_by", "steps", "weight"), [("examples", 4, 10), ("work", 4, 25), ("work", 0, 0)])
def test_weights(weight_by: str, steps: int, weight: int) -> None:
    strategy = FedAvg(FedAvgOptions(weight_by=weight_by), TRAIN)
    assert strategy.weigh(Contribution(DEVICES[0], 10, 25, steps, 6)) == weight


def test_the_mean_is_taken_as_it_is() -> None:
    strategy = FedAvg(FedAvgOptions(), TRAIN)
    mean = {"w": np.ones(2)}
    state, weights = strategy.finish(strategy.start(mean), mean, mean, [])
    assert (state.values, state.arrays) == ({}, {})
    assert weights is mean


def test_each_processor_gets_its_cutoff() -> None:
    options = ProcessorCutoffOptions(cutoff_s={"cpu": 120.0}, default_cutoff_s=7.0)
    strategy = ProcessorCutoff(options, TRAIN)
    plans = strategy.select(StrategyState(), 1, DEVICES, chance())
    assert {device.processor: plans[device.device].cutoff_s for device in DEVICES} == {"cpu": 120.0, "gpu": 7.0}
