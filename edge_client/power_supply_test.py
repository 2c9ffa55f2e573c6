from __future__ import annotations

from pathlib import Path
from typing import Union

import pytest

from edge_client.power_supply import battery_facts, memory_bytes

Files = dict[str, dict[str, str]]
LAPTOP: Files = {
    "AC": {"type": "Mains", "online": "0"},
    "BAT0": {"type": "Battery", "capacity": "41", "status": "Discharging", "scope": "System"},
    "hid-mouse": {"type": "Battery", "capacity": "90", "status": "Discharging", "scope": "Device"},
}


def write(root: Path, supplies: Files) -> Path:
    for name, files in supplies.items():
        (root / name).mkdir()
        for file, text in files.items():
            (root / name / file).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("supplies", "facts"),
    [
        ({}, {}),
        ({"usb": {"type": "USB", "online": "1"}}, {}),
        (LAPTOP, {"battery-percent": 41.0, "charging": False}),
        ({**LAPTOP, "AC": {"type": "Mains", "online": "1"}}, {"battery-percent": 41.0, "charging": True}),
        ({"b": {"type": "Battery", "capacity": "7", "status": "Charging"}}, {"battery-percent": 7.0, "charging": True}),
        ({"b": {"type": "Battery", "capacity": "101", "status": "Full"}}, {"battery-percent": 100.0, "charging": True}),
        ({"b": {"type": "Battery", "capacity": "?", "status": "Unknown"}}, {}),
        ({"b": {"type": "Battery", "status": "Unknown"}}, {}),
    ],
)
def test_what_linux_lists_is_what_the_device_tells(
    tmp_path: Path, supplies: Files, facts: dict[str, Union[float, bool]]
) -> None:
    assert battery_facts(write(tmp_path, supplies)) == facts


def test_a_system_without_the_list_tells_nothing(tmp_path: Path) -> None:
    assert battery_facts(tmp_path / "none") == {}


def test_memory_is_what_linux_says() -> None:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert memory_bytes() == int(total.split()[1]) * 1024
