from __future__ import annotations

from edge_client.transport.backoff import Backoff


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_waits_double_up_to_the_cap_and_are_spread() -> None:
    backoff = Backoff(first_s=1.0, cap_s=8.0, clock=Time())
    waits = [backoff.failure() for _ in range(100)]
    for wait, longest in zip(waits, [1.0, 2.0, 4.0, *[8.0] * 97]):
        assert wait is not None
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == 100


def test_it_gives_up_in_time_and_not_before() -> None:
    time = Time()
    backoff = Backoff(first_s=1.0, cap_s=8.0, give_up_after_s=20.0, clock=time)
    time.now = 1000.0
    while (wait := backoff.failure()) is not None:
        time.now += wait
    assert time.now == 1020.0
    assert backoff.elapsed_s == 20.0


def test_success_starts_anew() -> None:
    time = Time()
    backoff = Backoff(first_s=1.0, give_up_after_s=5.0, clock=time)
    backoff.failure()
    time.now = 4.0
    backoff.success()
    assert backoff.elapsed_s == 0.0
    assert backoff.failures == 0
    wait = backoff.failure()
    assert wait is not None
    assert wait <= 1.0
