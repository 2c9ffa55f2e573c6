from __future__ import annotations

from edge_client.polling import AdaptivePoll


def test_waits_follow_the_time_since_something_happened() -> None:
    now = 100.0
    poll = AdaptivePoll(0.05, 5.0, clock=lambda: now)
    for idle_s, expected_s in [(0.0, 0.05), (0.4, 0.05), (1.0, 0.1), (30.0, 3.0), (3600.0, 5.0)]:
        now = 100.0 + idle_s
        waits = [poll.wait_s() for _ in range(50)]
        assert all(0.79 * expected_s < wait < 1.21 * expected_s for wait in waits)
        assert len(set(waits)) == 50
    poll.active()
    assert poll.wait_s() < 0.07
