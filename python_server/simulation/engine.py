"""What trains and evaluates in place of the devices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_client.data import Dataset

__all__ = ["Arrays", "Engine", "TrainResult", "TrainTask", "astray", "steps_until_cutoff"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class TrainTask:
    """Local training of one client.

    Attributes
    ----------
    rows
        Which samples of the engine's data are the client's, ``int64 [n]``.
    weights
        What it begins with: every variable of its bundle by path. Tasks that begin alike share one object.
    epochs, learning_rate, cut, mu, seed
        As `edge_client.fit.fit` takes them.
    steps
        Steps to do: fewer than the epochs have where the cutoff strikes.
    bundle
        Hash of the bundle that the client holds; empty: the experiment's own.
    """

    rows: np.ndarray
    weights: Arrays
    epochs: int
    steps: int
    learning_rate: float
    cut: str = ""
    mu: float = 0.0
    seed: int = 0
    bundle: str = ""


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

    def evaluate(self, weights: Arrays, data: Dataset, bundle: str = "") -> tuple[float, float]:
        """Return mean loss and accuracy of a bundle's network, by its hash; empty: the experiment's own."""


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


def astray(weights: Arrays) -> str:
    """Tell, in a client's words, that the last step ruined the weights; empty if it did not."""
    for path, value in weights.items():
        if not np.isfinite(value).all():
            return f"training went astray: {path} holds values that are no numbers; a lower learning rate may help"
    return ""
