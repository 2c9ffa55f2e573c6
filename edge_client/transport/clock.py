"""The server's time, as far as a client with a wrong clock can know it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Optional

__all__ = ["ServerClock"]

_TOLERANCE_S = 2.0
"""Offsets below this are noise: the ``Date`` header has whole seconds and travels for a while."""


class ServerClock:
    """Seconds since the epoch as the server counts them.

    A signed request is accepted when its timestamp lies between 305 s before and 5 s after the server's time, and
    phones and boards without a battery-backed clock are easily wrong by hours. Every answer carries the server's
    ``Date``; rounded down to a second it errs to the safe side.

    Parameters
    ----------
    local
        The device's own clock, in seconds since the epoch.
    """

    def __init__(self, local: Callable[[], float] = time.time) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._offset_s = 0.0

    @property
    def offset_s(self) -> float:
        """What to add to the device's clock to get the server's."""
        return self._offset_s

    def now(self) -> float:
        """Tell the server's time in seconds since the epoch."""
        return self._local() + self._offset_s

    def timestamp(self) -> str:
        """Tell the server's time as ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.now(), timezone.utc).isoformat()

    def observe(self, date_header: Optional[str]) -> bool:
        """Compare with a ``Date`` header and say whether the clock had to be set."""
        if not date_header:
            return False
        try:
            server = parsedate_to_datetime(date_header).timestamp()
        except (TypeError, ValueError, OverflowError, IndexError):
            return False
        with self._lock:
            # The header says only which second it is: the server's clock lies in [server, server + 1).
            behind = self._local() + self._offset_s - server
            if -_TOLERANCE_S < behind < 1 + _TOLERANCE_S:
                return False
            self._offset_s = server - self._local()
            return True
