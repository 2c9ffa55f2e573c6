"""Trees as Linux shows them (kernel.org, Documentation/ABI/testing/sysfs-class-power)."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from edge_client.energy import find_meter
from edge_client.energy.battery import find_battery
from edge_client.energy.meter import SampledMeter
from edge_client.energy.rig_test import Clock, Tree
from edge_client.energy.source import ReadingError

CLASS = "sys/class/power_supply"


def battery(name: str, **files: int | str) -> dict[str, int | str]:
    return {f"{CLASS}/{name}/{file}": content for file, content in {"type": "Battery", **files}.items()}


MAINS: Tree = {f"{CLASS}/AC/type": "Mains", f"{CLASS}/AC/online": 0}
MOUSE = battery("hidpp_battery_0", scope="Device", status="Discharging", voltage_now=3_900_000)
LAPTOP: Tree = {
    **MAINS,
    **MOUSE,
    **battery("BAT0", status="Discharging", power_now=6_500_000, energy_now=41_000_000),
    **battery("BAT1", status="Discharging", power_now=1_500_000, scope="System"),
}
# Fuel gauges of tablets and of boards with a UPS tell current and voltage; this driver shows a positive current.
TABLET: Tree = battery("max170xx_battery", status="Discharging", current_now=412_000, voltage_now=3_850_000)

TABLET_PEN: Tree = {
    f"{CLASS}/wacom_ac_0/type": "Mains",
    f"{CLASS}/wacom_ac_0/scope": "Device",
    f"{CLASS}/wacom_ac_0/online": 1,
}
"""A drawing tablet's own mains, in the form of Linux's ``wacom`` driver."""


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        (LAPTOP, 8.0),
        (TABLET, 0.412 * 3.85),
        ({**TABLET, f"{CLASS}/max170xx_battery/current_now": -412_000}, 0.412 * 3.85),
        ({**LAPTOP, f"{CLASS}/BAT1/status": "Not charging", f"{CLASS}/BAT1/power_now": 0}, 6.5),
        ({**LAPTOP, **TABLET_PEN}, 8.0),
    ],
)
def test_joules_of_a_device_on_its_battery(
    files: Tree, watts: float, tree: Callable[[Tree], Path], clock: Clock
) -> None:
    found = find_meter(root=tree(files))
    meter = SampledMeter(found.sampler.source, rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    with meter:
        for _ in range(10):
            clock.now += 1.0
            meter.mark()
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(10 * watts, rel=1e-4)
    assert (meter.energy.method, meter.energy.covers, meter.energy.flags) == ("battery", "device", ())


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({f"{CLASS}/AC/online": 1}, "excluded: power came from AC, not from the battery alone"),
        ({f"{CLASS}/BAT0/status": "Charging"}, "excluded: battery BAT0: Charging"),
        ({f"{CLASS}/BAT1/status": "Charging"}, "excluded: battery BAT1: Charging"),
        ({f"{CLASS}/BAT0/status": "Full", f"{CLASS}/BAT1/status": "Not charging"}, "excluded: battery BAT0: Full"),
    ],
)
def test_charging_in_the_middle_excludes(change: Tree, flag: str, tree: Callable[[Tree], Path], clock: Clock) -> None:
    meter = SampledMeter(find_battery(tree(LAPTOP)), rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    with meter:
        for second in range(10):
            clock.now += 1.0
            if second == 5:
                tree(change)
            if second == 6:
                tree(LAPTOP)
            meter.mark()
    assert meter.energy is not None
    assert meter.energy.flags == (flag,)
    assert meter.energy.excluded


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({**MAINS, **MOUSE}, "no battery in"),
        (battery("BAT0", status="Discharging", charge_now=1), "tells neither power nor current"),
        (battery("BAT0", status="Charging", power_now=1), "battery BAT0: Charging"),
    ],
)
def test_batteries_that_are_of_no_use(files: Tree, problem: str, tree: Callable[[Tree], Path]) -> None:
    root = tree(files)
    with pytest.raises(ReadingError, match=problem):
        find_battery(root)
    assert find_meter(root=root).about.kind == "model"


def test_a_gauge_that_goes(tree: Callable[[Tree], Path]) -> None:
    root = tree(TABLET)
    source = find_battery(root)
    (root / CLASS / "max170xx_battery/current_now").unlink()
    with pytest.raises(ReadingError, match="current_now: No such file"):
        source.read()
