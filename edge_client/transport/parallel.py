"""Several calls on the way at once, for messages of many small objects over a line that is long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Callable, Optional, TypeVar

__all__ = ["MAX_AT_ONCE", "Crew", "at_once"]

MAX_AT_ONCE = 8
_BYTES_ON_THE_WAY = 4 << 20

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def at_once(largest: int) -> int:
    """How many objects of up to this many bytes may be on the way at once: memory is scarce on small boards."""
    return max(1, min(MAX_AT_ONCE, _BYTES_ON_THE_WAY // max(largest, 1)))


class Crew:
    """Threads that make calls, started when they are first needed."""

    def __init__(self) -> None:
        self._pool: Optional[ThreadPoolExecutor] = None

    def in_order(self, work: Callable[[_Item], _Result], items: Sequence[_Item], *, at_once: int) -> Iterator[_Result]:
        """Yield the results in the order of the items, with up to `at_once` in work or waiting to be taken."""
        if at_once <= 1 or len(items) <= 1:
            yield from map(work, items)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="call")
        rest = iter(items)
        running: deque[Future[_Result]] = deque(self._pool.submit(work, item) for item in islice(rest, at_once))
        try:
            while running:
                result = running.popleft().result()
                running.extend(self._pool.submit(work, item) for item in islice(rest, 1))
                yield result
                del result
        finally:
            for future in running:
                future.cancel()

    def dismiss(self) -> None:
        """Let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
