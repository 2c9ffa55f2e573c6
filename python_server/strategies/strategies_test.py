from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.manifest import Signature
from python_server.errors import ExperimentError
from python_server.groups import GroupSettings
from python_server.run_rows import DeviceRoundRow
from python_server.strategies import (
    OPTIONS,
    STRATEGIES,
    Contribution,
    Device,
    DropWeak,
    FedAvg,
    FedAvgOptions,
    FedCS,
    FedCSOptions,
    FedProx,
    FedProxOptions,
    Fjord,
    HeteroFL,
    HeteroFLOptions,
    MixedCompression,
    MixedCompressionOptions,
    PartialTraining,
    Plan,
    ProcessorCutoff,
    ProcessorCutoffOptions,
    Smallest,
    StrategyState,
    TrainSettings,
)
from python_server.strategies.fedcs import greedy
from python_server.submodels import WHOLE, Submodel
from python_server.toml_tables import read_table
from python_server.variants import Variant

DEVICES = [Device(f"id{i}", f"name{i}", "gpu" if i % 2 else "cpu", 10 * i) for i in range(10)]
TRAIN = TrainSettings(epochs=3, learning_rate={1: 0.1, 5: 0.01}, cut="head")


def chance(number: int = 1) -> np.random.Generator:
    return np.random.default_rng([7, number])


@given(st.integers(1, 1000), st.integers(1, 100), st.integers(1, 1000))
def test_fedavg_selects_a_fraction_reproducibly(thousandths: int, there: int, number: int) -> None:
    devices = [Device(f"id{i}", f"name{i}", "cpu", 10) for i in range(there)]
    strategy = FedAvg(FedAvgOptions(fraction=thousandths / 1000), TRAIN)
    plans = strategy.select(StrategyState(), number, devices, chance(number))
    assert len(plans) == -(-thousandths * there // 1000)
    assert plans == strategy.select(StrategyState(), number, devices, chance(number))
    assert set(plans) <= {device.device for device in devices}


def test_a_fraction_that_is_a_whole_number_of_devices_is_that_number() -> None:
    devices = [Device(f"id{i}", f"name{i}", "cpu", 10) for i in range(100)]
    strategy = FedAvg(FedAvgOptions(fraction=0.07), TRAIN)
    assert len(strategy.select(StrategyState(), 1, devices, chance())) == 7, "0.07 · 100 is 7.000000000000001"


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


def settled(strategy: FedAvg, variants: dict[str, Variant], **groups: dict[str, Any]) -> FedAvg:
    """Bind a strategy to groups given by name."""
    tables = [read_table(GroupSettings, {"name": name, **keys}, "groups", Path("/")) for name, keys in groups.items()]
    return strategy.bind(variants, tables)


def plans_of(strategy: FedAvg, number: int = 1) -> dict[str, Plan]:
    return strategy.select(strategy.start({}), number, DEVICES, chance(number))


WHOLE_TRAIN = TrainSettings(epochs=3, learning_rate=0.1)


def test_fedprox_gives_stragglers_fewer_epochs(variants: dict[str, Variant]) -> None:
    train = TrainSettings(epochs=8)
    strategy = FedProx(FedProxOptions(proximal_mu=0.1, stragglers=0.5), train).bind({"": variants[""]}, ())
    plans = [plan for number in range(1, 41) for plan in plans_of(strategy, number).values()]
    assert {plan.epochs for plan in plans} == set(range(1, 9))
    assert {plan.proximal_mu for plan in plans} == {0.1}
    short = sum("a straggler" in plan.reason for plan in plans)
    assert 150 < short < 250
    nobody = FedProx(FedProxOptions(), train).bind({"": variants[""]}, ())
    assert {plan.epochs for plan in plans_of(nobody).values()} == {8}


def test_a_proximal_term_needs_bundles_that_have_one(variants: dict[str, Variant]) -> None:
    plain = {**variants, "half": replace(variants["half"], manifest=replace(variants["half"].manifest, optimizer={}))}
    with pytest.raises(ExperimentError, match="variant 'half' was exported without a proximal term"):
        HeteroFL(HeteroFLOptions(proximal_mu=0.1), WHOLE_TRAIN).bind(plain, ())


def test_variants_are_for_strategies_that_use_them(variants: dict[str, Variant]) -> None:
    with pytest.raises(ExperimentError, match="strategy 'fedavg' gives all devices the whole model"):
        FedAvg(FedAvgOptions(), WHOLE_TRAIN).bind(variants, ())
    with pytest.raises(ExperimentError, match="train.cut: the whole model has no cut 'head'"):
        FedAvg(FedAvgOptions(), TRAIN).bind({"": variants[""]}, ())


def test_partial_training_cuts_weak_devices(variants: dict[str, Variant]) -> None:
    strategy = PartialTraining(FedAvgOptions(), WHOLE_TRAIN)
    bound = settled(strategy, {"": variants[""]}, weak={"processor": "cpu", "memory_mb": 17.0})
    assert {DEVICES[int(key[2:])].processor: plan.cut for key, plan in plans_of(bound).items()} == {
        "cpu": "two",
        "gpu": "",
    }


def test_heterofl_narrows_weak_devices(variants: dict[str, Variant]) -> None:
    bound = settled(HeteroFL(HeteroFLOptions(), WHOLE_TRAIN), variants, weak={"processor": "cpu", "memory_mb": 17.0})
    plans = plans_of(bound)
    assert {plans[device.device].submodel.name for device in DEVICES if device.processor == "cpu"} == {"half"}
    assert {plans[device.device].submodel for device in DEVICES if device.processor == "gpu"} == {WHOLE}


def test_fjord_draws_widths_up_to_the_device_s_own(variants: dict[str, Variant]) -> None:
    bound = settled(Fjord(HeteroFLOptions(), WHOLE_TRAIN), variants, weak={"processor": "cpu", "variant": "half"})
    drawn: dict[str, list[str]] = {"cpu": [], "gpu": []}
    for number in range(1, 61):
        plans = plans_of(bound, number)
        for device in DEVICES:
            drawn[device.processor].append(plans[device.device].submodel.name)
    assert set(drawn["cpu"]) == {"half", "quarter"}
    assert set(drawn["gpu"]) == {"", "half", "quarter"}
    assert 100 < drawn["cpu"].count("half") < 200  # of 300
    assert plans_of(bound, 3) == plans_of(bound, 3)


def test_controls(variants: dict[str, Variant]) -> None:
    weak = {"processor": "cpu", "variant": "half"}
    smallest = settled(Smallest(FedAvgOptions(), WHOLE_TRAIN), variants, weak=weak)
    assert {plan.submodel.name for plan in plans_of(smallest).values()} == {"half"}
    assert len(plans_of(smallest)) == len(DEVICES)
    strong = settled(DropWeak(FedAvgOptions(), WHOLE_TRAIN), variants, weak=weak)
    assert set(plans_of(strong)) == {device.device for device in DEVICES if device.processor == "gpu"}
    assert strong.select(StrategyState(), 1, [DEVICES[0]], chance()) == {}
    assert strong.remarks([DEVICES[0]]) == ["no device can train the whole model"]


def test_the_smallest_part_is_what_every_device_can_afford(variants: dict[str, Variant]) -> None:
    """By the memory that devices tell, and by how slow their steps were."""
    smallest = settled(Smallest(FedAvgOptions(), WHOLE_TRAIN), variants, weak={"memory_share": 0.5, "step_ms": 240})
    strong, weak = replace(DEVICES[1], facts={"memory-bytes": 10**9}), replace(DEVICES[2], facts={"memory-bytes": 23e6})
    slow = replace(DEVICES[3], times_slower=4.0)

    def parts(*devices: Device) -> set[tuple[str, str]]:
        plans = smallest.select(StrategyState(), 1, devices, chance())
        assert set(plans) == {device.device for device in devices}
        return {(plan.submodel.name, plan.cut) for plan in plans.values()}

    assert parts(strong) == {("", "")}
    assert parts(strong, weak) == {("", "three")}
    assert parts(strong, weak, slow) == {("half", "three")}


def test_what_counts_in_epochs_counts_in_steps_where_training_does(variants: dict[str, Variant]) -> None:
    train = TrainSettings(epochs=5, steps=40)
    whole = {"": variants[""]}
    prox = FedProx(FedProxOptions(stragglers=1.0), train).bind(whole, ())
    drawn = {plan.steps for number in range(1, 41) for plan in plans_of(prox, number).values()}
    assert drawn == set(range(1, 41))
    # A step of the whole model takes 240 ms.
    budget = settled(FedAvg(FedAvgOptions(), train), whole, weak={"processor": "cpu", "train_s": 2.5})
    assert {plan.steps for plan in plans_of(budget).values()} == {10, 40}
    assert "a step takes 0.24 s of 2.5 s" in plans_of(budget)["id0"].reason
    tight = plans_of(settled(FedAvg(FedAvgOptions(), train), whole, weak={"train_s": 0.1}))["id0"]
    assert (tight.steps, tight.cutoff_s) == (1, 0.1)
    epochs = plans_of(settled(FedAvg(FedAvgOptions(), train), whole, weak={"processor": "cpu", "epochs": 2}))
    assert {(plan.steps, plan.epochs) for plan in epochs.values()} == {(0, 2), (40, 5)}
    with pytest.raises(ExperimentError, match="least_epochs draws epochs, and train.steps is given"):
        STRATEGIES["dac"](OPTIONS["dac"](least_epochs=3), train).bind(variants, ())


def test_mixed_compression_knows_masks_and_precision(variants: dict[str, Variant]) -> None:
    mask = {"one/kernel": np.array([True, False])}
    half = variants["half"]
    rough = replace(
        half,
        manifest=replace(half.manifest, compression={"weights": "int8", "prune": 0.5}),
        submodel=replace(half.submodel, masks=mask),
    )
    mixed = {"": variants[""], "rough": replace(rough, name="rough")}
    weak = {"processor": "cpu", "variant": "rough"}

    def submodel_of(**options: Any) -> Submodel:
        strategy = MixedCompression(MixedCompressionOptions(**options), WHOLE_TRAIN)
        return plans_of(settled(strategy, mixed, weak=weak))["id0"].submodel

    assert (submodel_of().masks, submodel_of().differences) == (mask, True)
    assert (submodel_of(aggregation="naive").masks, submodel_of(aggregation="naive").differences) == ({}, False)
    sgd = settled(MixedCompression(MixedCompressionOptions(form="fedsgd"), WHOLE_TRAIN), mixed, weak=weak)
    assert {plan.steps for plan in plans_of(sgd).values()} == {1}
    batch = variants[""].manifest.batch_size
    [remark] = sgd.remarks([replace(device, examples=batch + int(device.name[4:])) for device in DEVICES])
    assert f"{batch} of the {batch + 9} examples of name9" in remark
    assert sgd.remarks([replace(device, examples=batch) for device in DEVICES]) == []
    budget = settled(
        MixedCompression(MixedCompressionOptions(form="fedsgd"), WHOLE_TRAIN), mixed, any={"memory_share": 1}
    )
    tiny = replace(DEVICES[9], facts={"memory-bytes": 1e6})
    assert budget.remarks([tiny]) == [], "nothing fits it, so it takes no step"


def test_formats_can_weigh_less(variants: dict[str, Variant]) -> None:
    half = variants["half"]
    rough = replace(half, manifest=replace(half.manifest, compression={"weights": "int8"}))
    options = MixedCompressionOptions(precision_weight={"int8": 0.25})
    bound = MixedCompression(options, WHOLE_TRAIN).bind({"": variants[""], "half": rough}, ())
    assert bound.weigh(Contribution(DEVICES[0], 10, 10, 4, 4, half.submodel)) == 250
    assert bound.weigh(Contribution(DEVICES[0], 10, 10, 4, 4)) == 1000
    with pytest.raises(ExperimentError, match="precision_weight names 'int9'"):
        MixedCompression(MixedCompressionOptions(precision_weight={"int9": 0.5}), WHOLE_TRAIN)


def test_fedcs_adds_the_fastest_until_the_deadline() -> None:
    times = {"a": (5.0, 1.0), "b": (1.0, 1.0), "c": (4.0, 2.0), "d": (20.0, 1.0)}
    # b is through at 2, a (waits until 5) at 6, c (ready by then) at 8; d would be at 21.
    assert greedy(times, 10) == {"a", "b", "c"}
    assert greedy(times, 8) == {"a", "b"}
    assert greedy(times, 22) == {"a", "b", "c", "d"}
    assert greedy(times, 1) == {"b"}
    assert greedy({}, 1) == set()


def test_fedcs_learns_times_from_rounds() -> None:
    strategy = FedCS(FedCSOptions(deadline_s=10.0), WHOLE_TRAIN)
    state = strategy.start({})
    assert len(strategy.select(state, 1, DEVICES, chance())) == len(DEVICES)

    def row(number: int, device: str, outcome: str, **times: Any) -> DeviceRoundRow:
        return DeviceRoundRow(number, device, device, outcome, **times)

    rows = [row(1, "id0", "ok", sent_after_s=1.0, read_after_s=4.0, train_s=2.0), row(1, "id1", "late")]
    state = strategy.observe(state, 1, rows)
    assert state.values == {"times": {"id0": [2.0, 1.0], "id1": [10.0, 0.0]}}
    assert set(strategy.select(state, 2, DEVICES[:2], chance(2))) == {"id0"}
    for number in range(2, 4):
        state = strategy.observe(state, number, [row(number, "id0", "error")])
    assert state.values["times"]["id1"] == pytest.approx([8.1, 0.0])
    assert set(strategy.select(state, 4, DEVICES[:2], chance(4))) == {"id0", "id1"}
    assert json.loads(json.dumps(state.values)) == state.values


@pytest.mark.parametrize("name", ["heterofl", "fjord", "mixed_compression"])
def test_only_whole_networks_tell_statistics_of_the_whole(variants: dict[str, Variant], name: str) -> None:
    sliced = {}
    for key, each in variants.items():
        everything = Signature({}, {}, each.manifest.state)
        manifest = replace(each.manifest, signatures={**each.manifest.signatures, "train": everything})
        pruned = {"masks": {"one/kernel": np.zeros((1, 1), bool)}}
        part = pruned if name == "mixed_compression" else {"where": {"one/kernel": np.ix_([0], [0])}}
        sliced[key] = replace(each, manifest=manifest, submodel=replace(each.submodel, **part) if key else WHOLE)
    groups = [read_table(GroupSettings, {"name": "weak", "devices": ["weak*"], "variant": "half"}, "", Path("/"))]
    facts = {"codecs": "float32"}
    weak, old, strong = (
        Device(each, each, "cpu", 10, {} if each == "weak-old" else facts) for each in ("weak", "weak-old", "strong")
    )

    def replies(*devices: Device, **options: Any) -> dict[str, Any]:
        strategy = STRATEGIES[name](OPTIONS[name](**options), TrainSettings()).bind(sliced, groups)
        plans = strategy.select(strategy.start({}), 1, devices, np.random.default_rng(4))
        return {device: plan.reply for device, plan in plans.items()}

    kernels = frozenset({"one/kernel", "two/kernel", "three/kernel"})
    told = replies(weak, old, strong)
    assert (told["weak"], told["weak-old"]) == (kernels, None), "older clients cannot leave variables out"
    assert told["strong"] in (None, kernels), "FjORD may have drawn a narrow one"
    assert replies(weak, old) == {"weak": None, "weak-old": None}, "there is nobody else to tell them"
    assert set(replies(weak, old, strong, statistics="all").values()) == {None}
