"""Threads that share work on large arrays, a block at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["BLOCK", "Team"]

Piece = TypeVar("Piece")

BLOCK = 2**16
"""Coordinates handled at once: the block's float64 values stay in the processor's second-level cache."""


class Team:
    """The calling thread and some helpers, who take pieces of work from one pile.

    Nobody is given a share beforehand, so that on a busy machine nobody waits for a helper that is not let in.

    Parameters
    ----------
    helpers
        How many; 0: the calling thread works alone.
    """

    def __init__(self, helpers: int) -> None:
        self._pool = ThreadPoolExecutor(helpers, thread_name_prefix="aggregate") if helpers else None
        self._helpers = helpers

    def do(self, work: Callable[[Piece], None], pieces: Iterable[Piece]) -> None:
        """Work on all pieces; return when all are done."""
        pile = deque(pieces)

        def take() -> None:
            while True:
                try:
                    piece = pile.popleft()
                except IndexError:
                    return
                work(piece)

        futures = [self._pool.submit(take) for _ in range(self._helpers)] if self._pool else []
        take()
        for future in futures:
            if not future.cancel():
                future.result()

    def close(self) -> None:
        """Send the helpers home."""
        if self._pool is not None:
            self._pool.shutdown()
