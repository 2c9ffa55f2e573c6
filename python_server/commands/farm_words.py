"""What ``pocketfleet farm`` says about phones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from deployment.device_farm import FarmRecord, PhoneRun

__all__ = ["Percent", "phone_line", "summary", "table"]

_WORDS = {
    "PENDING": "waits",
    "PENDING_CONCURRENCY": "waits for another of the account's phones to end",
    "PENDING_DEVICE": "waits for a free phone of its model",
    "PROCESSING": "is checked",
    "SCHEDULING": "is scheduled",
    "PREPARING": "is prepared",
    "RUNNING": "runs",
    "STOPPING": "stops",
}
_RESULTS = {
    "PASSED": "done",
    "WARNED": "done, with warnings",
    "FAILED": "failed",
    "SKIPPED": "was skipped",
    "ERRORED": "broke at Device Farm",
    "STOPPED": "was stopped",
}


def phone_line(phone: PhoneRun) -> str:
    """Return one line: the phone, its model, its state, why."""
    if not phone.scheduled:
        state = "not scheduled"
    elif phone.ended:
        state = f"{_RESULTS.get(phone.result, phone.result.lower())} after {phone.minutes:g} device-minutes"
    else:
        state = _WORDS.get(phone.status, phone.status.lower())
    return f"{phone.name} ({phone.device_name}): {state}{f': {phone.message}' if phone.message else ''}"


def summary(record: FarmRecord) -> str:
    """Return a line for each phone and one for all."""
    lines = [phone_line(phone) for phone in record.phones]
    ended = sum(phone.ended for phone in record.phones)
    minutes = sum(phone.minutes for phone in record.phones)
    return "\n".join([*lines, f"{ended} of {len(record.phones)} ended, {minutes:g} device-minutes so far"])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, each as wide as its longest text."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in [heads, *rows]]
    return "\n".join(lines)


class Percent:
    """Progress of a transfer on a terminal, in place; silent elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out if out.isatty() else None
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        """Show how much of ``total`` bytes is done."""
        share = 100 * done // total if total else 100
        if self._out is not None and share != self._last:
            self._last = share
            self._out.write(f"\r{share:3d} %" + ("\n" if share == 100 else ""))
            self._out.flush()
