"""The gauge of a battery that Linux shows in ``/sys/class/power_supply``.

Units are µW, µA and µV (kernel.org, Documentation/ABI/testing/sysfs-class-power). By that page a discharging battery's
current is negative; many drivers show it positive, so its sign is not looked at: ``status`` tells. Gauges that only
tell charge are of no use here: they move once a minute.
"""

from __future__ import annotations

import math
from pathlib import Path

from edge_client.energy.source import About, PowerSource, ReadingError
from edge_client.energy.sysfs import read_number, read_text

__all__ = ["BatterySource", "find_battery"]

_CLASS = "sys/class/power_supply"


class BatterySource(PowerSource):
    """What all batteries of the device give, while nothing else feeds it.

    Parameters
    ----------
    batteries
        Their directories.
    outside
        Directories of what feeds the device from outside.
    """

    def __init__(self, batteries: list[Path], outside: list[Path]) -> None:
        self._batteries = batteries
        self._outside = outside
        self.about = About(
            kind="battery",
            title=f"gauge of {' + '.join(battery.name for battery in batteries)}, which may lag by seconds",
            method="battery",
            covers="device",
            rate_hz=1.0,
            most_w=300.0,
            stuck_after_s=120.0,
        )

    def read(self) -> float:
        """Return watts.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The gauge fails; or power comes from elsewhere too, which makes all figures around this moment worthless.
        """
        for supply in self._outside:
            if read_text(supply / "online") in ("1", "2"):
                raise ReadingError(f"power came from {supply.name}, not from the battery alone", excludes=True)
        statuses = {battery: read_text(battery / "status") for battery in self._batteries}
        giving = [battery for battery, status in statuses.items() if status == "Discharging"]
        for battery, status in statuses.items():
            # Of two batteries one may rest while the other gives; it says so in various words.
            if status in (None, "", "Charging") or not giving:
                raise ReadingError(f"battery {battery.name}: {status or 'its status is gone'}", excludes=True)
        return math.fsum(self._watts(battery) for battery in giving)

    @staticmethod
    def _watts(battery: Path) -> float:
        if (battery / "power_now").exists():
            return abs(read_number(str(battery / "power_now"))) / 1e6
        current, voltage = (read_number(str(battery / name)) for name in ("current_now", "voltage_now"))
        return abs(current) * voltage / 1e12


def find_battery(root: Path) -> BatterySource:
    """Return the device's own batteries; what belongs to a mouse or a tablet has another ``scope``.

    Raises
    ------
    edge_client.energy.source.ReadingError
        There is none, it does not tell its power, or it is not what feeds the device.
    """
    batteries, outside = [], []
    for supply in sorted((root / _CLASS).glob("*")):
        scope = read_text(supply / "scope")
        if read_text(supply / "type") != "Battery":
            outside += [supply] if scope != "Device" else []
        elif scope in (None, "System"):
            batteries.append(supply)
    if not batteries:
        raise ReadingError("no battery in /sys/class/power_supply")
    for battery in batteries:
        if not any((battery / name).exists() for name in ("power_now", "current_now")):
            raise ReadingError(f"battery {battery.name} tells neither power nor current")
    source = BatterySource(batteries, outside)
    source.read()
    return source
