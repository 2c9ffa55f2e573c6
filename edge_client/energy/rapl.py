"""Intel's and AMD's running average power limit counters, in Linux's ``powercap`` class.

``/sys/class/powercap/intel-rapl:N`` is a package (or ``psys``), ``intel-rapl:N:M`` a zone of it: ``core`` and
``uncore`` are inside the package, ``dram`` is beside it (Intel SDM, volume 3, 16.10;
kernel.org, Documentation/power/powercap).
``energy_uj`` wraps at ``max_energy_range_uj``. Since 2020 most systems let only root read it (CVE-2020-8694).
"""

from __future__ import annotations

from pathlib import Path

from edge_client.energy.source import About, PowerSource, ReadingError
from edge_client.energy.sysfs import read_number, read_text

__all__ = ["RaplSource", "find_rapl"]

_CLASS = "sys/class/powercap"


class RaplSource(PowerSource):
    """All packages of the machine, and their memory where it has a counter.

    They count whole processors, so other programs' work is in the figure.

    Parameters
    ----------
    zones
        Directory and name of each zone.
    """

    def __init__(self, zones: list[tuple[Path, str]]) -> None:
        self._files = [str(zone / "energy_uj") for zone, _ in zones]
        self._ranges_uj = [read_number(str(zone / "max_energy_range_uj")) for zone, _ in zones]
        self._last_uj = [read_number(file) for file in self._files]
        self._joules = 0.0
        names = " + ".join(name for _, name in zones)
        self.about = About(
            kind="rapl",
            title=f"RAPL counters: {names}, for all programs",
            method="measured",
            covers="processor",
            unit="J",
            most_w=2000.0,
        )

    def read(self) -> float:
        """Return the joules since the source was made; a counter that wrapped once in between is followed.

        Raises
        ------
        edge_client.energy.source.ReadingError
            A counter is gone.
        """
        now_uj = [read_number(file) for file in self._files]
        used_uj = 0
        for before, now, most in zip(self._last_uj, now_uj, self._ranges_uj):
            if not 0 <= now <= most:
                raise ReadingError(f"a RAPL counter shows {now} µJ, beyond its range of {most} µJ")
            used_uj += (now - before) if now >= before else (now - before + most)
        # Only now: of a reading that failed at one counter, the others' joules are in the next one.
        self._last_uj = now_uj
        self._joules += used_uj / 1e6
        return self._joules


def find_rapl(root: Path) -> RaplSource:
    """Return the machine's counters.

    Raises
    ------
    edge_client.energy.source.ReadingError
        There are none, or they cannot be read; the message says which.
    """
    folder = root / _CLASS
    packages, memory = [], []
    for zone in sorted(folder.glob("intel-rapl:*")):
        name = read_text(zone / "name") or ""
        if zone.name.count(":") == 1 and name.startswith("package"):
            packages.append((zone, name))
        elif zone.name.count(":") == 2 and name == "dram":
            memory.append((zone, name))
    if not packages:
        raise ReadingError("no RAPL counters in /sys/class/powercap")
    try:
        return RaplSource(packages + memory)
    except ReadingError as error:
        if "Permission" in str(error):
            reason = "RAPL counters are there, but only root may read them: sudo chmod a+r"
            raise ReadingError(f"{reason} {packages[0][0] / 'energy_uj'}") from None
        raise
