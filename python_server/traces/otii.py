"""CSV of Otii: one file a channel, ``Main power - Ace.csv``, with ``"Timestamp","Value"`` in seconds and SI units.

An Otii Arc measures current and voltage, an Otii Ace also power. Of a current, the voltage is looked for in the file
beside it that bears the same name otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from python_server.errors import TraceError
from python_server.traces.columns import Column, open_table
from python_server.traces.format import Hints, electric
from python_server.traces.power_trace import PowerTrace

__all__ = ["Otii"]

_TIME, _VALUE = "Timestamp", "Value"


class Otii:
    """Channels that Otii exported."""

    name = "otii"
    title = "Otii, 'Main power - ….csv' or 'Main current - ….csv'"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether the header is theirs."""
        return head.lstrip(b"\xef\xbb\xbf").replace(b'"', b"").startswith(f"{_TIME},{_VALUE}".encode())

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Read a channel of power, or of current with the voltage beside it."""
        table = open_table(path)
        if table.header[:2] != (_TIME, _VALUE):
            raise TraceError(f'its header is not Otii\'s: "{_TIME}","{_VALUE}"')
        channel = path.name.lower()
        time, value = Column(_TIME), Column(_VALUE)
        if " power" in channel:
            return electric(table, hints, "Otii, power", time=time, watts=value)
        if " current" not in channel:
            raise TraceError(
                "Otii's files say in their names what they hold, 'Main power - …' or 'Main current - …'; this does not"
            )
        if hints.volts is not None:
            return electric(table, hints, "Otii, current", time=time, amps=value)
        beside = path.with_name(path.name.replace(" current", " voltage"))
        if not beside.is_file():
            raise TraceError(
                f"it holds the current alone: put '{beside.name}' beside it, or give the voltage with --volts"
            )
        times_s, amps = table.read([time, value])
        other_s, volts = open_table(beside).read([time, value])
        power = amps * np.interp(times_s, other_s, volts)
        return PowerTrace.of_watts(
            times_s, power, unix=False, source="Otii, current times voltage", covers=hints.covers or "device"
        )
