"""When a device did what in a run, on the server's clock, as well as the run's rows tell.

The server writes down when it began to ask and when it saw each answer; the device, how long it fetched, prepared,
trained, sent and evaluated. So the work is placed backwards from the answer:

``… wait | download | prepare | train | prepare | upload | wait | download | evaluate | …``

How much of ``prepare`` came before the training is not told (half of it is taken), nor how long an answer lay there
before the server looked (half of what the device's times leave open, up to twice 0.125 s). What may be off by this is
each phase's ``slack_s``. Of an evaluation nothing of the preparing is told; it is taken for half of a training's, as it
only sets weights. Runs of older versions do not tell its download either, which counts as waiting there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from python_server.run_rows import (
    EVALUATION_ANSWERED,
    EVALUATION_DOWNLOAD,
    EVALUATION_STARTED,
    TRAINING_STARTED,
    DeviceRoundRow,
    MeasurementRow,
    RoundRow,
)

__all__ = ["DevicePhase", "device_phases"]

_LATEST_LOOK_S = 0.25
"""The server looks for answers at least so often (`python_server.exchange`)."""
_CLOCK_TOLERANCE = 0.05
"""A device's clock may run so much faster or slower than the server's before its times are not believed."""

_Moments = dict[tuple[int, str, str], float]
"""Unix times, and seconds of downloads, by round, device (empty: all) and quantity."""


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
    device: str,
    rounds: Iterable[RoundRow],
    device_rounds: Sequence[DeviceRoundRow],
    measurements: Iterable[MeasurementRow] = (),
) -> list[DevicePhase]:
    """Return a device's phases in order of time; waiting may come in several parts a round.

    Parameters
    ----------
    device
        Its id.
    rounds, device_rounds, measurements
        The run's, in order. Runs of older versions lack the measurements with the times at which exchanges began; then
        these are found from the round's end, with more slack.
    """
    moments = {
        (row.round, row.device, row.quantity): row.value
        for row in measurements
        if row.quantity in (TRAINING_STARTED, EVALUATION_STARTED, EVALUATION_ANSWERED, EVALUATION_DOWNLOAD)
    }
    by_round: dict[int, list[DeviceRoundRow]] = {}
    for row in device_rounds:
        by_round.setdefault(row.round, []).append(row)
    phases: list[DevicePhase] = []
    for round_row in rounds:
        rows = by_round.get(round_row.round, [])
        mine = next((row for row in rows if row.device == device and row.replied_after_s is not None), None)
        if mine is None or mine.train_s is None:
            continue
        work = _trained(mine, *_exchange_start(round_row, rows, moments))
        evaluation = _evaluated(mine, moments)
        for phase in work + evaluation:
            # Between tasks the device waits; between the parts of one it prepares, which is no phase.
            before = phases[-1] if phases else None
            begins = phase in (work[0], *evaluation[:1])
            if before is not None and begins and before.end_at < phase.start_at:
                slack_s = max(before.slack_s, phase.slack_s)
                phases.append(DevicePhase(phase.round, "wait", before.end_at, phase.start_at, slack_s, phase.problem))
            phases.append(phase)
        if not evaluation and round_row.client_loss is not None:
            # It evaluated, but nobody knows when: what comes before the round's end is no waiting.
            ended_at = max(phases[-1].end_at, round_row.started_at + round_row.wall_s)
            phases.append(DevicePhase(mine.round, "evaluate", ended_at, ended_at, 0.0))
    return [phase for phase in phases if phase.seconds > 0]


def _exchange_start(row: RoundRow, device_rounds: Sequence[DeviceRoundRow], moments: _Moments) -> tuple[float, float]:
    """Return the Unix time that the ``…_after_s`` of a round's training count from, and by how much it may be off."""
    known = moments.get((row.round, "", TRAINING_STARTED))
    if known is not None:
        return known, 0.0
    train_end_at = row.started_at + row.wall_s - row.evaluate_s
    last_read_s = max((each.read_after_s for each in device_rounds if each.read_after_s is not None), default=None)
    if last_read_s is None or any(each.outcome == "late" for each in device_rounds):
        return train_end_at - row.train_phase_s, _LATEST_LOOK_S + row.aggregate_s
    return train_end_at - last_read_s, _LATEST_LOOK_S + row.aggregate_s


def _trained(row: DeviceRoundRow, zero_at: float, zero_slack_s: float) -> list[DevicePhase]:
    """Return the phases of a training task that was answered."""
    assert row.replied_after_s is not None
    prepare_s, train_s, download_s = row.prepare_s or 0.0, row.train_s or 0.0, row.download_s or 0.0
    spare_s = row.replied_after_s - (row.sent_after_s or 0.0) - prepare_s - train_s - download_s
    problem = ""
    if spare_s < -_CLOCK_TOLERANCE * row.replied_after_s - _LATEST_LOOK_S:
        problem = f"the device says that it worked {-spare_s:.1f} s longer than the server waited: its clock jumped"
    looked_s = min(max(spare_s, 0.0), _LATEST_LOOK_S) / 2
    answer_at = zero_at + row.replied_after_s - looked_s
    train_end_at = answer_at - prepare_s / 2
    train_start_at = train_end_at - train_s
    download_end_at = train_start_at - prepare_s / 2
    slack_s = prepare_s / 2 + looked_s + zero_slack_s
    phases = [
        DevicePhase(row.round, "download", download_end_at - download_s, download_end_at, slack_s, problem),
        DevicePhase(row.round, "train", train_start_at, train_end_at, slack_s, problem),
    ]
    if row.upload_s is not None:
        sent_at = answer_at + row.upload_s
        phases.append(DevicePhase(row.round, "upload", answer_at, sent_at, looked_s + zero_slack_s))
    return phases


def _evaluated(row: DeviceRoundRow, moments: _Moments) -> list[DevicePhase]:
    """Return the phases of an evaluation that was answered."""
    answered_at = moments.get((row.round, row.device, EVALUATION_ANSWERED))
    started_at = moments.get((row.round, "", EVALUATION_STARTED))
    if answered_at is None or started_at is None or row.evaluate_s is None:
        return []
    download_s = moments.get((row.round, row.device, EVALUATION_DOWNLOAD), 0.0)
    spare_s = answered_at - started_at - row.evaluate_s - download_s
    problem = ""
    if spare_s < -_CLOCK_TOLERANCE * (answered_at - started_at) - _LATEST_LOOK_S:
        problem = f"the device says that it evaluated {-spare_s:.1f} s longer than the server waited: its clock jumped"
    looked_s = min(max(spare_s, 0.0), _LATEST_LOOK_S) / 2
    end_at = answered_at - looked_s
    found = [DevicePhase(row.round, "evaluate", end_at - row.evaluate_s, end_at, looked_s, problem)]
    if download_s:
        prepare_s = min((row.prepare_s or 0.0) / 2, max(spare_s - looked_s, 0.0))
        until = end_at - row.evaluate_s - prepare_s
        found.insert(
            0, DevicePhase(row.round, "download", until - download_s, until, looked_s + prepare_s / 2, problem)
        )
    return found
