from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from python_server.errors import ExperimentError
from python_server.groups import CUTS, VARIANTS, Choices, GroupSettings
from python_server.strategies import Device, TrainSettings
from python_server.toml_tables import read_table
from python_server.variants import Variant

ACCEPTING: dict[str, Any] = {"accepts-bundle": True}
BOTH = (CUTS, VARIANTS)


def a_device(name: str = "pi-1", examples: int = 100, **facts: Any) -> Device:
    return Device(name, name, "cpu", examples, facts)


def telling(facts: dict[str, Any], name: str = "pi-1") -> Device:
    return Device(name, name, "cpu", 100, facts)


def a_group(name: str = "weak", **keys: Any) -> GroupSettings:
    return read_table(GroupSettings, {"name": name, **keys}, "groups[0]", Path("/"))


def choices(
    variants: dict[str, Variant], *groups: GroupSettings, parts: Collection[str] = BOTH, **train: Any
) -> Choices:
    return Choices(variants, groups, TrainSettings(**{"epochs": 4, **train}), parts, "a strategy")


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ({}, True),
        ({"devices": ["pi-*", "nano"]}, True),
        ({"devices": ["nano"]}, False),
        ({"processor": "cpu"}, True),
        ({"processor": "gpu"}, False),
        ({"facts": {"machine": "armv7l", "cores": 4}}, True),
        ({"facts": {"machine": "x86_64"}}, False),
        ({"facts": {"never told": 1}}, False),
        ({"devices": ["pi-*"], "processor": "gpu"}, False),
    ],
)
def test_groups_are_matched_by_name_processor_and_facts(keys: dict[str, Any], fits: bool) -> None:
    assert a_group(**keys).holds(a_device(machine="armv7l", cores=4)) is fits


def test_the_first_group_that_fits_counts(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group("pis", devices=["pi*"], variant="half"), a_group("rest", variant="quarter"))
    assert found.of(a_device("pi-1")).submodel.name == "half"
    assert found.of(a_device("nano")).submodel.name == "quarter"
    assert found.remarks([a_device("nano")]) == ["group 'pis' has no device"]


def test_devices_of_no_group_get_the_whole_model(variants: dict[str, Variant]) -> None:
    choice = choices(variants, a_group(devices=["nano"], variant="half"), cut="two").of(a_device())
    assert (choice.submodel, choice.cut, choice.epochs) == (variants[""].submodel, "two", 4)


@pytest.mark.parametrize(
    ("parts", "budget", "variant", "cut"),
    [
        (BOTH, {"memory_mb": 24}, "", ""),
        (BOTH, {"memory_mb": 23}, "", "two"),
        (BOTH, {"memory_mb": 5}, "half", "three"),
        ((VARIANTS,), {"memory_mb": 23}, "half", ""),
        ((VARIANTS,), {"memory_mb": 11}, "quarter", ""),
        ((CUTS,), {"memory_mb": 9}, "", "three"),
        (BOTH, {"step_ms": 240}, "", ""),
        (BOTH, {"step_ms": 240, "times_slower": 2}, "", "three"),
        (BOTH, {"macs": 12_000}, "half", ""),
        (BOTH, {"parameters": 600}, "quarter", ""),
        (BOTH, {"parameters": 1200, "memory_mb": 8}, "half", "two"),
        ((), {"memory_mb": 24}, "", ""),
    ],
)
def test_the_largest_part_that_a_budget_allows_is_chosen(
    variants: dict[str, Variant], parts: Collection[str], budget: dict[str, Any], variant: str, cut: str
) -> None:
    choice = choices(variants, a_group(**budget), parts=parts).of(a_device())
    assert (choice.submodel.name, choice.cut) == (variant, cut)
    assert choice.reason.startswith("group 'weak': ")
    assert "is the largest within" in choice.reason


def test_the_cut_of_train_is_the_most_that_is_trained(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(memory_mb=100), cut="two")
    assert found.of(a_device()).cut == "two"
    assert choices(variants, a_group(memory_mb=9), cut="two").of(a_device()).cut == "three"


@pytest.mark.parametrize(("train_s", "epochs", "cutoff_s"), [(100, 4, 0.0), (5, 2, 0.0), (2.4, 1, 0.0), (1.2, 1, 1.2)])
def test_a_budget_of_time_takes_epochs_and_then_cuts_off(
    variants: dict[str, Variant], train_s: float, epochs: int, cutoff_s: float
) -> None:
    choice = choices(variants, a_group(train_s=train_s)).of(a_device(examples=95))  # 10 steps of 240 ms
    assert (choice.epochs, choice.cutoff_s) == (epochs, cutoff_s)
    assert "an epoch takes 2.4 s" in choice.reason


def test_a_device_that_takes_no_other_bundle_keeps_its_variant(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(devices=["nano"], variant="quarter"))
    assert found.of(a_device(bundle="sha-half")).submodel.name == "half"
    assert found.of(a_device(bundle="sha-half", **ACCEPTING)).submodel.name == ""
    assert found.of(a_device("nano", bundle="sha-half")).submodel.name == "quarter"


@pytest.mark.parametrize(
    ("parts", "group", "message"),
    [
        (BOTH, a_group(variant="haft"), "there is no variant 'haft' among .*: half, quarter"),
        (BOTH, a_group(cut="four"), "the whole model has no cut 'four'; it has: two, three"),
        (BOTH, a_group(variant="half", cut="four"), "variant 'half' has no cut 'four'"),
        (BOTH, a_group(memory_mb=1), "nothing fits 1 MB; variant 'quarter': no part .* the least memory is 2.0 MB"),
        (BOTH, a_group(macs=10), "nothing fits 10 MACs; variant 'quarter': its network has 6,000 macs"),
        (BOTH, a_group(variant="half", parameters=10), "nothing fits 10 parameters; variant 'half'"),
        (
            (CUTS,),
            a_group(cut="two", memory_mb=9),
            ".* from 'two' on does not fit; only .* 'three' on does",
        ),
        ((VARIANTS,), a_group(memory_mb=3), "nothing fits 3 MB; variant 'quarter': training all of it does not fit"),
        (
            (),
            a_group(variant="half"),
            "variant is given, but under strategy 'a strategy'",
        ),
        (
            (VARIANTS,),
            a_group(cut="two"),
            "cut is given, but under strategy 'a strategy'",
        ),
        ((), a_group(macs=12_000), "nothing fits 12,000 MACs; the whole model"),
    ],
)
def test_groups_that_cannot_be_are_refused(
    variants: dict[str, Variant], parts: Collection[str], group: GroupSettings, message: str
) -> None:
    with pytest.raises(ExperimentError, match=f"^group 'weak': {message}"):
        choices(variants, group, parts=parts)


def test_budgets_of_time_and_memory_need_measured_bundles(variants: dict[str, Variant]) -> None:
    whole = variants[""]
    manifest = whole.manifest
    blind = {"": replace(whole, manifest=replace(manifest, costs=replace(manifest.costs, measured=None)))}
    with pytest.raises(ExperimentError, match="group 'weak': nothing fits 3 MB; .* exported without measuring"):
        choices(blind, a_group(memory_mb=3))
    with pytest.raises(ExperimentError, match="group 'weak': train_s needs what a step takes"):
        choices(blind, a_group(train_s=3))
    partly = {**variants, "quarter": replace(variants["quarter"], manifest=blind[""].manifest)}
    with pytest.raises(
        ExperimentError, match="memory_share needs what a step takes, and variant 'quarter' was exported"
    ):
        choices(partly, a_group(memory_share=0.5))  # and not in the round in which a device needs the smallest
    with pytest.raises(ExperimentError, match="group 'weak': it needs a bundle"):
        choices({}, a_group(train_s=3))


def test_names_of_groups_are_unique(variants: dict[str, Variant]) -> None:
    with pytest.raises(ExperimentError, match=r"two \[\[groups\]\] have the name 'weak'"):
        choices(variants, a_group(), a_group())
    with pytest.raises(ExperimentError, match="a group's name is empty"):
        choices(variants, a_group(""))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"memory_mb": -1}, "at least 0"),
        ({"times_slower": -1}, "at least 0"),
        ({"facts": {"a": []}}, "plain values"),
    ],
)
def test_values_out_of_range_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        a_group(**keys)


def test_a_share_of_the_memory_is_of_what_each_device_tells(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(memory_share=0.5))
    small, large = telling({"memory-bytes": 23e6}), telling({"memory-bytes": 10**9})
    assert (found.of(small).submodel.name, found.of(small).cut) == ("", "three")
    assert "within 11.5 MB (0.5 of the memory that it tells)" in found.of(small).reason
    assert found.of(large).cut == found.of(a_device()).cut == ""
    assert found.unable([large, small, a_device("pi-2")]) == {}
    tiny = telling({"memory-bytes": 2e6}, "pi-2")
    (reason,) = found.unable([tiny]).values()
    assert reason.startswith("group 'weak': nothing fits 1 MB (0.5 of the memory that it tells); variant 'quarter'")


def test_the_smaller_of_memory_and_its_share_counts(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(memory_share=0.5, memory_mb=12))
    assert (found.of(a_device()).submodel.name, found.of(a_device()).cut) == ("", "three")
    told = found.of(telling({"memory-bytes": 12e6}))
    assert (told.submodel.name, told.cut) == ("half", "three")


def test_budgets_of_time_hold_for_what_steps_took(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(step_ms=240, train_s=5))
    fresh, slow = a_device(examples=95), replace(a_device(examples=95), times_slower=2.5)
    assert (found.of(fresh).submodel.name, found.of(fresh).epochs) == ("", 2)
    assert (found.of(slow).submodel.name, found.of(slow).cut) == ("", "three")
    assert "240 ms a step (times 2.5 slower, as measured)" in found.of(slow).reason
    assert "an epoch takes 2 s of 5 s" in found.of(slow).reason
    (reason,) = found.unable([replace(slow, times_slower=100.0)]).values()
    assert "nothing fits 240 ms a step (times 100 slower, as measured)" in reason
    said = choices(variants, a_group(step_ms=240, times_slower=1))
    assert said.of(slow).cut == "", "what the experiment says counts"


@pytest.mark.parametrize(
    ("keys", "facts", "reason"),
    [
        ({"battery_percent": 30}, {"battery-percent": 29.6}, "its battery is at 30 %, below 30 %"),
        ({"battery_percent": 30}, {"battery-percent": 30}, ""),
        ({"battery_percent": 30}, {"battery-percent": 12.0, "charging": True}, "its battery is at 12 %, below 30 %"),
        ({"battery_percent": 30}, {}, ""),
        ({"battery_percent": 30}, {"battery-percent": "full"}, ""),
        ({"charging": True}, {"battery-percent": 90, "charging": False}, "it is not charging"),
        ({"charging": True}, {"battery-percent": 5, "charging": True}, ""),
        ({"charging": True}, {}, ""),
        ({}, {"battery-percent": 1, "charging": False}, ""),
    ],
)
def test_devices_with_too_little_charge_are_not_asked(
    variants: dict[str, Variant], keys: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    found = choices(variants, a_group(**keys), a_group("all"))
    assert found.unable([telling(facts)]) == ({"pi-1": f"group 'weak': {reason}"} if reason else {})
    assert found.follows_conditions is bool(keys)


def test_the_gentlest_codec_within_the_traffic_is_chosen(variants: dict[str, Variant]) -> None:
    # The whole model: down 3 · (16 + 2) numbers, up 3 · 16.
    every = {"codecs": "float32 float16 int8 clusters"}
    for budget, down, up in [(408, "float32", "float32"), (407, "float16", "float16"), (215, "int8", "int8")]:
        found = choices(variants, a_group(traffic_mb=budget / 1e6)).of(telling(every))
        assert found.codecs == (down, up)
        assert f"MB of {budget / 1e6:g} MB a round" in found.reason
    fine = choices(variants, a_group(traffic_mb=216e-6))
    assert fine.of(telling(every)).codecs == ("float16", "float16")
    (reason,) = fine.unable([a_device()]).values()
    assert reason == (
        "group 'weak': nothing fits 0.000216 MB of traffic; float32 is the least and takes 0.000408 MB"
    ), "who knows no codec gets float32"
    with pytest.raises(ExperimentError, match="group 'weak': nothing fits 1e-05 MB of traffic; int8 .* is the least"):
        choices(variants, a_group(traffic_mb=1e-5))


def test_a_slow_upload_is_coded_once_its_pace_is_known(variants: dict[str, Variant]) -> None:
    found = choices(variants, a_group(upload_s=1))
    device = a_device(codecs="float32 float16 int8 clusters")
    assert found.of(device).codecs == ("float32", "float32")
    assert "not known yet" in found.of(device).reason
    for mbps, up in [(192 * 8e-6, "float32"), (96 * 8e-6, "float16"), (80 * 8e-6, "int8"), (1e-6, "clusters16")]:
        choice = found.of(replace(device, upload_mbps=mbps))
        assert choice.codecs is not None
        assert choice.codecs.up == up
    assert found.unable([replace(device, upload_mbps=1e-6)]) == {}, "a slow upload is no reason to leave a device out"


def test_a_group_has_a_codec_or_a_budget_for_it(variants: dict[str, Variant]) -> None:
    named = choices(variants, a_group(codec={"up": "int8"})).of(a_device())
    assert named.codecs == ("float32", "int8")
    with pytest.raises(ExperimentError, match="group 'weak': codec is given, and so is a budget that decides it"):
        choices(variants, a_group(codec="int8", traffic_mb=1))
    with pytest.raises(ExperimentError, match="codec: there is no codec 'int9'"):
        a_group(codec="int9")
