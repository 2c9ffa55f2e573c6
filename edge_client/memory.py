"""Giving memory back."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD = -3


def return_large_blocks(threshold: int = 1 << 20) -> None:
    """Make the C library return blocks of this size to the system as soon as they are freed.

    glibc does so only until the first one was freed; from then on it keeps the like of it for later, which on a small
    board is memory that other programs lack between rounds. Other C libraries are left alone.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, threshold)
