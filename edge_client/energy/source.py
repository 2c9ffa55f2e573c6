"""What a meter asks of whatever can be read: one number at a time, and what is known of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Optional

__all__ = ["About", "Accuracy", "PowerSource", "ReadingError", "limit"]


class ReadingError(Exception):
    """A reading is missing; the message says why.

    Parameters
    ----------
    reason
        In words.
    excludes
        Whether no figure over this moment can be trusted, as when a battery is being charged. Otherwise one reading is
        missing, and coverage tells how many did.
    """

    def __init__(self, reason: str, *, excludes: bool = False) -> None:
        super().__init__(reason)
        self.excludes = excludes


@dataclass(frozen=True)
class Accuracy:
    """How far readings may be off, as standard uncertainties.

    Attributes
    ----------
    gain
        Relative.
    offset_w
        In watts, whatever the reading.
    origin
        Where the numbers come from.
    """

    gain: float
    offset_w: float
    origin: str


@dataclass(frozen=True)
class About:
    """What is known of a source.

    Attributes
    ----------
    kind
        Its name for ``--energy``.
    title
        What is read, in words.
    method, covers
        As in `edge_client.energy.Energy`.
    unit
        ``W``: a reading is the power now. ``J``: it is a counter that only grows.
    rate_hz
        How often to read; 0: only where an interval begins or ends.
    most_w
        More than this cannot be true.
    stuck_after_s
        The same reading for so long means that nothing measures any more.
    accuracy
        None: not known.
    idle_w
        Idle power where it is known beforehand, as in a model.
    """

    kind: str
    title: str
    method: str
    covers: str
    unit: str = "W"
    rate_hz: float = 10.0
    most_w: float = 500.0
    stuck_after_s: float = 10.0
    accuracy: Optional[Accuracy] = None
    idle_w: Optional[float] = None


class PowerSource(ABC):
    """Something that can be read.

    Attributes
    ----------
    about
        What is known of it.
    """

    about: About

    @abstractmethod
    def read(self) -> float:
        """Return watts or joules, as ``about.unit`` says.

        Raises
        ------
        ReadingError
            There is no reading now.
        """

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what it holds, such as a process."""

    def helpers_cpu_s(self) -> float:
        """Return the processor seconds of processes that it started: part of what reading costs."""
        return 0.0


def limit(most: float) -> float:
    """Return the standard uncertainty of an error that lies anywhere within ±``most``: ``most / √3`` (GUM, 4.3.7)."""
    return most / math.sqrt(3)
