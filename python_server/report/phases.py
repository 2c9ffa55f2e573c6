"""How a device's round divides into phases, and when each was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from python_server.report.charts import Segment
from python_server.run_rows import DeviceRoundRow, RoundRow

__all__ = ["PHASES", "TIMELINE_PARTS", "Timeline", "phase_seconds", "run_timeline"]

PHASES = ("download", "prepare", "train", "upload", "wait")
"""How a device's round divides: ``wait`` is the rest, polling and the server's own work."""

TIMELINE_PARTS = (*PHASES, "no answer in time", "refused or failed")

_MOST_BARS = 120_000
_FEWEST_LANES = 20


@dataclass(frozen=True)
class Timeline:
    """Bars by device over the whole run, in seconds from its first round.

    Attributes
    ----------
    lanes
        Bars by device's name.
    marks
        Where each round begins, with its number.
    end_s
        Where the last round ends.
    left_out, rounds_left_out
        Devices and rounds that are not drawn, as they would make the picture too large.
    """

    lanes: dict[str, list[Segment]]
    marks: list[tuple[float, str]]
    end_s: float
    left_out: int
    rounds_left_out: int


def phase_seconds(row: DeviceRoundRow) -> dict[str, float]:
    """Return how long each of `PHASES` took in one device's round; what was not reported counts as waiting."""
    download, prepare, train, upload = (
        row.download_s or 0.0,
        row.prepare_s or 0.0,
        row.train_s or 0.0,
        row.upload_s or 0.0,
    )
    end = row.read_after_s if row.read_after_s is not None else row.replied_after_s
    total = 0.0 if end is None else end - (row.sent_after_s or 0.0)
    wait = max(0.0, total - download - prepare - train - upload)
    return {"download": download, "prepare": prepare, "train": train, "upload": upload, "wait": wait}


def run_timeline(
    rounds: Sequence[RoundRow], by_round: Mapping[int, Sequence[DeviceRoundRow]], lanes: Mapping[str, str]
) -> Timeline:
    """Return the timeline of a run; pauses between its rounds, as after a resume, are left out.

    The server's clock says when a task was ready and its answer read; in between the device's own clock says how long
    each phase took, not when. So phases stand in their order and end with the answer; what is left comes first.

    Parameters
    ----------
    rounds
        All rounds.
    by_round
        Device rounds by round.
    lanes
        Names of devices by id, those first that are to be kept where there are too many.
    """
    trained = [row for row in rounds if row.round > 0]
    most = max(_FEWEST_LANES, _MOST_BARS // (len(PHASES) * max(1, len(trained))))
    kept = dict(list(lanes.items())[:most])
    shown = trained[-max(1, _MOST_BARS // (len(PHASES) * max(1, len(kept)))) :]
    drawn: dict[str, list[Segment]] = {name: [] for name in kept.values()}
    marks = []
    at = 0.0
    for row in shown:
        marks.append((at, str(row.round)))
        for each in by_round.get(row.round, ()):
            if each.device in kept and each.outcome != "skipped":
                drawn[kept[each.device]] += _bars(each, at, row.train_phase_s)
        at += row.wall_s
    return Timeline(drawn, marks, at, len(lanes) - len(kept), len(trained) - len(shown))


def _bars(row: DeviceRoundRow, at: float, train_phase_s: float) -> list[Segment]:
    start = at + (row.sent_after_s or 0.0)
    end = row.read_after_s if row.read_after_s is not None else row.replied_after_s
    if end is None or row.outcome not in ("ok", "partial"):
        part = "no answer in time" if row.outcome == "late" else "refused or failed"
        stop = at + (end if end is not None else train_phase_s)
        return [Segment(start, max(start, stop), part, f"{row.name}, round {row.round}: {row.reason or row.outcome}")]
    seconds = phase_seconds(row)
    bars = []
    for phase in ("wait", "download", "prepare", "train", "upload"):
        length = seconds[phase]
        if length > 0:
            bars.append(Segment(start, start + length, phase, f"{row.name}, round {row.round}: {phase} {length:.3g} s"))
            start += length
    return bars
