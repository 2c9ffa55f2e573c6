"""The clock of a simulation: it stands still until somebody moves it."""

from __future__ import annotations

__all__ = ["VirtualClock"]


class VirtualClock:
    """Virtual seconds; a `python_server.tasks.Clock`.

    Parameters
    ----------
    began_at
        Unix time at virtual second 0.
    """

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._now = 0.0

    def monotonic(self) -> float:
        """Return the virtual second."""
        return self._now

    def time(self) -> float:
        """Return the virtual Unix time."""
        return self._began_at + self._now

    def sleep(self, seconds: float, /) -> None:
        """Let virtual time pass."""
        self._now += max(0.0, seconds)

    def advance_to(self, second: float) -> None:
        """Go on to a virtual second; never back."""
        self._now = max(self._now, second)
