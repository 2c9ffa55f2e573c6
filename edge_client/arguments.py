"""Numbers on a command line, and what is said of one that is none, or out of range."""

from __future__ import annotations

import argparse
import math
from typing import Callable

__all__ = ["number", "whole"]


def whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number of at least ``least``, which is not negative, for argparse's ``type``."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return read


def number(*, least: float = -math.inf, above: float = -math.inf, most: float = math.inf) -> Callable[[str], float]:
    """Return what reads a finite number for argparse's ``type``.

    Parameters
    ----------
    least, above, most
        At least, more than, at most so much.
    """
    limits = [
        f"of at least {least:g}" if math.isfinite(least) else "",
        f"above {above:g}" if math.isfinite(above) else "",
        f"of at most {most:g}" if math.isfinite(most) else "",
    ]
    words = " and ".join(filter(None, limits))

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most and value > above):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {words}".rstrip())
        return value

    return read
