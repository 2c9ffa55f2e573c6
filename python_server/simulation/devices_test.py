"""Times and kinds of simulated devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.bundle import Bundle
from model_export.costs import Costs, Measured, Measurement
from model_export.manifest import Manifest
from python_server.simulation.devices import SimulatedDevice, kinds_of, step_seconds
from python_server.simulation.settings import ProfileSettings


@pytest.fixture(name="manifest")
def make_manifest(digits_bundle: Path) -> Manifest:
    return Bundle.load(digits_bundle).manifest


def test_shares_are_as_exact_as_whole_devices_allow() -> None:
    profiles = [ProfileSettings(name=name, share=share) for name, share in (("a", 5), ("b", 3), ("c", 0), ("d", 2))]
    names = [kind.name for kind in kinds_of(profiles, 11, np.random.default_rng(0))]
    assert sorted(names) == ["a"] * 6 + ["b"] * 3 + ["d"] * 2
    assert names != sorted(names)


def test_times_of_cuts_that_are_not_given_follow_from_those_that_are(manifest: Manifest) -> None:
    by_work = step_seconds(ProfileSettings(name="a", step_ms={"": 30}), manifest, manifest)
    assert by_work[""] == pytest.approx(0.03)
    assert 0.01 < by_work["conv3"] < by_work["conv2"] < 0.03, "at least the forward pass, a third, remains"
    given = step_seconds(ProfileSettings(name="a", step_ms={"conv3": 12, "": 30}), manifest, manifest)
    assert (given["conv3"], given[""]) == pytest.approx((0.012, 0.03))
    figures = {
        name: Measured(1, ms) for name, ms in (("train", 8.0), ("train_from_conv2", 4.0), ("train_from_conv3", 2.0))
    }
    costs = Costs(manifest.costs.signatures, Measurement("r", 1, "m", 0, figures))
    measured = replace(manifest, costs=costs)
    assert step_seconds(ProfileSettings(name="a", times_slower=5), measured, measured) == pytest.approx(
        {"": 0.04, "conv2": 0.02, "conv3": 0.01}
    )
    assert step_seconds(ProfileSettings(name="a", step_ms={"conv2": 40}), measured, measured)[""] == pytest.approx(0.08)


def test_transfers_and_energy() -> None:
    profile = ProfileSettings(name="a", download_mbps=8, latency_s=0.5, idle_w=1, power_w=3, battery_wh=0.01)
    device = SimulatedDevice("d", np.arange(1), np.arange(1), profile, {"b": {"": 0.1}}, "b")
    assert device.download_s(2_000_000) == pytest.approx(2.5)
    assert device.upload_s(2_000_000) == pytest.approx(0.5), "no bandwidth is given: latency alone"
    assert device.energy_source == "3 W while training, 1 W idle (profile a)"
    assert device.joules("train", 10) == (30, 10)
    assert device.joules("wait", 10) == device.joules("upload", 10) == (10, 10)
    device.work_j = 2.0
    assert device.charge_percent(10) == pytest.approx(100 - 100 * 12 / 36), "0.01 Wh are 36 J"
    assert device.charge_percent(1000) == 0


def test_what_a_kind_leaves_open_is_taken_from_the_catalog() -> None:
    kind = ProfileSettings(name="pi", device="raspberry_pi_4", threads=2, memory_mb=3000).completed()
    assert (kind.idle_w, kind.power_w, kind.memory_mb) == pytest.approx((3.06, 3.06 + 2 * 0.765, 3000))
    assert ProfileSettings(name="pi", device="raspberry_pi_4", power_w=9).completed().power_w == 9
