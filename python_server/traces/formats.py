"""The formats of recordings that can be read, and which one a file is of."""

from __future__ import annotations

from pathlib import Path

from python_server.errors import TraceError
from python_server.traces.format import Hints, TraceFormat
from python_server.traces.generic import Generic
from python_server.traces.joulescope import Joulescope
from python_server.traces.monsoon import Monsoon
from python_server.traces.otii import Otii
from python_server.traces.perfetto import PerfettoBattery, PerfettoRails
from python_server.traces.power_trace import PowerTrace

__all__ = ["FORMATS", "read_trace"]

FORMATS: dict[str, TraceFormat] = {
    each.name: each for each in (Monsoon(), Otii(), Joulescope(), PerfettoRails(), PerfettoBattery(), Generic())
}
"""By name; the first that recognises a file reads it."""

_HEAD_BYTES = 4096


def read_trace(path: Path, name: str = "", hints: Hints = Hints()) -> PowerTrace:  # noqa: B008 - it is frozen
    """Read a recording of power.

    Parameters
    ----------
    path
        The file.
    name
        Of the format, a key of `FORMATS`; empty: found out.
    hints
        What the user says about the file.

    Raises
    ------
    TraceError
        It is of no known format, or cannot be used; the text names the file.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        if not head:
            raise TraceError("it is empty")
        found = FORMATS[name] if name else _recognised(path, head, hints)
        return found.read(path, hints)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None


def _recognised(path: Path, head: bytes, hints: Hints) -> TraceFormat:
    if hints.columns:
        return FORMATS[Generic.name]
    for each in FORMATS.values():
        if each.recognises(path, head):
            return each
    raise TraceError(
        f"it is of none of the formats {', '.join(FORMATS)}; name CSV columns with --column, or give --format"
    )
