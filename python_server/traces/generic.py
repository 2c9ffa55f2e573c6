"""Any CSV file with a time and watts, amperes and volts, or a counter of joules.

Columns are known by what they are called (``time``, ``power``, ``current`` …) with the unit behind (``(mA)``,
``_mW``); without one it is the SI's. What is called otherwise is named with ``--column``. Time may be dates in ISO
8601.
"""

from __future__ import annotations

from pathlib import Path

from python_server.errors import TraceError
from python_server.traces.columns import Column, Table, factor_of, open_table, parse_column
from python_server.traces.format import Hints, electric
from python_server.traces.power_trace import PowerTrace

__all__ = ["Generic"]

_NAMES = {
    "time": ("time", "timestamp", "t", "seconds", "date", "datetime", "elapsed"),
    "joules": ("energy", "joules", "e"),
    "watts": ("power", "watts", "watt", "p", "w"),
    "amps": ("current", "amps", "amperes", "ampere", "i", "a"),
    "volts": ("voltage", "volts", "volt", "v", "u"),
}


class Generic:
    """CSV of any instrument."""

    name = "csv"
    title = "CSV with time and watts, amperes and volts, or joules"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell whether its header has a time and something electric."""
        try:
            found = _by_name(open_table(path))
        except (TraceError, UnicodeDecodeError):
            return False
        return "time" in found and len(found) > 1

    def read(self, path: Path, hints: Hints) -> PowerTrace:
        """Read it by its header, and by what the user says."""
        table = open_table(path)
        told = dict(parse_column(text, table.header) for text in hints.columns)
        names = _by_name(table)
        if told.keys() - {"time"}:  # who names a quantity does not want another one
            names = {quantity: name for quantity, name in names.items() if quantity == "time"}
        found = {
            quantity: Column(name, factor_of(name, quantity))
            for quantity, name in names.items()
            if quantity not in told
        }
        found.update(told)
        if "time" not in found:
            raise TraceError(
                f"no column holds the time; name one of {', '.join(table.header)} with --column time=COLUMN"
            )
        source = f"external CSV ({', '.join(f'{key} from {column.name}' for key, column in found.items())})"
        return electric(table, hints, source, **found)


def _by_name(table: Table) -> dict[str, str]:
    """Return the name of the first column of each quantity."""
    found: dict[str, str] = {}
    for name in table.header:
        words = name.lower().replace("(", " ").replace("[", " ").replace("_", " ").replace("/", " ").split()
        for quantity, known in _NAMES.items():
            if words and words[0] in known and quantity not in found:
                found[quantity] = name
    return found
