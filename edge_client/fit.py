"""Local training: epochs in a reproducible order, with the cutoff time of the on-device paper.

Mathur et al., "On-device Federated Learning with Flower" (2021), section 5: a device is given a cutoff τ "after which
it must send its model parameters to the server, irrespective of whether it has finished its local epochs or not".
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np

from edge_client.errors import DataError, DivergedError

if TYPE_CHECKING:
    from edge_client.data import Dataset
    from edge_client.trainer import Trainer

__all__ = ["FitResult", "batches", "fit"]


@dataclass(frozen=True)
class FitResult:
    """What local training did.

    Attributes
    ----------
    loss
        Mean loss over the examples processed.
    examples_processed, steps, planned_steps
        Work done and planned; ``steps < planned_steps`` means that the cutoff struck.
    train_s, features_s
        Seconds in all, and the part of them spent on the features of the frozen base.
    """

    loss: float
    examples_processed: int
    steps: int
    planned_steps: int
    train_s: float
    features_s: float

    @property
    def cut_off(self) -> bool:
        """Whether the cutoff struck."""
        return self.steps < self.planned_steps


def batches(count: int, batch_size: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the indices of each batch: every epoch is a permutation of all samples, the last batch may be smaller.

    The order depends on the arguments alone, on every platform.
    """
    for epoch in range(epochs):
        order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)
        for start in range(0, count, batch_size):
            yield order[start : start + batch_size]


def fit(
    trainer: Trainer,
    dataset: Dataset,
    epochs: int,
    *,
    learning_rate: float,
    steps: int = 0,
    cut: Optional[str] = None,
    mu: float = 0.0,
    seed: int = 0,
    cutoff_s: Optional[float] = None,
    cache_features: bool = True,
    on_step: Optional[Callable[[int, int], None]] = None,
    clock: Callable[[], float] = time.monotonic,
) -> FitResult:
    """Train on all samples for some epochs, or until the cutoff.

    A step that would end after the cutoff, judged by the longest step so far, is not begun; the first step always is,
    so that a device returns some work however short its cutoff. Where a frozen base feeds the trained part, its
    features are computed once and reused in every epoch and every later call with the same dataset.

    Parameters
    ----------
    trainer
        The model; its weights are changed.
    dataset
        Samples; batches are of the bundle's batch size.
    epochs
        Local epochs E.
    learning_rate
        Of every step.
    steps
        So many steps instead, however many epochs they are; 0: ``epochs`` decides.
    cut
        Train only from this layer on; None trains all that the bundle trains.
    mu
        FedProx's μ; 0 for none.
    seed
        Natural number; decides the order of the samples and the dropout masks.
    cutoff_s
        Seconds from the start of this call; None or 0 for no cutoff.
    cache_features
        Keep the features of a frozen base: a dataset's samples times the features' size in float32. False computes
        them anew in every step, for devices that lack the memory.
    on_step
        Called with steps done and planned after each step.
    clock
        Seconds that never go back.

    Raises
    ------
    DataError
        There are no samples.
    DivergedError
        The loss is infinite or NaN; the weights are of no use.
    ValueError
        ``epochs``, ``learning_rate`` or ``cut`` make no sense.
    """
    if not len(dataset):
        raise DataError(f"{dataset.name}: no samples to train on")
    if min(epochs, steps) < 0 or not np.isfinite(learning_rate) or learning_rate < 0:
        length = f"{steps} steps" if steps else f"{epochs} epochs"
        raise ValueError(f"cannot train for {length} with learning rate {learning_rate}")
    start = clock()
    trainer.train_signature(cut)  # An unknown cut is refused before any work.
    cached = cache_features and trainer.has_features
    features = trainer.cached_features(dataset) if cached else None
    features_s = clock() - start
    spec, batch_size = trainer.manifest.input, trainer.batch_size
    per_epoch = -(-len(dataset) // batch_size)
    planned = steps or epochs * per_epoch
    done = processed = 0
    total_loss = longest_s = 0.0
    began = clock()
    for rows in islice(batches(len(dataset), batch_size, -(-planned // per_epoch), seed), planned):
        if cutoff_s and done and began + longest_s - start > cutoff_s:
            break
        y, step_seed = dataset.y[rows], (seed * 1_000_003 + done) % 2**31
        if features is not None:
            loss = trainer.train_features(features[rows], y, learning_rate, cut, mu=mu, seed=step_seed)
        else:
            loss = trainer.train_step(dataset.batch(rows, spec), y, learning_rate, cut, mu=mu, seed=step_seed)
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} at step {done + 1} of {planned}, with learning rate {learning_rate:g}; "
                "a lower one may help"
            )
        done += 1
        processed += len(rows)
        total_loss += loss * len(rows)
        ended = clock()
        longest_s, began = max(longest_s, ended - began), ended
        if on_step is not None:
            on_step(done, planned)
    return FitResult(
        total_loss / processed if processed else 0.0, processed, done, planned, clock() - start, features_s
    )
