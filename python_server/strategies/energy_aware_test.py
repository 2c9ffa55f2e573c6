from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.errors import ExperimentError
from python_server.planner.calibrations import Calibrations
from python_server.planner.calibrations_test import entry, power
from python_server.run_rows import DeviceRoundRow
from python_server.strategies import Device, EnergyAware, EnergyAwareOptions, Plan, StrategyState, TrainSettings
from python_server.strategies.energy_aware import Offer, allocate
from python_server.variants import Variant

DEVICES = [Device(f"id{i}", f"name{i}", "cpu", 100) for i in range(3)]


def bound(variants: Mapping[str, Variant], *, epochs: int = 3, **options: Any) -> EnergyAware:
    variants = {"": variants[""]}
    return EnergyAware(EnergyAwareOptions(**options), TrainSettings(epochs=epochs)).bind(variants, ())


def row(device: str, *, epochs: int = 1, joules: float = 0.0, train_s: float = 1.0, **more: Any) -> DeviceRoundRow:
    planned = 10 * epochs
    values: dict[str, Any] = {
        "plan": {"epochs": epochs},
        "steps": planned,
        "planned_steps": planned,
        "train_s": train_s,
        "sent_after_s": 0.0,
        "read_after_s": train_s + 0.5,
        "energy_j": joules,
        "energy_idle_j": joules / 4,
    }
    return DeviceRoundRow(1, device, device, more.pop("outcome", "ok"), **{**values, **more})


def selected(strategy: EnergyAware, state: StrategyState, number: int = 2) -> dict[str, Plan]:
    return strategy.select(state, number, DEVICES, np.random.default_rng(0))


def learnt(strategy: EnergyAware, *rows: DeviceRoundRow) -> StrategyState:
    return strategy.observe(StrategyState(), 1, rows)


def worth(offers: Mapping[str, Offer], epochs: Mapping[str, int], diminishing: float) -> float:
    return float(
        sum(offers[device].value / e**diminishing for device, count in epochs.items() for e in range(1, count + 1))
    )


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0.5, 20), st.integers(1, 3)), min_size=1, max_size=4),
    st.floats(1, 60),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_budget_is_kept_and_the_best_is_an_epoch_away(
    kinds: list[tuple[int, float, int]], joules: float, diminishing: float
) -> None:
    offers = {str(i): Offer(value, price, most, "") for i, (value, price, most) in enumerate(kinds)}
    bought = allocate(offers, joules, diminishing)
    spent = sum((offers[device].epoch_j or 0.0) * count for device, count in bought.items())
    assert spent <= joules * (1 + 1e-6)
    assert all(1 <= count <= offers[device].most_epochs for device, count in bought.items())
    best = 0.0
    for counts in itertools.product(*(range(offer.most_epochs + 1) for offer in offers.values())):
        cost = sum(count * (offer.epoch_j or 0) for count, offer in zip(counts, offers.values()))
        if cost <= joules:
            best = max(best, worth(offers, dict(zip(offers, counts)), diminishing))
    assert worth(offers, bought, diminishing) >= best - max(offer.value for offer in offers.values()) - 1e-9


def test_epochs_are_bought_by_value_for_joules() -> None:
    offers = {"frugal": Offer(100, 1, 3, ""), "greedy": Offer(100, 10, 3, ""), "rich": Offer(900, 10, 3, "")}
    assert allocate(offers, 0) == {"frugal": 3, "greedy": 3, "rich": 3}
    assert allocate(offers, 13) == {"frugal": 3, "rich": 1}
    assert allocate(offers, 22, 1.0) == {"frugal": 2, "rich": 2}, "100, 50 and 33 for a joule; 90, 45 and 30"
    assert allocate({"new": Offer(10, None, 1, "")}, 1) == {"new": 1}, "it costs what the others do: nothing is known"
    assert allocate({"none": Offer(10, 1, 0, "")}, 5) == {}


def test_what_rounds_took_decides_and_is_told(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, joules=45, deadline_s=100, diminishing=1.0)
    first = selected(strategy, StrategyState(), 1)
    assert {plan.epochs for plan in first.values()} == {1}
    assert first["id0"].reason.endswith("1 of 3 epochs: nothing is known of it yet, so it is tried")
    state = learnt(strategy, row("id0", joules=10), row("id1", joules=10), row("id2", joules=50))
    plans = selected(strategy, state)
    assert {device: plan.epochs for device, plan in plans.items()} == {"id0": 2, "id1": 2}
    assert "2 of 3 epochs: an epoch takes 1 s and 10 J, as in the rounds before" in plans["id0"].reason
    over = strategy.passed_over(state, 2, DEVICES, plans)
    assert over == {
        "id2": "the round's 45 J went to others, who do more for a joule; an epoch takes 1 s and 50 J, as in the "
        "rounds before"
    }
    later = strategy.observe(state, 2, [])
    assert later.values["costs"]["id2"]["epoch_j"] == 50, "joules are not forgotten, as a budget is not to be tried"
    assert later.values["costs"]["id2"]["epoch_s"] == pytest.approx(0.9)


def test_who_was_passed_over_comes_when_it_has_waited(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, joules=20, epochs=2)
    state = learnt(strategy, row("id0", joules=10), row("id1", joules=10), row("id2", joules=20))
    asked = []
    for number in range(2, 8):
        plans = selected(strategy, state, number)
        asked.append(set(plans))
        rows = [row(device, epochs=plan.epochs, joules=plan.epochs * 10) for device, plan in plans.items()]
        state = strategy.observe(state, number, rows)
    assert "id2" not in asked[0]
    assert any("id2" in each for each in asked)


def test_deadline_own_joules_and_battery_limit_each_device(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, deadline_s=5, device_joules=25)
    state = learnt(strategy, row("id0", joules=10, train_s=2), row("id1", joules=1, train_s=9), row("id2", joules=40))
    plans = selected(strategy, state)
    assert {device: plan.epochs for device, plan in plans.items()} == {"id0": 2}
    over = strategy.passed_over(state, 2, DEVICES, plans)
    assert over["id1"].startswith("not one epoch keeps within 5 s: an epoch takes 9 s")
    assert over["id2"].startswith("not one epoch keeps within its 25 J: an epoch takes 1 s and 40 J")
    phone = Device("id9", "phone", "cpu", 100, {"battery-wh": 10.0})
    strategy = bound(variants, battery_percent=0.1)
    state = learnt(strategy, row("id9", joules=15))
    (plan,) = strategy.select(state, 2, [phone], np.random.default_rng(0)).values()
    assert plan.epochs == 2, "0.1 % of 36,000 J"


def test_late_devices_are_given_less_and_those_not_asked_are_tried_again(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, deadline_s=5)
    state = learnt(strategy, row("id0", epochs=3, train_s=4), row("id1", epochs=3, outcome="late", steps=None))
    assert selected(strategy, state)["id0"].epochs == 3
    assert selected(strategy, state)["id1"].epochs == 2
    slow = learnt(strategy, row("id2", train_s=6))
    assert "id2" not in selected(strategy, slow)
    for number in range(2, 5):
        slow = strategy.observe(slow, number, [])
    assert "id2" in selected(strategy, slow, 5)


def test_energy_above_idle_and_epochs_cut_short(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, joules=100, energy="above idle")
    state = learnt(strategy, row("id0", joules=8), row("id1", epochs=2, joules=8, steps=10, outcome="partial"))
    assert state.values["costs"]["id0"]["epoch_j"] == pytest.approx(6)
    assert state.values["costs"]["id1"]["epoch_j"] == pytest.approx(6), "half of two epochs"


def test_a_device_that_tells_no_joules_does_one_epoch(variants: dict[str, Variant]) -> None:
    strategy = bound(variants, joules=100)
    silent = row("id1", energy_j=None)
    plans = selected(strategy, learnt(strategy, row("id0", joules=10), silent, row("id2", joules=10)))
    assert {device: plan.epochs for device, plan in plans.items()} == {"id0": 3, "id1": 1, "id2": 3}
    assert plans["id1"].reason.endswith("it tells no joules, so one epoch at the others' usual price")


def test_a_calibration_stands_for_the_first_round(variants: dict[str, Variant], tmp_path: Path) -> None:
    made = entry("name0", bundle=variants[""].sha256, step_ms=100)
    made["measured"]["power"] = [power(1, 0), power(4, 1)]
    Calibrations(tmp_path / "c.json").add([made])
    strategy = bound(variants, device_joules=9, calibration=tmp_path / "c.json")
    plan = selected(strategy, StrategyState(), 1)["id0"]
    assert plan.epochs == 2, "ten steps of 0.1 s on 4 W: 4 J"
    assert "an epoch takes 1 s and 4 J, as calibrated 1970-01-01" in plan.reason


@pytest.mark.parametrize(
    ("options", "train", "message"),
    [
        ({}, TrainSettings(), "needs a budget"),
        ({"joules": 1.0}, TrainSettings(steps=5), "chooses epochs"),
        ({"joules": 1.0, "calibration": Path("none.json")}, TrainSettings(), "there is no none.json"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, Any], train: TrainSettings, message: str, variants: dict[str, Variant]
) -> None:
    with pytest.raises(ExperimentError, match=message):
        EnergyAware(EnergyAwareOptions(**options), train).bind({"": variants[""]}, ())
