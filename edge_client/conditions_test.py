from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from edge_client.conditions import cool_down, governor, temperature_c


def zones(root: Path, named: dict[str, int]) -> Path:
    for number, (name, value) in enumerate(named.items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{name}\n")
        (zone / "temp").write_text(f"{value}\n")
    return root


def test_the_hottest_zone_of_the_processor(tmp_path: Path) -> None:
    """Zones of a TX2, whose power chip always shows 100 °C, and one that is off, as on an AGX Orin."""
    named = {
        "BCPU-therm": 42_500,
        "MCPU-therm": 43_000,
        "GPU-therm": 45_000,
        "PMIC-Die": 100_000,
        "CV0-therm": -256_000,
    }
    assert temperature_c(zones(tmp_path, named)) == 43.0


def test_any_zone_where_none_names_the_processor(tmp_path: Path) -> None:
    assert temperature_c(zones(tmp_path, {"acpitz": 30_000, "iwlwifi": 35_000, "broken": 10**9})) == 35.0
    assert temperature_c(tmp_path / "none") is None


def test_governors(tmp_path: Path) -> None:
    for core, name in enumerate(("schedutil", "schedutil", "performance")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
    assert governor(tmp_path) == "performance schedutil"
    assert governor(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("readings", "waits", "told"),
    [
        ([60.0, 55.0, 50.0], 2, "event=cool celsius=50.0 after-s=2"),
        ([70.0] * 9, 5, "event=still-warm celsius=70.0 after-s=5"),
        ([None], 0, "event=no-cool-down"),
        ([40.0], 0, "event=cool celsius=40.0 after-s=0"),
    ],
)
def test_cooling_down(readings: list[Optional[float]], waits: int, told: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pocketfleet.client")
    values, slept = iter(readings), list[float]()
    cool_down(50.0, within_s=5.0, read=lambda: next(values), sleep=slept.append)
    assert len(slept) == waits
    assert told in caplog.messages[-1]
