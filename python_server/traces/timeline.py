"""When a device did what in a run, on the server's clock, as well as the run's rows tell.

The server writes down when an exchange ended and, from its start, when each answer was announced; the device, how
long it fetched, prepared, trained and sent. So the work is placed backwards from the answer's announcement:

``… wait | download | prepare | train | prepare | upload``

How much of ``prepare`` came before the training is not told, and the server looks for answers only now and then. What
may be off by this is each phase's ``slack_s``. When a device evaluated within the evaluation of a round is not told
at all, so evaluation has no span here, and waiting for it is not counted as waiting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from python_server.run_rows import DeviceRoundRow, RoundRow

__all__ = ["DevicePhase", "device_phases"]

_LATEST_LOOK_S = 0.25
"""The server looks for answers at least so often (`python_server.exchange`)."""
_CLOCK_TOLERANCE = 0.05
"""A device's clock may run so much faster or slower than the server's before its times are not believed."""


@dataclass(frozen=True)
class DevicePhase:
    """A stretch of a device's time.

    Attributes
    ----------
    round, phase
        Where it belongs; the phase is one of `python_server.run_rows.ENERGY_PHASES`.
    start_at, end_at
        Unix time by the server's clock.
    slack_s
        By how much either end may be off.
    problem
        Why it cannot be believed; empty: it can.
    """

    round: int
    phase: str
    start_at: float
    end_at: float
    slack_s: float
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_at - self.start_at


def device_phases(
    device: str, rounds: Iterable[RoundRow], device_rounds: Sequence[DeviceRoundRow]
) -> list[DevicePhase]:
    """Return a device's phases in order of time.

    Parameters
    ----------
    device
        Its id.
    rounds, device_rounds
        The run's, in order.
    """
    by_round: dict[int, list[DeviceRoundRow]] = {}
    for row in device_rounds:
        by_round.setdefault(row.round, []).append(row)
    phases: list[DevicePhase] = []
    free_at = -math.inf  # since when it has nothing to do; before the first round that is not known
    for round_row in rounds:
        rows = by_round.get(round_row.round, [])
        mine = next((row for row in rows if row.device == device and row.replied_after_s is not None), None)
        if mine is not None and mine.train_s is not None:
            work = _work(round_row, mine, exchange_start(round_row, rows))
            if math.isfinite(free_at) and free_at < work[0].start_at:
                phases.append(DevicePhase(mine.round, "wait", free_at, work[0].start_at, work[0].slack_s))
            phases += work
            free_at = work[-1].end_at
            if round_row.client_loss is not None:
                free_at = max(free_at, round_row.started_at + round_row.wall_s)
    return phases


def exchange_start(row: RoundRow, device_rounds: Iterable[DeviceRoundRow]) -> float:
    """Return the Unix time that ``sent_after_s``, ``replied_after_s`` and ``read_after_s`` of a round count from.

    It lies between the start of the training phase and the moment from which the last answer was read at its end. Where
    an answer was late, the exchange lasted longer than any answer tells.
    """
    train_end_at = row.started_at + row.wall_s - row.evaluate_s
    rows = list(device_rounds)
    last_read_s = max((each.read_after_s for each in rows if each.read_after_s is not None), default=None)
    if last_read_s is None or any(each.outcome == "late" for each in rows):
        return train_end_at - row.train_phase_s
    return train_end_at - last_read_s


def _work(round_row: RoundRow, row: DeviceRoundRow, zero_at: float) -> list[DevicePhase]:
    """Return the phases of a task that was answered."""
    assert row.replied_after_s is not None
    prepare_s, train_s, download_s = row.prepare_s or 0.0, row.train_s or 0.0, row.download_s or 0.0
    spare_s = row.replied_after_s - (row.sent_after_s or 0.0) - prepare_s - train_s - download_s
    problem = ""
    if spare_s < -_CLOCK_TOLERANCE * row.replied_after_s - _LATEST_LOOK_S:
        problem = f"the device says that it worked {-spare_s:.1f} s longer than the server waited: its clock jumped"
    looked_s = min(max(spare_s, 0.0), _LATEST_LOOK_S)
    slack_s = prepare_s / 2 + looked_s + round_row.aggregate_s
    answer_at = zero_at + row.replied_after_s
    train_end_at = answer_at - prepare_s / 2
    train_start_at = train_end_at - train_s
    download_end_at = train_start_at - prepare_s / 2
    phases = [
        DevicePhase(row.round, "download", download_end_at - download_s, download_end_at, slack_s, problem),
        DevicePhase(row.round, "train", train_start_at, train_end_at, slack_s, problem),
    ]
    if row.upload_s is not None:
        slack_s = looked_s + round_row.aggregate_s
        phases.append(DevicePhase(row.round, "upload", answer_at, answer_at + row.upload_s, slack_s))
    return phases
