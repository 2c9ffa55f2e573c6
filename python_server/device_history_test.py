from __future__ import annotations

from typing import Any

import pytest

from python_server.device_history import DeviceHistory
from python_server.run_rows import DeviceRoundRow
from python_server.store import Upload
from python_server.strategies import Device
from python_server.variants import Variant

DEVICE = Device("pi", "pi", "cpu", 10)


def a_row(step_s: float, *, number: int = 1, cut: str = "", submodel: str = "", **columns: Any) -> DeviceRoundRow:
    plan = {"cut": cut, "submodel": submodel}
    return DeviceRoundRow(number, "pi", "pi", "ok", plan=plan, train_s=10 * step_s, steps=10, **columns)


def test_steps_count_by_what_the_same_steps_cost_at_export(variants: dict[str, Variant]) -> None:
    history = DeviceHistory(variants)
    assert history.known(DEVICE).times_slower is None
    history.learn([a_row(0.48)])  # the whole model: 240 ms
    assert history.known(DEVICE).times_slower == pytest.approx(2)
    history.learn([a_row(0.16, cut="two", submodel="half"), a_row(8.0, cut="three", submodel="quarter")])
    # 2, 2 and 400: one slow round does not count for more than one.
    assert history.known(DEVICE).times_slower == pytest.approx(2)
    history.learn([a_row(0.24) for _ in range(4)])
    assert history.known(DEVICE).times_slower == pytest.approx(1), "the last five rounds"


def test_a_device_that_is_left_out_is_tried_again(variants: dict[str, Variant]) -> None:
    history = DeviceHistory(variants)
    history.learn([a_row(24)])
    for _ in range(10):
        history.learn([DeviceRoundRow(1, "pi", "pi", "skipped", "too slow")])
    assert history.known(DEVICE).times_slower == pytest.approx(100 * 0.9**10)


def test_what_tells_nothing_is_left_aside(variants: dict[str, Variant]) -> None:
    history = DeviceHistory(variants)
    history.learn([DeviceRoundRow(1, "pi", "pi", "late"), a_row(0.5, submodel="unknown")])
    history.learn([], [Upload(1, "pi", 0.0, 100), Upload(2, "pi", 2.0, None)])
    assert (history.known(DEVICE).times_slower, history.known(DEVICE).upload_mbps) == (None, None)
    stock = DeviceHistory({})
    stock.learn([a_row(0.5)])
    assert stock.known(DEVICE).times_slower is None


def test_uploads_are_learnt_as_they_are_told_and_from_the_store(variants: dict[str, Variant]) -> None:
    told, stored = DeviceHistory(variants), DeviceHistory(variants)
    told.learn([a_row(1)], [Upload(1, "pi", 2.0, 10**6)])
    stored.learn([a_row(1, upload_s=2.0, upload_bytes=10**6)])
    assert told.known(DEVICE) == stored.known(DEVICE)
    assert told.known(DEVICE).upload_mbps == pytest.approx(4)
