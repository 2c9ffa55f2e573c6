"""What a device tells of its memory and its battery, as Linux has it; nothing where there is nothing to tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from edge_client.records import BATTERY_PERCENT, CHARGING, Scalar

__all__ = ["battery_facts", "memory_bytes"]

POWER_SUPPLY = Path("/sys/class/power_supply")


def memory_bytes() -> int:
    """Return all memory of the device; 0 if the system does not tell it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def battery_facts(root: Path = POWER_SUPPLY) -> dict[str, Scalar]:
    """Return charge and source of power of a device with a battery; empty for one without.

    Linux lists a supply a directory. The device's own batteries have no ``scope``, or ``System``; others are those of
    mice and keyboards. Of several batteries the fullest counts, as a device runs on it.
    """
    charges, statuses, online = [], [], False
    for supply in sorted(root.glob("*")):
        if _read(supply / "type") != "Battery":
            online = online or _read(supply / "online") in ("1", "2")
            continue
        charge = _read(supply / "capacity")
        if _read(supply / "scope") in (None, "System") and charge is not None and charge.isdecimal():
            charges.append(float(charge))
            statuses.append(_read(supply / "status"))
    if not charges:
        return {}
    charging = online or any(status in ("Charging", "Full", "Not charging") for status in statuses)
    return {BATTERY_PERCENT: min(100.0, max(charges)), CHARGING: charging}


def _read(file: Path) -> Optional[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
