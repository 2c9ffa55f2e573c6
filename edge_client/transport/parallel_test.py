from __future__ import annotations

import threading
import time

import pytest

from edge_client.transport.parallel import MAX_AT_ONCE, Crew, at_once


@pytest.mark.parametrize("number", [0, 1, 2, 8, 50])
def test_results_come_in_order_and_not_too_many_at_once(number: int) -> None:
    lock, busy, most, most_ahead, taken = threading.Lock(), 0, 0, 0, 0

    def work(item: int) -> int:
        nonlocal busy, most, most_ahead
        with lock:
            busy += 1
            most, most_ahead = max(most, busy), max(most_ahead, item - taken)
        time.sleep(0.001 * (item % 3))
        with lock:
            busy -= 1
        return item * item

    crew = Crew()
    results = []
    for result in crew.in_order(work, range(number), at_once=4):
        results.append(result)
        taken += 1
    crew.dismiss()
    assert results == [item * item for item in range(number)]
    assert most <= 4
    assert most_ahead <= 4


def test_an_error_ends_it() -> None:
    done = []

    def work(item: int) -> None:
        done.append(item)
        if item == 3:
            raise KeyError(item)

    crew = Crew()
    with pytest.raises(KeyError):
        list(crew.in_order(work, range(1000), at_once=4))
    crew.dismiss()
    assert len(done) < 20


def test_large_objects_travel_alone() -> None:
    assert at_once(0) == at_once(1000) == MAX_AT_ONCE
    assert at_once(2 << 20) == 2
    assert at_once(5 << 20) == 1
