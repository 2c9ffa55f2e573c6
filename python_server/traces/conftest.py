"""A run of two rounds on two devices, made of rows, and the power that one of them drew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from python_server.run_rows import TRAINING_STARTED, DeviceRoundRow, DeviceRow, MeasurementRow, RoundRow
from python_server.store import RoundCommit, RunStore

START_AT = 1_760_000_000.0
"""When the first round began."""
ROUND_S = (20.0, 26.0)
"""Lengths of the rounds; they differ, so that a trace fits in one place only."""
IDLE_W, FETCH_W, TRAIN_W = 2.0, 3.0, 6.0


def train_spans() -> list[tuple[float, float]]:
    """Return when ``pi`` trained."""
    return [(START_AT + 5.0, START_AT + 11.0), (START_AT + 20.0 + 5.0, START_AT + 20.0 + 15.0)]


def make_run(path: Path) -> Path:
    """Make a run whose exchanges begin a second after its rounds; ``pi`` fetches from 2 to 4 s, trains from 5 s on."""
    store = RunStore.create(path, b"", {"name": "x"})
    devices = [DeviceRow(f"sha256:{name}", name, "cpu", True, 0.0, 0.0) for name in ("pi", "other")]
    begin = START_AT
    for number, (wall_s, (start, end)) in enumerate(zip(ROUND_S, train_spans()), 1):
        train_s = end - start
        replied_s = (
            4.0 + train_s + 1.05
        )  # of two seconds of preparing one comes after, and 0.05 s until the server looks
        rows = [
            DeviceRoundRow(
                number,
                device.device,
                device.name,
                "ok",
                download_s=2.0,
                prepare_s=2.0,
                train_s=train_s,
                upload_s=1.5,
                sent_after_s=0.95,
                replied_after_s=replied_s,
                read_after_s=replied_s + 1.5,
            )
            for device in devices
        ]
        last_read_s = replied_s + 1.5
        evaluate_s = wall_s - 1.0 - last_read_s
        row = RoundRow(
            round=number,
            seed=1,
            started_at=begin,
            wall_s=wall_s,
            train_phase_s=last_read_s,
            aggregate_s=0.0,
            evaluate_s=evaluate_s,
            asked=2,
            used=2,
            weight=2,
            weights_file="",
            weights_sha256="",
        )
        moment = MeasurementRow(number, "", TRAINING_STARTED, begin + 1.0, "s", "server's clock", "measured")
        weights = {"w": np.zeros(1, np.float32)}
        store.commit(RoundCommit(row, weights, devices=devices, device_rounds=rows, measurements=[moment]))
        begin += wall_s
    store.finish("finished")
    store.close()
    return path


def drawn_watts(times_s: np.ndarray) -> np.ndarray:
    """Return what ``pi`` drew at Unix times: idle, fetching and sending, training; and the noise of an instrument."""
    watts = np.full(len(times_s), IDLE_W)
    for start, end in train_spans():
        fetch = (times_s >= start - 3.0) & (times_s < start - 1.0)
        send = (times_s >= end + 1.0) & (times_s < end + 2.5)
        watts[fetch | send] = FETCH_W
        watts[(times_s >= start) & (times_s < end)] = TRAIN_W
    return watts + np.random.default_rng(0).normal(0, 1e-3, len(times_s))


def recorded(rate_hz: float = 100.0, before_s: float = 10.0, after_s: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Return Unix times and watts of a recording from before the run until after it."""
    end_at = START_AT + sum(ROUND_S) + after_s
    times = np.arange(START_AT - before_s, end_at, 1.0 / rate_hz)
    return times, drawn_watts(times)
