"""Trees of each Jetson, in the two layouts of the driver.

Sources of names, numbers and layouts:

* Nano: ``6-0040/iio:device0``, POM_5V_IN, POM_5V_GPU, POM_5V_CPU (github.com/rbonghi/jetson_stats, issues 51 and 131);
* TX2: ``0-0041/iio_device``, and the rails of its tegrastats (github.com/FindHao/tx-utils, issue 3): VDD_IN is the
  total (jetson_stats, issue 51), and 4V0_WIFI, SYS_CPU ... hang on it;
* AGX Xavier: GPU, CPU, SOC; CV, VDDRQ, SYS5V, shunts of 5 mΩ (kernel.org, tegra194-p2888.dtsi);
* AGX Orin: tegra234-p3701.dtsi, shunts of 2 mΩ; a log of all its files is in github.com/alumet-dev/alumet, issue 212;
* Orin NX and Nano: VDD_IN, VDD_CPU_GPU_CV, VDD_SOC; Xavier NX the same (forums.developer.nvidia.com/t/200883).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import pytest

from device_profiles import load_profile
from edge_client.energy import find_meter
from edge_client.energy.ina3221 import find_ina3221, rails_of
from edge_client.energy.meter import SampledMeter
from edge_client.energy.rig_test import Clock, Tree
from edge_client.energy.source import ReadingError

OLD = "sys/bus/i2c/drivers/ina3221x"


def old(folder: str, rails: dict[str, int]) -> dict[str, int | str]:
    """Powers in mW by rail, as Jetson Linux to R32 shows them; voltage and current are there, too."""
    files: dict[str, int | str] = {}
    for channel, (name, power) in enumerate(rails.items()):
        files[f"{OLD}/{folder}/rail_name_{channel}"] = name
        files[f"{OLD}/{folder}/in_power{channel}_input"] = power
        files[f"{OLD}/{folder}/in_voltage{channel}_input"] = 5000
        files[f"{OLD}/{folder}/in_current{channel}_input"] = power // 5
    return files


def new(number: int, rails: dict[str, tuple[int, int]], shunt_uohm: int = 5000) -> dict[str, int | str]:
    """Millivolts and milliamperes by rail, as R34 and later show them."""
    folder = f"sys/class/hwmon/hwmon{number}"
    files: dict[str, int | str] = {f"{folder}/name": "ina3221", f"{folder}/in7_label": "sum of shunt voltages"}
    for channel, (name, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        files[f"{folder}/in{channel}_label"] = name
        files[f"{folder}/in{channel}_enable"] = 1
        files[f"{folder}/in{channel}_input"] = millivolts
        files[f"{folder}/curr{channel}_input"] = milliamperes
        files[f"{folder}/shunt{channel}_resistor"] = shunt_uohm
    return files


NANO = old("6-0040/iio:device0", {"POM_5V_IN": 2746, "POM_5V_GPU": 159, "POM_5V_CPU": 796})
TX2 = {
    **old("0-0040/iio_device", {"VDD_SYS_GPU": 182, "VDD_SYS_SOC": 730, "VDD_4V0_WIFI": 0}),
    **old("0-0041/iio_device", {"VDD_IN": 5297, "VDD_SYS_CPU": 1917, "VDD_SYS_DDR": 1241}),
}
XAVIER_OLD = {
    **old("1-0040/iio:device0", {"GPU": 463, "CPU": 618, "SOC": 2936}),
    **old("1-0041/iio:device1", {"CV": 0, "VDDRQ": 309, "SYS5V": 3306}),
}
XAVIER_NEW = {
    **new(3, {"GPU": (19_000, 24), "CPU": (19_000, 32), "SOC": (19_000, 154)}),
    **new(4, {"CV": (19_000, 0), "VDDRQ": (19_000, 16), "SYS5V": (19_000, 174)}),
}
XAVIER_NX = new(3, {"VDD_IN": (5000, 720), "VDD_CPU_GPU_CV": (5000, 104), "VDD_SOC": (5000, 192)})
ORIN_NX = new(1, {"VDD_IN": (4968, 1040), "VDD_CPU_GPU_CV": (4968, 168), "VDD_SOC": (4960, 296)})
AGX_ORIN = {
    **new(1, {"VDD_GPU_SOC": (19_920, 120), "VDD_CPU_CV": (19_920, 20), "VIN_SYS_5V0": (5032, 800)}, 2000),
    **new(2, {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5032, 60)}, 2000),
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
}
BOARDS: list[tuple[str, Tree, float, str, str, str]] = [
    ("jetson_nano", NANO, 2.746, "measured", "device", "INA3221, POM_5V_IN"),
    ("jetson_tx2", TX2, 5.297, "measured", "module", "INA3221, VDD_IN"),
    ("jetson_agx_xavier", XAVIER_OLD, 0.463 + 0.618 + 2.936 + 0.309 + 3.306, "rail", "parts", "GPU + CPU + SOC + CV"),
    ("jetson_agx_xavier", XAVIER_NEW, 19 * (0.024 + 0.032 + 0.154 + 0.016 + 0.174), "rail", "parts", "VDDRQ + SYS5V"),
    ("jetson_xavier_nx", XAVIER_NX, 5 * 0.72, "measured", "module", "INA3221, VDD_IN"),
    ("jetson_orin_nx", ORIN_NX, 4.968 * 1.04, "measured", "module", "INA3221, VDD_IN"),
    ("jetson_orin_nano", ORIN_NX, 4.968 * 1.04, "measured", "module", "INA3221, VDD_IN"),
    (
        "jetson_agx_orin",
        AGX_ORIN,
        19.92 * 0.14 + 5.032 * 0.8,
        "rail",
        "parts",
        "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0",
    ),
]


@pytest.mark.parametrize(("profile", "files", "watts", "method", "covers", "words"), BOARDS)
def test_joules_of_each_board(
    profile: str,
    files: Tree,
    watts: float,
    method: str,
    covers: str,
    words: str,
    tree: Callable[[Tree], Path],
    clock: Clock,
) -> None:
    """Four seconds at the power that its files show, with the profile and without."""
    root = tree(files)
    for name in (profile, "generic"):
        chosen = find_meter(name, root=root)
        assert chosen.about.kind == "ina3221"
        meter = SampledMeter(chosen.sampler.source, rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
        with meter:
            for _ in range(40):
                clock.now += 0.1
                meter.mark()
        energy = meter.energy
        assert energy is not None
        assert energy.gross_j == pytest.approx(4 * watts, rel=1e-4)
        assert (energy.method, energy.covers, energy.flags) == (method, covers, ())
        assert words in energy.source


def test_the_profile_decides_which_rails_count(tree: Callable[[Tree], Path]) -> None:
    known = load_profile("jetson_agx_orin").energy[0]
    assert find_ina3221(tree(AGX_ORIN), known).read() == pytest.approx(19.92 * 0.14 + 5.032 * 0.8)


def test_uncertainty_is_the_data_sheets(tree: Callable[[Tree], Path]) -> None:
    """One rail, 5 mΩ: offset 80 µV and half a bit of 40 µV at 5 V; gains 0.25 % twice and half a bit of 8 mV."""
    accuracy = find_ina3221(tree(ORIN_NX)).about.accuracy
    assert accuracy is not None
    assert accuracy.offset_w == pytest.approx(math.hypot(80e-6, 20e-6) / math.sqrt(3) / 0.005 * 5)
    assert accuracy.gain == pytest.approx(math.hypot(0.0025, 0.0025, 0.0008) / math.sqrt(3))
    assert "data sheet" in accuracy.origin


def test_no_uncertainty_where_the_driver_hides_the_shunt(tree: Callable[[Tree], Path]) -> None:
    assert find_ina3221(tree(NANO)).about.accuracy is None


def test_the_layout_without_a_class(tree: Callable[[Tree], Path]) -> None:
    """github.com/ml-energy/zeus, pull request 226: the driver without an x, and hwmon below the device."""
    moved = {
        name.replace("sys/class/hwmon", "sys/bus/i2c/drivers/ina3221/1-0040/hwmon"): v for name, v in ORIN_NX.items()
    }
    assert find_ina3221(tree(moved)).read() == pytest.approx(4.968 * 1.04)


def test_unused_and_disabled_inputs_are_no_rails(tree: Callable[[Tree], Path]) -> None:
    root = tree({**AGX_ORIN, "sys/class/hwmon/hwmon1/in2_enable": 0})
    assert sorted(rails_of(root)) == ["VDDQ_VDD2_1V8AO", "VDD_GPU_SOC", "VIN_SYS_5V0"]


def test_rails_that_nobody_knows_are_not_added_up(tree: Callable[[Tree], Path]) -> None:
    root = tree(new(0, {"VDD_A": (5000, 100), "VDD_B": (5000, 100)}))
    with pytest.raises(ReadingError, match="rails VDD_A, VDD_B: none of them is known to be the total"):
        find_ina3221(root)
    assert find_meter(root=root).about.kind == "model"


def test_a_rail_that_goes_is_a_missing_reading(tree: Callable[[Tree], Path]) -> None:
    root = tree(NANO)
    source = find_ina3221(root)
    (root / OLD / "6-0040/iio:device0/in_power0_input").unlink()
    with pytest.raises(ReadingError, match="in_power0_input: No such file"):
        source.read()


@pytest.mark.parametrize(
    ("files", "fault", "flag"),
    [
        (
            NANO,
            {f"{OLD}/6-0040/iio:device0/in_power0_input": 2_746_000},
            "excluded: 10 readings differ by a factor of hun",
        ),
        (TX2, {f"{OLD}/0-0041/iio_device/in_power0_input": -3}, "10 readings of no power, or less, were left out"),
        (
            TX2,
            {f"{OLD}/0-0041/iio_device/in_power0_input": 150_000},
            "10 readings beyond the sensor's range were left out",
        ),
        (ORIN_NX, {"sys/class/hwmon/hwmon1/curr1_input": "nonsense"}, "10 readings failed, at last: "),
        (AGX_ORIN, {"sys/class/hwmon/hwmon1/in2_input": ""}, "10 readings failed, at last: "),
    ],
)
def test_faults_in_the_middle_of_an_interval(
    files: Tree, fault: Tree, flag: str, tree: Callable[[Tree], Path], clock: Clock
) -> None:
    """A third of six seconds: flagged, not covered, and so excluded; the interval after it is right again."""
    root = tree(files)
    meter = SampledMeter(find_ina3221(root), rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    watts = meter.sampler.source.read()

    def read(times: int) -> None:
        for _ in range(times):
            clock.now += 0.2
            meter.mark()

    with meter:
        read(10)
        tree(fault)
        read(10)
        tree(files)
        read(10)
    assert meter.energy is not None
    assert any(each.startswith(flag) for each in meter.energy.flags), meter.energy.flags
    assert meter.energy.excluded
    assert meter.energy.gross_j == pytest.approx(watts * 20 * 0.2, rel=0.06)
    with meter:
        read(10)
    energy = meter.energy
    assert energy is not None
    assert not energy.flags
    assert energy.gross_j == pytest.approx(watts * 2.0, rel=1e-3)
