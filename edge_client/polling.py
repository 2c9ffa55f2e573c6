"""How often to ask the server for work when there is none."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

__all__ = ["AdaptivePoll"]

_SHARE = 0.1


class AdaptivePoll:
    """Waits that are a tenth of the time since something last happened, between two limits.

    Whatever a client waits for then comes at most a tenth later than it could have, whether the round takes half a
    second or a minute, and a fleet that waits for hours asks rarely. Spread by a fifth, so that clients do not ask in
    step.

    Parameters
    ----------
    shortest_s, longest_s
        The limits.
    """

    def __init__(
        self, shortest_s: float = 0.05, longest_s: float = 5.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._clock = clock
        self._active_at = clock()

    def active(self) -> None:
        """Something happened: ask often again."""
        self._active_at = self._clock()

    def wait_s(self) -> float:
        """How long to wait before asking again."""
        wait_s = min(max(_SHARE * (self._clock() - self._active_at), self._shortest_s), self._longest_s)
        return wait_s * random.uniform(0.8, 1.2)  # noqa: S311 (spreads load, protects nothing)
