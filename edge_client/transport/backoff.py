"""How long to wait before trying again, and for how long to go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Optional

__all__ = ["Backoff"]


class Backoff:
    """Waits that double up to a cap, spread by jitter so that a fleet does not come back in step.

    Parameters
    ----------
    first_s, cap_s
        The first wait and the longest one, in seconds.
    give_up_after_s
        Seconds from the first failure after which there is no next wait; None: never.
    """

    def __init__(
        self,
        *,
        first_s: float = 0.2,
        cap_s: float = 5.0,
        give_up_after_s: Optional[float] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._failures = 0
        self._since = clock()

    @property
    def failures(self) -> int:
        """How often in a row it went wrong."""
        return self._failures

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first failure in a row."""
        return self._clock() - self._since if self._failures else 0.0

    def success(self) -> None:
        """Start anew."""
        self._failures = 0

    def failure(self) -> Optional[float]:
        """Count a failure and return the seconds to wait, or None when it is time to give up."""
        if not self._failures:
            self._since = self._clock()
        self._failures += 1
        # 2**16 first waits are far beyond any cap; a bound keeps the power from overflowing.
        wait_s = min(self._first_s * 2.0 ** min(self._failures - 1, 16), self._cap_s)
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, protects nothing)
        if self._give_up_after_s is None:
            return wait_s
        left_s = self._give_up_after_s - self.elapsed_s
        return min(wait_s, left_s) if left_s > 0 else None
