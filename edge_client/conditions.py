"""The conditions that a device works under: how warm it is, and how its clock is governed."""

from __future__ import annotations

import logging
import re
import time
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Callable, Optional

__all__ = ["build", "cool_down", "governor", "temperature_c"]

_log = logging.getLogger("pocketfleet.client")

_ROOT = Path("/")
_PROCESSOR = re.compile(r"cpu|x86_pkg|soc|bcm2835|k10temp", re.IGNORECASE)


def temperature_c(root: Path = _ROOT) -> Optional[float]:
    """Return the temperature of the hottest zone of the processor, else of any; None where none is told.

    Zones of power chips are left out, as some show a fixed 100 °C (Jetson's ``PMIC-Die``), and so are values that no
    running device has (−256 °C of Jetson zones that are off).
    """
    zones: dict[str, float] = {}
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        try:
            name = (zone / "type").read_text(encoding="ascii", errors="replace").strip()
            value = int((zone / "temp").read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            continue
        if -40 <= value <= 130 and "pmic" not in name.lower():
            zones[f"{name} {zone.name}"] = value
    processor = [value for name, value in zones.items() if _PROCESSOR.search(name)]
    return max(processor or zones.values(), default=None)


def cool_down(
    to_c: float,
    *,
    within_s: float = 900.0,
    read: Callable[[], Optional[float]] = temperature_c,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the processor is no warmer than ``to_c``, so that runs begin alike; at most ``within_s``."""
    waited_s, step_s = 0.0, 1.0
    while True:
        now_c = read()
        if now_c is None:
            _log.warning("event=no-cool-down reason=no thermal zone tells a temperature")
            return
        if now_c <= to_c:
            break
        if waited_s >= within_s:
            _log.warning("event=still-warm celsius=%.1f after-s=%.0f", now_c, waited_s)
            return
        if waited_s % 30 == 0:
            _log.info("event=cooling-down celsius=%.1f to=%.1f", now_c, to_c)
        sleep(step_s)
        waited_s += step_s
    _log.info("event=cool celsius=%.1f after-s=%.0f", now_c, waited_s)


def governor(root: Path = _ROOT) -> str:
    """Return the processor's frequency governors, separated by blanks; empty where the system has none."""
    found = set()
    for file in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(file.read_text(encoding="ascii", errors="replace").strip())
        except OSError:
            continue
    return " ".join(sorted(found))


@lru_cache(maxsize=1)
def build() -> str:
    """Return the version of this client; of one that was pushed, its release; empty where neither is told."""
    try:
        return metadata.version("pocketfleet")
    except metadata.PackageNotFoundError:
        release = Path(__file__).resolve().parent.parent
        return f"release {release.name}" if release.parent.name == "releases" else ""
