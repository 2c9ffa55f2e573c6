"""Child processes that cannot outlive us, however we end."""

from __future__ import annotations

import ctypes
import os
import signal

__all__ = ["die_with_parent"]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded beforehand: between fork and exec a child must not import


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Parameters
    ----------
    parent
        Process id of the parent; if it is gone already, this process ends at once.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)
