"""CSV of Monsoon's power monitors.

PowerTool writes ``Time (s)``, ``Main Avg Current (mA)``, ``Main Avg Voltage (V)``, and the like for USB and Aux.
Monsoon's Python library (github.com/msoon/PyMonsoon, ``sampleEngine.py``) writes ``Time(ms)``, ``Main(mA)``, ``Main
Voltage(V)``; its times are seconds all the same, and all readings of a packet bear the same one.
"""

from __future__ import annotations

from pathlib import Path

from python_server.errors import TraceError
from python_server.traces.columns import Column, open_table
from python_server.traces.format import Hints, electric
from python_server.traces.power_trace import PowerTrace

__all__ = ["Monsoon"]

_CHANNELS = ("Main", "USB")
_POWERTOOL = "Time (s)"
_LIBRARY = "Time(ms)"


class Monsoon:
    """CSV of Monsoon's PowerTool and Python library."""

    name = "monsoon"
    title = "Monsoon's PowerTool or Python library"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether the header is theirs."""
        text = head.decode("utf-8", "replace")
        return (_POWERTOOL in text and " Avg Current (mA)" in text) or (_LIBRARY in text and "(mA)" in text)

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Read the first channel that holds a current: the main output, else USB."""
        table = open_table(path)
        time = _POWERTOOL if _POWERTOOL in table.header else _LIBRARY
        if time not in table.header:
            raise TraceError(f"its header is not that of Monsoon: no column '{_POWERTOOL}' or '{_LIBRARY}'")
        current, voltage = (
            ("{} Avg Current (mA)", "{} Avg Voltage (V)") if time == _POWERTOOL else ("{}(mA)", "{} Voltage(V)")
        )
        for channel in _CHANNELS:
            if current.format(channel) in table.header:
                volts = voltage.format(channel)
                return electric(
                    table,
                    hints,
                    f"Monsoon power monitor, {channel} channel",
                    time=Column(time),
                    amps=Column(current.format(channel), 1e-3),
                    volts=Column(volts) if volts in table.header else None,
                )
        raise TraceError(f"it holds no current: no column '{current.format(_CHANNELS[0])}'")
