"""Power rails and battery counters in a Perfetto trace of Android.

The data source ``android.power`` writes, for each rail of the On-Device Power Rails Monitor (Pixel 6 and later), a
counter of microwatt-seconds since boot, and of the battery current, charge and voltage. Numbers of fields are those
of ``protos/perfetto/trace/{trace_packet,clock_snapshot}.proto`` and
``trace/power/{power_rails,battery_counters}.proto`` in github.com/google/perfetto. Times are of ``CLOCK_BOOTTIME``;
the trace's clock snapshots tell what Unix time that was.

The rails lie behind the battery, so charging does not disturb them; but no rail is the total, and what has no rail is
in no figure, hence ``covers = "parts"``. See perfetto.dev/docs/data-sources/battery-counters.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

import numpy as np

from python_server.errors import TraceError
from python_server.traces.format import Hints
from python_server.traces.power_trace import PowerTrace
from python_server.traces.wire import fields, signed

__all__ = ["PerfettoBattery", "PerfettoRails"]

_PACKET = 1
_CLOCK_SNAPSHOT, _TIMESTAMP, _BATTERY, _RAILS, _COMPRESSED, _CLOCK_ID = 6, 8, 38, 40, 50, 58
_REALTIME, _BOOTTIME = 1, 6
_MOST_UNPACKED = 2**26
"""Bytes of one compressed packet; Perfetto's are under 512 KB."""


@dataclass
class _Power:
    """What a trace holds of power."""

    names: dict[int, str] = field(default_factory=dict)
    rails: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """Seconds since boot and microjoules, by rail."""
    battery: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    """Seconds since boot and the fields of a reading."""
    unix_minus_boot_s: list[float] = field(default_factory=list)


class PerfettoRails:
    """A Perfetto trace's power rails."""

    name = "perfetto"
    title = "power rails in a Perfetto trace of Android"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether it begins with a packet."""
        return head[:1] == bytes([_PACKET << 3 | 2]) and any(byte < 9 for byte in head)  # which text has not

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Add the rails up."""
        power = _read(path)
        if not power.rails:
            also = "; it has battery counters: try --format perfetto-battery" if power.battery else ""
            raise TraceError(
                "it holds no power rails: only Pixel 6 and later have them, and the trace's configuration needs "
                f"collect_power_rails: true{also}"
            )
        chosen = _chosen(power, hints.rails)
        times_s, joules = _sum([power.rails[index] for index in chosen])
        unix, shift = _unix(power)
        names = ", ".join(sorted(power.names.get(index, f"rail {index}") for index in chosen))
        return PowerTrace.of_joules(
            times_s + shift,
            joules,
            unix=unix,
            source=f"power rails, sum of {names}",
            method="rail",
            covers=hints.covers or "parts",
        )


class PerfettoBattery:
    """A Perfetto trace's battery counters."""

    name = "perfetto-battery"
    title = "battery counters in a Perfetto trace of Android or Linux"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Leave traces that nobody asked to read so to the rails."""
        return False

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Take current times voltage, while the battery's charge does not rise."""
        power = _read(path)
        current, voltage, charge = 3, 7, 1
        readings = sorted((seconds, values) for seconds, values in power.battery if current in values)
        if len(readings) < 2:
            raise TraceError("it holds no battery current: its configuration needs BATTERY_COUNTER_CURRENT")
        times_s = np.array([seconds for seconds, _ in readings])
        amps = np.array([values[current] for _, values in readings]) * 1e-6
        charges = [values[charge] for _, values in readings if charge in values]
        if len(charges) > 1 and charges[-1] > charges[0]:
            raise TraceError("the battery was charged meanwhile, so it does not show what the device used")
        volts = np.array([values.get(voltage, 0) for _, values in readings]) * 1e-6
        source = "battery current times voltage"
        if not (volts > 0).all():
            if hints.volts is None:
                raise TraceError("it holds no battery voltage: give a typical one with --volts, such as 3.85")
            volts = np.full(len(amps), hints.volts)
            source = f"battery current times the {hints.volts:g} V that --volts gave"
        # Phones disagree about the sign; what flows the other way than mostly is charging.
        draw = np.sign(np.median(amps)) * amps
        unix, shift = _unix(power)
        return PowerTrace.of_watts(
            times_s + shift,
            np.where(draw > 0, draw * volts, np.nan),
            unix=unix,
            source=source,
            method="battery",
            covers=hints.covers or "device",
        )


def _read(path: Path) -> _Power:
    power = _Power()
    for packet in _packets(memoryview(path.read_bytes())):
        _take(packet, power)
    return power


def _packets(data: memoryview, *, inner: bool = False) -> Iterator[dict[int, Union[int, memoryview]]]:
    """Yield the fields of interest of every packet, of compressed ones too; ``inner``: ``data`` was compressed."""
    wanted = {_CLOCK_SNAPSHOT, _TIMESTAMP, _BATTERY, _RAILS, _COMPRESSED, _CLOCK_ID}
    for number, packet in fields(data):
        if number != _PACKET or isinstance(packet, int):
            continue
        found = {key: value for key, value in fields(packet) if key in wanted}
        compressed = found.pop(_COMPRESSED, None)
        if isinstance(compressed, memoryview):
            if inner:  # Perfetto writes none; a few hundred of them would be too deep for us
                raise TraceError("a compressed packet holds another one: it is no trace of Perfetto, or damaged")
            yield from _packets(memoryview(_unpacked(compressed)), inner=True)
        elif found:
            yield found


def _unpacked(data: memoryview) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, _MOST_UNPACKED)
    except zlib.error as error:
        raise TraceError(f"a compressed packet is damaged: {error}") from None
    if not unpacker.eof and not unpacker.unconsumed_tail:
        raise TraceError("a compressed packet is damaged: it was cut off")
    if unpacker.unconsumed_tail:
        raise TraceError(f"a compressed packet holds more than {_MOST_UNPACKED >> 20} MiB")
    return plain


def _take(packet: dict[int, Union[int, memoryview]], power: _Power) -> None:
    rails, battery, clocks = (packet.get(key) for key in (_RAILS, _BATTERY, _CLOCK_SNAPSHOT))
    if isinstance(clocks, memoryview):
        _take_clocks(clocks, power)
    if rails is None and battery is None:
        return
    if packet.get(_CLOCK_ID, _BOOTTIME) != _BOOTTIME:
        raise TraceError(f"its power is stamped by clock {packet[_CLOCK_ID]}, and only BOOTTIME (6) is understood")
    stamp = packet.get(_TIMESTAMP)
    seconds = stamp * 1e-9 if isinstance(stamp, int) else None
    if isinstance(rails, memoryview):
        _take_rails(rails, seconds, power)
    if isinstance(battery, memoryview) and seconds is not None:
        power.battery.append(
            (seconds, {key: signed(value) for key, value in fields(battery) if isinstance(value, int)})
        )


def _take_clocks(data: memoryview, power: _Power) -> None:
    clocks = {}
    for number, clock in fields(data):
        if number == 1 and isinstance(clock, memoryview):
            values = dict(fields(clock))
            clocks[values.get(1)] = values.get(2)
    real, boot = clocks.get(_REALTIME), clocks.get(_BOOTTIME)
    if isinstance(real, int) and isinstance(boot, int):
        power.unix_minus_boot_s.append((real - boot) * 1e-9)


def _take_rails(data: memoryview, seconds: Optional[float], power: _Power) -> None:
    for number, item in fields(data):
        if number not in (1, 2) or isinstance(item, int):
            continue
        values = dict(fields(item))
        index = signed(values.get(1, 0))
        if number == 1:
            name = values.get(2)
            text = bytes(name).decode("utf-8", "replace") if isinstance(name, memoryview) else f"rail {index}"
            if power.names.setdefault(index, text) != text:
                raise TraceError(
                    f"rail {index} is called {power.names[index]} and {text}: it holds two recordings; make one a trace"
                )
        else:
            stamp_ms = values.get(2)
            when = signed(stamp_ms) * 1e-3 if stamp_ms is not None else seconds
            if when is not None and 3 in values:
                power.rails.setdefault(index, []).append((when, signed(values[3])))


def _chosen(power: _Power, wanted: tuple[str, ...]) -> list[int]:
    if not wanted:
        return sorted(power.rails)
    indices = {power.names.get(index, f"rail {index}"): index for index in power.rails}
    missing = [name for name in wanted if name not in indices]
    if missing:
        raise TraceError(f"it has no rail {', '.join(missing)}; it has {', '.join(sorted(indices))}")
    return [indices[name] for name in wanted]


def _sum(rails: list[list[tuple[float, int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Add counters up, at the times of the one read least often, while all were read; where one went back is NaN."""
    columns = []
    for readings in rails:
        ordered = np.array(sorted(readings), np.float64)
        columns.append((ordered[:, 0], ordered[:, 1] * 1e-6))
    start, end = max(times[0] for times, _ in columns), min(times[-1] for times, _ in columns)
    every = np.unique(min((times for times, _ in columns), key=len))
    every = every[(every >= start) & (every <= end)]
    total = np.zeros(len(every))
    for times, joules in columns:
        times, first = np.unique(times, return_index=True)
        total += np.interp(every, times, joules[first])
        back = np.flatnonzero(np.diff(joules[first]) < 0)
        for place in back:
            total[(every > times[place]) & (every <= times[place + 1])] = np.nan
    return every, total


def _unix(power: _Power) -> tuple[bool, float]:
    """Tell whether Unix time is known, and what to add to the seconds since boot for it."""
    known = power.unix_minus_boot_s
    return bool(known), float(np.median(known)) if known else 0.0
