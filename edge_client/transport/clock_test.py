from __future__ import annotations

from datetime import datetime
from email.utils import formatdate

import pytest

from edge_client.transport.clock import ServerClock

NOON = 1_800_000_000.0


@pytest.mark.parametrize("wrong_by_s", [-86_400.0, -3600.0, -3.5, 3.5, 3600.0, 86_400.0 * 365])
def test_a_wrong_clock_is_set_from_the_servers_date(wrong_by_s: float) -> None:
    local = NOON + wrong_by_s
    clock = ServerClock(lambda: local)
    assert clock.observe(formatdate(NOON, usegmt=True))
    assert clock.now() == NOON
    assert datetime.fromisoformat(clock.timestamp()).timestamp() == NOON
    assert not clock.observe(formatdate(NOON, usegmt=True))


@pytest.mark.parametrize("wrong_by_s", [-1.5, 0.0, 0.99, 2.5])
def test_noise_is_left_alone(wrong_by_s: float) -> None:
    clock = ServerClock(lambda: NOON + wrong_by_s)
    assert not clock.observe(formatdate(NOON, usegmt=True))
    assert clock.offset_s == 0.0


def test_a_clock_that_jumps_is_set_again() -> None:
    local = NOON
    clock = ServerClock(lambda: local)
    assert not clock.observe(formatdate(NOON, usegmt=True))
    local += 7200
    assert clock.observe(formatdate(NOON, usegmt=True))
    assert clock.now() == NOON


@pytest.mark.parametrize("header", [None, "", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT", "\x00", "0" * 500])
def test_a_header_that_is_no_date_changes_nothing(header: str | None) -> None:
    clock = ServerClock(lambda: NOON)
    assert not clock.observe(header)
    assert clock.now() == NOON
