"""Read the columns of a CSV file that an instrument exported: which column is what, in which unit, and the numbers.

A header names quantity and unit: ``Time (s)``, ``Main(mA)``, ``power_mW``. Where it does not, or is wrong, the user
says so: ``time=Timestamp:ms``, ``watts=Power``, ``amps=-Main:mA`` (with a minus where the current is counted the
other way).
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from python_server.errors import TraceError

__all__ = ["QUANTITIES", "Column", "Table", "factor_of", "open_table", "parse_column"]

QUANTITIES = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0},
    "watts": {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "µW": 1e-6, "nW": 1e-9, "kW": 1e3},
    "amps": {"A": 1.0, "mA": 1e-3, "uA": 1e-6, "µA": 1e-6, "nA": 1e-9},
    "volts": {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6},
    "joules": {
        **{"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9, "kJ": 1e3, "Ws": 1.0, "mWs": 1e-3},
        **{"uWs": 1e-6, "µWs": 1e-6, "Wh": 3600.0, "mWh": 3.6, "uWh": 3.6e-3, "µWh": 3.6e-3, "kWh": 3.6e6},
    },
}
"""Quantities that a column may hold, and what one of each unit is in the first."""

_PLAIN = {
    "time": ("sec", "second", "seconds", "utc", "gmt", "local", "unix", "epoch", "iso 8601", "iso8601"),
    "watts": ("watt", "watts"),
    "amps": ("amp", "amps", "ampere", "amperes"),
    "volts": ("volt", "volts"),
    "joules": ("joule", "joules"),
}
"""What else may stand in brackets and means the first unit, or dates."""

_LEADING_LINES = 50
"""A header is among so many first lines."""


@dataclass(frozen=True)
class Column:
    """A column: its name in the header, and the factor to the quantity's own unit."""

    name: str
    factor: float = 1.0


@dataclass(frozen=True)
class Table:
    """A file whose header was found.

    Attributes
    ----------
    path
        The file.
    header
        The columns' names.
    skip
        Lines up to and with the header.
    delimiter
        Between two cells.
    """

    path: Path
    header: tuple[str, ...]
    skip: int
    delimiter: str

    def read(self, columns: Sequence[Column]) -> list[np.ndarray]:
        """Return columns as float64, shape ``[n]``, in their quantity's unit; an empty cell is NaN.

        Raises
        ------
        TraceError
            A cell is no number.
        """
        places = [self.header.index(column.name) for column in columns]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "loadtxt: input contained no data")
                values = np.loadtxt(
                    self.path,
                    delimiter=self.delimiter,
                    skiprows=self.skip,
                    usecols=places,
                    comments=None,
                    quotechar='"',
                    ndmin=2,
                    encoding="utf-8-sig",
                )
        except ValueError:  # empty cells, dates, decimal commas
            values = self._read_slowly(places)
        if not len(values):
            raise TraceError("it holds no readings")
        return [values[:, place] * column.factor for place, column in enumerate(columns)]

    def _read_slowly(self, places: Sequence[int]) -> np.ndarray:
        rows = []
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for number, cells in enumerate(csv.reader(file, delimiter=self.delimiter), 1):
                if number > self.skip and any(cell.strip() for cell in cells):
                    rows.append([self._number(cells, place, number) for place in places])
        return np.array(rows, np.float64).reshape(len(rows), len(places))

    def _number(self, cells: Sequence[str], place: int, line: int) -> float:
        text = cells[place].strip() if place < len(cells) else ""
        if not text:
            return float("nan")
        try:
            return float(text.replace(",", ".") if self.delimiter != "," else text)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            raise TraceError(f"line {line}, column '{self.header[place]}': {text[:30]!r} is no number") from None


def open_table(path: Path) -> Table:
    """Find the header of a CSV file: the first line of several cells, none a number, above a line that holds numbers.

    Raises
    ------
    TraceError
        There is none, or it is no text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line, _ in zip(file, range(_LEADING_LINES))]
    except UnicodeDecodeError:
        raise TraceError("it is no text; --format says what it is, if not CSV") from None
    for number, line in enumerate(lines, 1):
        delimiter = max(",;\t", key=line.count)
        names = _cells(line.lstrip("#"), delimiter)
        named = [name for name in names if name]
        below = next((_cells(after, delimiter) for after in lines[number:] if after.strip()), None)
        if len(named) < 2 or any(_is_number(name) for name in named):
            continue
        if below is None or (len(below) >= len(named) and any(_is_number(cell) for cell in below)):
            return Table(path, tuple(names), number, delimiter)
    raise TraceError("it has no line with the names of its columns, such as 'time,watts'")


def parse_column(text: str, header: Sequence[str]) -> tuple[str, Column]:
    """Read ``QUANTITY=[-]NAME[:UNIT]`` as a user writes it.

    Returns
    -------
    The quantity and the column.

    Raises
    ------
    TraceError
        No such quantity, column or unit.
    """
    quantity, _, rest = text.partition("=")
    if quantity not in QUANTITIES or not rest:
        raise TraceError(
            f"--column {text}: write QUANTITY=NAME or QUANTITY=NAME:UNIT; quantities: {', '.join(QUANTITIES)}"
        )
    sign = 1.0
    if rest not in header and rest.startswith("-"):
        sign, rest = -1.0, rest[1:]
    if rest in header:
        return quantity, Column(rest, sign * factor_of(rest, quantity))
    name, _, unit = rest.rpartition(":")
    if name not in header:
        raise TraceError(f"--column {text}: there is no such column; there are: {', '.join(filter(None, header))}")
    if unit not in QUANTITIES[quantity]:
        raise TraceError(f"--column {text}: {quantity} are in one of {', '.join(QUANTITIES[quantity])}")
    return quantity, Column(name, sign * QUANTITIES[quantity][unit])


def factor_of(name: str, quantity: str) -> float:
    """Return the factor of the unit in a column's name, as in ``Main(mA)`` or ``power_mW``; 1 where there is none.

    Raises
    ------
    TraceError
        Something in brackets is no unit of the quantity: taken for the usual one, it might be a wrong joule.
    """
    bracket = re.search(r"[(\[]([^)\]]*)[)\]]", name)
    found = bracket or re.search(r"[_\s/]([a-zA-Zµμ]+)$", name)
    text = found.group(1).strip().replace("μ", "µ") if found else ""
    units = QUANTITIES[quantity]
    factor = units.get(text) or {unit.lower(): factor for unit, factor in units.items()}.get(text)
    if factor is not None or not bracket or text.lower() in _PLAIN[quantity]:
        return factor or 1.0
    raise TraceError(
        f"column '{name}': '{text}' is no unit that is known here; say what it is: --column '{quantity}={name}:UNIT' "
        f"with one of {', '.join(units)}"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.strip("\r\n")], delimiter=delimiter), [])]


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
