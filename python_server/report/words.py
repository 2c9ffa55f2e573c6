"""Figures as people read them, and axes in a unit that suits the values."""

from __future__ import annotations

import time
from typing import Optional

__all__ = ["bytes_text", "joules", "number", "seconds", "share", "signed_percent", "unit_for", "when"]

_UNITS = {
    "s": ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days")),
    "J": ((1.0, "joules"), (1e3, "kilojoules"), (1e6, "megajoules")),
    "B": ((1.0, "bytes"), (1e3, "kilobytes"), (1e6, "megabytes"), (1e9, "gigabytes")),
}


def unit_for(most: float, quantity: str) -> tuple[float, str]:
    """Return the divisor and the name of the unit in which ``most`` is at least three.

    Parameters
    ----------
    most
        The largest value, in seconds, joules or bytes.
    quantity
        ``s``, ``J`` or ``B``.
    """
    fitting = [each for each in _UNITS[quantity] if most >= 3 * each[0]]
    return fitting[-1] if fitting else _UNITS[quantity][0]


def seconds(value: Optional[float]) -> str:
    """Return a time; from two minutes on in minutes, from two hours on in hours."""
    if value is None:
        return "–"
    if value == 0:
        return "0 s"
    if value >= 7200:
        return f"{value / 3600:.1f} h"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def bytes_text(value: Optional[float]) -> str:
    """Return a size in decimal units."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def joules(value: Optional[float]) -> str:
    """Return an energy."""
    if value is None:
        return "–"
    return f"{value / 1000:.2f} kJ" if abs(value) >= 1000 else f"{value:.3g} J"


def share(value: Optional[float]) -> str:
    """Return an accuracy."""
    return "–" if value is None else f"{value:.3f}"


def number(value: Optional[float]) -> str:
    """Return any other figure."""
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def signed_percent(value: Optional[float]) -> str:
    """Return a relative difference, ``0.1`` as ``+10 %``."""
    return "–" if value is None else f"{100 * value:+.0f} %"


def when(value: float) -> str:
    """Return Unix time as date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
