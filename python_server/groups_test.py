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
    with pytest.raises(ExperimentError, match="group 'weak': train_s needs the time of a step"):
        choices(blind, a_group(train_s=3))
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
        ({"times_slower": 0}, "greater than 0"),
        ({"facts": {"a": []}}, "plain values"),
    ],
)
def test_values_out_of_range_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        a_group(**keys)
