"""Who a round waits for: devices whose answers come last, and what that costs the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Optional

from python_server.run_rows import DeviceRoundRow, RoundRow

__all__ = ["CLASSES", "Straggler", "answer_seconds", "slowness", "stragglers"]

CLASSES = (
    ("h0", "under 0.8 × the round's median"),
    ("h1", "0.8 to 1.25 ×"),
    ("h2", "1.25 to 2 ×"),
    ("h3", "over 2 ×"),
    ("h4", "late: no answer in time"),
    ("h5", "refused or failed"),
    ("h6", "not asked"),
)
"""How long a device took in a round beside the others: CSS class and words, for `charts.cells`."""

_BOUNDS = (0.8, 1.25, 2.0)


@dataclass(frozen=True)
class Straggler:
    """How one device kept pace.

    Attributes
    ----------
    median_s
        Median time from task ready to answer read, on the server's clock.
    relative
        That against the median of all devices' medians.
    last_in
        Rounds in which its answer was the last of at least two.
    waited_s
        What the rounds waited for it: where it was last, from the answer before its own; where it was late, an equal
        share of the time from the last answer to the round's end.
    answered, late, partial
        Rounds with an answer in time; without one; cut off before the plan was done.
    """

    device: str
    median_s: Optional[float]
    relative: Optional[float]
    last_in: int
    waited_s: float
    answered: int
    late: int
    partial: int


def answer_seconds(row: DeviceRoundRow) -> Optional[float]:
    """Return the time from task ready to answer read; None without an answer in time."""
    if row.read_after_s is None or row.outcome not in ("ok", "partial"):
        return None
    return row.read_after_s - (row.sent_after_s or 0.0)


def stragglers(
    rounds: Sequence[RoundRow], by_round: Mapping[int, Sequence[DeviceRoundRow]], names: Mapping[str, str]
) -> list[Straggler]:
    """Return all devices that were asked, those first for which rounds waited longest.

    Parameters
    ----------
    rounds
        All rounds.
    by_round
        Device rounds by round.
    names
        Names of devices by id.
    """
    waited: dict[str, float] = {}
    last: dict[str, int] = {}
    for row in rounds:
        rows = by_round.get(row.round, ())
        answers = sorted((r.read_after_s, r.device) for r in rows if r.read_after_s is not None)
        if len(answers) > 1:
            device = answers[-1][1]
            last[device] = last.get(device, 0) + 1
            waited[device] = waited.get(device, 0.0) + answers[-1][0] - answers[-2][0]
        late = [r.device for r in rows if r.outcome == "late" and r.read_after_s is None]
        if late and answers:
            for device in late:
                waited[device] = waited.get(device, 0.0) + max(0.0, row.train_phase_s - answers[-1][0]) / len(late)
    by_device: dict[str, list[DeviceRoundRow]] = {}
    for rows in by_round.values():
        for each in rows:
            if each.outcome != "skipped":
                by_device.setdefault(each.device, []).append(each)
    medians = {device: _median(map(answer_seconds, rows)) for device, rows in by_device.items()}
    usual = _median(medians.values())
    found = [
        Straggler(
            device=names.get(device, device),
            median_s=medians[device],
            relative=_ratio(medians[device], usual),
            last_in=last.get(device, 0),
            waited_s=waited.get(device, 0.0),
            answered=sum(row.outcome in ("ok", "partial") for row in rows),
            late=sum(row.outcome == "late" for row in rows),
            partial=sum(row.outcome == "partial" for row in rows),
        )
        for device, rows in by_device.items()
    ]
    return sorted(found, key=lambda each: (-each.waited_s, -each.late, each.device))


def slowness(rows: Sequence[DeviceRoundRow]) -> dict[str, int]:
    """Return the index into `CLASSES` by device, for the device rounds of one round."""
    usual = _median(map(answer_seconds, rows))
    found: dict[str, int] = {}
    for row in rows:
        taken = answer_seconds(row)
        if row.outcome == "late":
            found[row.device] = 4
        elif row.outcome in ("rejected", "error"):
            found[row.device] = 5
        elif row.outcome == "skipped":
            found[row.device] = 6
        elif taken is not None and usual:
            found[row.device] = sum(taken / usual > bound for bound in _BOUNDS)
    return found


def _median(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ratio(value: Optional[float], base: Optional[float]) -> Optional[float]:
    return value / base if value is not None and base else None
