"""Trees as the kernel's ``ina2xx`` driver makes them (kernel.org, Documentation/hwmon/ina2xx.rst)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import pytest

from edge_client.energy import find_meter
from edge_client.energy.ina2xx import find_ina2xx
from edge_client.energy.meter import SampledMeter
from edge_client.energy.rig_test import Clock, Tree
from edge_client.energy.source import ReadingError


def chip(number: int, name: str, power_uw: int, shunt_uohm: int = 100_000) -> dict[str, int | str]:
    folder = f"sys/class/hwmon/hwmon{number}"
    return {
        f"{folder}/name": name,
        f"{folder}/power1_input": power_uw,
        f"{folder}/in0_input": 61,
        f"{folder}/in1_input": 5096,
        f"{folder}/curr1_input": 612,
        f"{folder}/shunt_resistor": shunt_uohm,
    }


PI_4 = {"sys/class/hwmon/hwmon0/name": "cpu_thermal", **chip(1, "ina219", 3_120_000)}


def test_joules_behind_an_ina219(tree: Callable[[Tree], Path], clock: Clock) -> None:
    """3.12 W for five seconds, on a board that has no sensor of its own."""
    found = find_meter("raspberry_pi_4", root=tree(PI_4))
    meter = SampledMeter(found.sampler.source, rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    with meter:
        for _ in range(50):
            clock.now += 0.1
            meter.mark()
    energy = meter.energy
    assert energy is not None
    assert energy.gross_j == pytest.approx(15.6, rel=1e-4)
    assert (energy.method, energy.covers) == ("measured", "board")
    assert energy.source.startswith("INA219 in the supply line, shunt 0.1 Ω; uncertainty: INA219 data sheet, SBOS448")
    offset_w = math.hypot(200e-6 * 5, 100e-6) / math.sqrt(3) / 0.1
    assert energy.uncertainty_j == pytest.approx(
        math.hypot(15.6 * math.hypot(0.01, 0.01) / math.sqrt(3), 5 * offset_w), rel=1e-3
    )


def test_an_ina226_is_an_order_better(tree: Callable[[Tree], Path]) -> None:
    about = find_ina2xx(tree(chip(0, "ina226", 2_500_000))).about
    assert about.accuracy is not None
    assert about.accuracy.gain == pytest.approx(math.hypot(0.001, 0.001) / math.sqrt(3))


def test_chips_of_unknown_accuracy_have_none(tree: Callable[[Tree], Path]) -> None:
    source = find_ina2xx(tree(chip(0, "ina231", 2_500_000)))
    assert (source.read(), source.about.accuracy) == (2.5, None)


def test_the_drivers_default_shunt_is_pointed_out(tree: Callable[[Tree], Path]) -> None:
    assert "the driver's default: is it this board's?" in find_ina2xx(tree(chip(0, "ina219", 1, 10_000))).about.title


@pytest.mark.parametrize("profile", ["generic", "raspberry_pi_5", "jetson_nano"])
def test_elsewhere_it_is_taken_only_if_asked_for(profile: str, tree: Callable[[Tree], Path]) -> None:
    """It may measure anything: a server's memory, a camera."""
    root = tree(PI_4)
    assert find_meter(profile, root=root).about.kind == "model"
    assert find_meter(profile, source="ina2xx", root=root).about.kind == "ina2xx"


def test_faults(tree: Callable[[Tree], Path], tmp_path: Path) -> None:
    with pytest.raises(ReadingError, match="no INA219 or INA226"):
        find_ina2xx(tmp_path)
    root = tree(PI_4)
    source = find_ina2xx(root)
    (root / "sys/class/hwmon/hwmon1/power1_input").write_text("")
    with pytest.raises(ReadingError, match="is no number"):
        source.read()
    tree(chip(2, "ina226", 1))
    with pytest.raises(
        ReadingError, match=r"hwmon1 \(ina219\), hwmon2 \(ina226\): which of them is in the supply line"
    ):
        find_ina2xx(root)
