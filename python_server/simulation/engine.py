"""What trains and evaluates in place of the devices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_client.data import Dataset

__all__ = ["Engine", "TrainResult", "TrainTask", "steps_until_cutoff"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class TrainTask:
    """Local training of one client.

    Attributes
    ----------
    rows
        Which samples of the engine's data are the client's, ``int64 [n]``.
    weights
        By variable path; tasks of one round share them.
    epochs, learning_rate, cut, mu, seed
        As `edge_client.fit.fit` takes them.
    steps
        Steps to do: fewer than the epochs have where the cutoff strikes.
    """

    rows: np.ndarray
    weights: Arrays
    epochs: int
    steps: int
    learning_rate: float
    cut: str = ""
    mu: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What came of it.

    Attributes
    ----------
    weights
        What training changes, by variable path.
    loss
        Mean over the examples processed.
    examples_processed
        How many went through a step.
    problem
        What went wrong, in words; empty if nothing.
    """

    weights: Arrays
    loss: float
    examples_processed: int
    problem: str = ""


class Engine(Protocol):
    """Trains clients, one after the other or many at once."""

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order; tasks are taken as they are needed."""

    def evaluate(self, weights: Arrays, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy."""


def steps_until_cutoff(planned: int, step_s: float, cutoff_s: float) -> int:
    """Return how many steps a client does before its cutoff, by the rule of `edge_client.fit.fit`.

    A step that would end after the cutoff is not begun; the first always is.

    Parameters
    ----------
    planned
        Steps of all epochs.
    step_s
        What each takes.
    cutoff_s
        Seconds from the start of training; 0: none.
    """
    if not cutoff_s:
        return planned
    return min(planned, max(1, math.floor(cutoff_s / step_s + 1e-9)))
