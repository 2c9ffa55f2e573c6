"""A load of known times, to be found again in a recording of the power: ``python -m edge_client.marker``.

Three stretches of two seconds in which one core is busy, one second and three seconds apart. The unequal pauses make it
fit in one place only. It prints when it began, for ``pocketfleet energy attach --marker-at``.
"""

from __future__ import annotations

import sys
import time
from typing import Callable

__all__ = ["MARKER", "QUIET_S", "play"]

MARKER = ((0.0, 2.0), (3.0, 5.0), (8.0, 10.0))
"""Start and end of each busy stretch, in seconds from the marker's beginning."""
QUIET_S = 3.0
"""Nothing is done for so long before and after it."""


def play(
    *,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Be quiet, play the marker, be quiet; return the Unix time at which it began."""
    sleep(QUIET_S)
    began_at, start = wall(), clock()
    for busy_from, busy_until in MARKER:
        sleep(max(0.0, start + busy_from - clock()))
        while clock() - start < busy_until:
            sum(range(1000))
    sleep(QUIET_S)
    return began_at


def main() -> int:
    """Play the marker and print when it began."""
    if len(sys.argv) > 1:
        print("usage: python -m edge_client.marker (takes no arguments; lasts 16 s)", file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    print(f"marker-at: {play():.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
