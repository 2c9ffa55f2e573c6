"""Jetson's power monitor, Texas Instruments' INA3221, through sysfs.

Its driver has shown it in two ways:

* Jetson Linux to R32: ``/sys/bus/i2c/drivers/ina3221x/BUS-ADDRESS/iio:deviceN/{rail_name_N,in_powerN_input}``, mW;
* from R34, and mainline: ``/sys/class/hwmon/hwmonN/{inN_label,inN_input,currN_input,shuntN_resistor}``, mV, mA, µΩ
  (kernel.org, Documentation/hwmon/ina3221.rst).

Where one rail is the total, it alone counts: the others hang on it. AGX Xavier and AGX Orin have no total; their rails
are added up, which leaves the carrier board out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from device_profiles import EnergySource
from edge_client.energy.source import About, Accuracy, PowerSource, ReadingError, limit
from edge_client.energy.sysfs import read_number, read_text

__all__ = ["TOTALS", "Ina3221Source", "Rail", "choose_names", "find_ina3221", "rails_of"]

TOTALS = {"POM_5V_IN": "device", "VDD_IN": "module"}
"""Rails that are a total, and what they cover: Nano; TX2, Xavier NX, Orin NX and Orin Nano."""
SUMS = (
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
)
"""Rails that make up the nearest there is to a total: AGX Xavier, AGX Orin (whose fourth, VDDQ_VDD2_1V8AO, hangs on the
last of these)."""

_MOST_W = 100.0
_GAIN = 0.0025
_SHUNT_OFFSET_V = 80e-6
_SHUNT_LSB_V = 40e-6
_BUS_LSB_V = 8e-3
"""INA3221 data sheet (Texas Instruments SBOS576): gain error of either input at most 0.25 %, shunt offset at most
80 µV, one bit 40 µV across the shunt and 8 mV of the bus."""


@dataclass(frozen=True)
class Rail:
    """One input of a monitor.

    Attributes
    ----------
    name
        As the board calls it.
    power_mw
        File that holds the power; empty where it is to be computed.
    voltage_mv, current_ma
        Files that it is computed from.
    shunt_ohm
        Its resistor; None: the driver does not tell.
    """

    name: str
    power_mw: str = ""
    voltage_mv: str = ""
    current_ma: str = ""
    shunt_ohm: Optional[float] = None

    def watts(self) -> float:
        """Read the power of the rail.

        Raises
        ------
        edge_client.energy.source.ReadingError
            It cannot be read.
        """
        if self.power_mw:
            return read_number(self.power_mw) / 1e3
        return read_number(self.voltage_mv) * read_number(self.current_ma) / 1e6


class Ina3221Source(PowerSource):
    """The power of one or several rails.

    Parameters
    ----------
    rails
        Which; their powers are added.
    covers
        What they come to.
    """

    def __init__(self, rails: Sequence[Rail], covers: str) -> None:
        self._rails = tuple(rails)
        self.about = About(
            kind="ina3221",
            title=f"INA3221, {' + '.join(rail.name for rail in rails)}",
            method="measured" if len(rails) == 1 and covers != "parts" else "rail",
            covers=covers,
            most_w=_MOST_W * len(rails),
            accuracy=_accuracy(self._rails),
        )

    def read(self) -> float:
        """Return watts.

        Raises
        ------
        edge_client.energy.source.ReadingError
            A rail cannot be read.
        """
        return math.fsum(rail.watts() for rail in self._rails)


def rails_of(root: Path) -> dict[str, Rail]:
    """Return the rails that a machine's monitors have names for, of either layout, by name."""
    rails: dict[str, Rail] = {}
    for pattern in ("iio:device*", "iio_device"):
        for device in sorted(root.glob(f"sys/bus/i2c/drivers/ina3221x/*/{pattern}")):
            for file in sorted(device.glob("rail_name_*")):
                power = device / f"in_power{file.name.rpartition('_')[2]}_input"
                name = read_text(file)
                if name and name != "NC" and power.exists():
                    rails.setdefault(name, Rail(name, power_mw=str(power)))
    monitors = [
        monitor for monitor in sorted(root.glob("sys/class/hwmon/hwmon*")) if read_text(monitor / "name") == "ina3221"
    ]
    for monitor in monitors or sorted(root.glob("sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*")):
        for channel in (1, 2, 3):
            name = read_text(monitor / f"in{channel}_label")
            voltage, current = monitor / f"in{channel}_input", monitor / f"curr{channel}_input"
            enabled = read_text(monitor / f"in{channel}_enable") != "0"
            if name and name != "NC" and enabled and voltage.exists() and current.exists():
                shunt = read_text(monitor / f"shunt{channel}_resistor")
                ohm = int(shunt) / 1e6 if shunt and shunt.isdecimal() and int(shunt) else None
                rails.setdefault(name, Rail(name, voltage_mv=str(voltage), current_ma=str(current), shunt_ohm=ohm))
    return rails


def choose_names(rails: Collection[str], known: Optional[EnergySource]) -> tuple[tuple[str, ...], str]:
    """Return the rails that count, and what they cover.

    Parameters
    ----------
    rails
        Names of all that are there.
    known
        What the device's profile says; None: nothing.

    Raises
    ------
    edge_client.energy.source.ReadingError
        None of the names is known; the message lists them.
    """
    if known is not None and known.rails and all(name in rails for name in known.rails):
        return known.rails, known.covers
    for name, covers in TOTALS.items():
        if name in rails:
            return (name,), covers
    for names in SUMS:
        if all(name in rails for name in names):
            return names, "parts"
    raise ReadingError(f"rails {', '.join(sorted(rails))}: none of them is known to be the total")


def find_ina3221(root: Path, known: Optional[EnergySource] = None) -> Ina3221Source:
    """Return the board's monitor.

    Raises
    ------
    edge_client.energy.source.ReadingError
        There is none, or none of its rails is known.
    """
    rails = rails_of(root)
    if not rails:
        raise ReadingError("no INA3221 in /sys/class/hwmon or /sys/bus/i2c/drivers/ina3221x")
    names, covers = choose_names(rails, known)
    source = Ina3221Source([rails[name] for name in names], covers)
    source.read()
    return source


def _accuracy(rails: Sequence[Rail]) -> Optional[Accuracy]:
    """Return what the chip's data sheet says of a sum of rails; None where a shunt is not known.

    The voltage is taken for 5 V where an error in amperes becomes watts. The shunts' own tolerance is not in it.
    """
    if any(rail.shunt_ohm is None for rail in rails):
        return None
    volts = 5.0
    offsets = [
        math.hypot(limit(_SHUNT_OFFSET_V), limit(_SHUNT_LSB_V / 2)) / rail.shunt_ohm * volts
        for rail in rails
        if rail.shunt_ohm
    ]
    gain = math.hypot(limit(_GAIN), limit(_GAIN), limit(_BUS_LSB_V / 2) / volts)
    return Accuracy(gain, math.hypot(*offsets), "INA3221 data sheet at 5 V, without the shunt's tolerance")
