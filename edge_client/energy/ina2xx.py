"""INA219, INA226 and their like in the supply line, through the kernel's driver (hwmon).

For boards without a sensor of their own. The driver needs no library: a device tree overlay, or
``echo ina219 0x40 > /sys/bus/i2c/devices/i2c-1/new_device``, and the shunt in µΩ into ``shunt_resistor``; where nobody
sets it, the driver takes 10 mΩ, and boards with 100 mΩ then show ten times the power
(kernel.org, Documentation/hwmon/ina2xx.rst).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, Optional

from edge_client.energy.source import About, Accuracy, PowerSource, ReadingError, limit
from edge_client.energy.sysfs import read_number, read_text

__all__ = ["Ina2xxSource", "find_ina2xx"]

_DEFAULT_SHUNT_UOHM = 10_000
_VOLTS = 5.0


class _Chip(NamedTuple):
    """Largest errors by the data sheet: gains of current and voltage, offset across the shunt, one bit of power."""

    current: float
    voltage: float
    offset_v: float
    power_bit_v: float
    sheet: str


_CHIPS: dict[str, Optional[_Chip]] = {
    # Grade A over temperature; the driver measures up to ±320 mV, and a bit of power is 20 of current.
    "ina219": _Chip(0.01, 0.01, 200e-6, 20 * 10e-6, "INA219 data sheet, SBOS448"),
    # A bit of power is 25 of current.
    "ina226": _Chip(0.001, 0.001, 10e-6, 25 * 2.5e-6, "INA226 data sheet, SBOS547"),
    "ina220": None,
    "ina230": None,
    "ina231": None,
    "ina260": None,
}


class Ina2xxSource(PowerSource):
    """What flows through the chip's shunt.

    Parameters
    ----------
    folder
        The chip's directory in ``/sys/class/hwmon``.
    chip
        Its name.
    """

    def __init__(self, folder: Path, chip: str) -> None:
        self._file = str(folder / "power1_input")
        text = read_text(folder / "shunt_resistor")
        shunt_uohm = int(text) if text and text.isdecimal() else 0
        default = " (the driver's default: is it this board's?)" if shunt_uohm == _DEFAULT_SHUNT_UOHM else ""
        self.about = About(
            kind="ina2xx",
            title=f"{chip.upper()} in the supply line, shunt {shunt_uohm / 1e6:g} Ω{default}",
            method="measured",
            covers="board",
            most_w=100.0,
            accuracy=_accuracy(_CHIPS[chip], shunt_uohm / 1e6),
        )

    def read(self) -> float:
        """Return watts.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The chip does not answer.
        """
        return read_number(self._file) / 1e6


def find_ina2xx(root: Path) -> Ina2xxSource:
    """Return the machine's one such chip.

    Raises
    ------
    edge_client.energy.source.ReadingError
        There is none, or several, of which nobody knows which one is in the supply line.
    """
    found = [
        (folder, name)
        for folder in sorted(root.glob("sys/class/hwmon/hwmon*"))
        if (name := read_text(folder / "name") or "") in _CHIPS and (folder / "power1_input").exists()
    ]
    if not found:
        raise ReadingError("no INA219 or INA226 in /sys/class/hwmon")
    if len(found) > 1:
        names = ", ".join(f"{folder.name} ({name})" for folder, name in found)
        raise ReadingError(f"{names}: which of them is in the supply line is not known")
    source = Ina2xxSource(*found[0])
    source.read()
    return source


def _accuracy(chip: Optional[_Chip], shunt_ohm: float) -> Optional[Accuracy]:
    """Return the data sheet's largest errors as standard uncertainties at 5 V; the shunt's tolerance is not in it."""
    if chip is None or not shunt_ohm:
        return None
    gain = math.hypot(limit(chip.current), limit(chip.voltage))
    offset_w = math.hypot(limit(chip.offset_v) * _VOLTS, limit(chip.power_bit_v / 2)) / shunt_ohm
    return Accuracy(gain, offset_w, f"{chip.sheet}, at 5 V, without the shunt's tolerance")
