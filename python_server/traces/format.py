"""What a format of recordings has to offer, and what a user may say about a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

import numpy as np

from python_server.errors import TraceError
from python_server.traces.columns import Column, Table
from python_server.traces.power_trace import PowerTrace

__all__ = ["Hints", "TraceFormat", "electric"]

_UNIX_S = 1e9
"""Larger times are Unix time (since 2001); no instrument counts up for thirty years."""


@dataclass(frozen=True)
class Hints:
    """What the user says about a file.

    Attributes
    ----------
    columns
        ``--column`` options, for `python_server.traces.columns.parse_column`.
    volts
        Voltage of the supply, for recordings of the current alone.
    rails
        Names of power rails to add up; empty: all.
    covers
        What the supply feeds; None: the format's own.
    """

    columns: tuple[str, ...] = ()
    volts: Optional[float] = None
    rails: tuple[str, ...] = ()
    covers: Optional[str] = None


class TraceFormat(Protocol):
    """A format of recordings."""

    name: str
    """As ``--format`` knows it."""
    title: str
    """Who writes it, in a few words."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether a file, which begins with ``head``, is of this format."""

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Read a file.

        Raises
        ------
        TraceError
            It cannot be used.
        """


def electric(
    table: Table,
    hints: Hints,
    source: str,
    *,
    time: Column,
    watts: Optional[Column] = None,
    amps: Optional[Column] = None,
    volts: Optional[Column] = None,
    joules: Optional[Column] = None,
) -> PowerTrace:
    """Make a trace of a table's columns: a counter of joules, else watts, else amperes and volts.

    Raises
    ------
    TraceError
        The columns do not make up a power, or their numbers cannot be used.
    """
    covers = hints.covers or "device"
    if joules is not None:
        times_s, counter_j = table.read([time, joules])
        known = np.isfinite(counter_j)
        times_s, counter_j = times_s[known], counter_j[known]
        return PowerTrace.of_joules(
            times_s, counter_j, unix=_is_unix(times_s), source=source, method="measured", covers=covers
        )
    if watts is not None:
        times_s, power = table.read([time, watts])
    elif amps is not None and volts is not None:
        times_s, current, voltage = table.read([time, amps, volts])
        power = current * voltage
    elif amps is not None and hints.volts is not None:
        times_s, current = table.read([time, amps])
        power = current * hints.volts
        source += f", current times the {hints.volts:g} V that --volts gave"
    elif amps is not None:
        raise TraceError("it holds the current without the voltage: give the supply's with --volts")
    else:
        raise TraceError("no column holds watts, amperes or joules; name one with --column watts=COLUMN:UNIT")
    return PowerTrace.of_watts(times_s, power, unix=_is_unix(times_s), source=source, covers=covers)


def _is_unix(times_s: Sequence[float] | np.ndarray) -> bool:
    return len(times_s) > 0 and times_s[0] >= _UNIX_S
