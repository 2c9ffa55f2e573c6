"""What an operation would do to a device: the same objects are printed by a dry run and carried out by a real one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

from deployment.connector import Progress, no_progress

__all__ = ["Report", "Step", "carry_out"]


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes
    ----------
    describe
        What it does, for people: an imperative without the device's name.
    apply
        Does it; may tell its progress in bytes, and returns the bytes of files that travelled.
    payload_bytes
        At most so many bytes travel.
    """

    describe: str
    apply: Callable[[Progress], int]
    payload_bytes: int = 0


@dataclass(frozen=True)
class Report:
    """What came of an operation's steps: how many were carried out, and how many bytes of files travelled."""

    steps: int = 0
    moved_bytes: int = 0


def carry_out(
    steps: Iterable[Step],
    *,
    begin: Callable[[Step], None] = lambda step: None,
    done: Callable[[Step, int], None] = lambda step, moved: None,
    progress: Progress = no_progress,
) -> Report:
    """Carry out steps in turn; the first failure ends it.

    Parameters
    ----------
    begin, done
        Called before and after every step; what ``begin`` raises ends it, too.
    progress
        Told the bytes of the step at work.
    """
    report = Report()
    for step in steps:
        begin(step)
        moved = step.apply(progress)
        done(step, moved)
        report = Report(report.steps + 1, report.moved_bytes + moved)
    return report
