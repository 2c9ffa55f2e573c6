"""CSV of Joulescope: ``#time,current,voltage,power,charge,energy`` in SI units.

So its user interface records statistics and its example ``downsample_logging.py`` logs
(github.com/jetperch/pyjoulescope_ui, pyjoulescope_examples); newer ones add columns behind. The instrument itself
sums up ``energy`` at its full rate, so that counter is taken rather than the power at the few moments written down.
"""

from __future__ import annotations

from pathlib import Path

from python_server.errors import TraceError
from python_server.traces.columns import Column, open_table
from python_server.traces.format import Hints, electric
from python_server.traces.power_trace import PowerTrace

__all__ = ["Joulescope"]

_HEADER = ("time", "current", "voltage", "power", "charge", "energy")


class Joulescope:
    """Statistics that Joulescope's programs write."""

    name = "joulescope"
    title = "Joulescope's statistics"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether the header is theirs."""
        return head.lstrip(b"\xef\xbb\xbf#").startswith(",".join(_HEADER).encode())

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Read the counter of energy."""
        table = open_table(path)
        if table.header[: len(_HEADER)] != _HEADER:
            raise TraceError(f"its header is not Joulescope's: {','.join(_HEADER)}")
        source = "Joulescope, its own counter of energy"
        return electric(table, hints, source, time=Column("time"), joules=Column("energy"))
