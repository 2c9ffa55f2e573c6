"""The one aggregator: a streaming weighted mean per coordinate, over whole or partial updates.

Each coordinate's sum is divided by the weight that really reached it, so an update may hold some of the variables, or
slices or masked parts of them; coordinates that nobody sent keep their global value. FedAvg (McMahan et al. 2017,
algorithm 1) is the case in which every update holds everything.

Sums are float64. A weight is a whole number (examples), so the product of weight and float32 value is exact (24 bits
times at most 29), and a sum of such products is exact too as long as a coordinate's values lie within a factor of about
2**15 of one another, as the values of one coordinate do that started from the same global one. The result therefore
does not depend on the order in which updates arrive, for all practical purposes; where rounding does happen, it happens
in the 53rd bit and hardly ever reaches the 24 bits of the result.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Optional, TypeVar, Union

import numpy as np

from python_server.errors import UpdateError

__all__ = ["Aggregator", "Index", "check_update"]

Index = Union[tuple[slice, ...], np.ndarray, tuple[np.ndarray, ...]]
"""Which part of a variable an update holds: slices, a boolean mask, or what `numpy.ix_` returns (no index twice)."""

Piece = TypeVar("Piece")

_BLOCK = 2**16
"""Coordinates handled at once: the block's float64 values stay in the processor's second-level cache."""
_SINGLE_THREADED = 2**19
"""Models with fewer coordinates are not worth a second thread."""


class Aggregator:
    """Sums updates as they come; holds two models' memory (three with partial updates) however many there are.

    Parameters
    ----------
    reference
        The global weights by variable path: shapes, dtypes, and the value of coordinates that nobody sends.

    Attributes
    ----------
    updates
        How many updates were added.
    weight
        The sum of their weights.
    """

    def __init__(self, reference: Mapping[str, np.ndarray]) -> None:
        self._reference = reference
        self._sums: dict[str, np.ndarray] = {}
        self._weights = dict.fromkeys(reference, 0)
        self._partial: dict[str, np.ndarray] = {}
        self.updates = 0
        self.weight = 0
        large = sum(array.size for array in reference.values()) >= _SINGLE_THREADED
        self._team = _Team(min(4, os.cpu_count() or 1) - 1 if large else 0)

    def __enter__(self) -> Aggregator:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._team.close()

    def add(
        self,
        update: Mapping[str, np.ndarray],
        weight: int,
        where: Optional[Mapping[str, Index]] = None,
        *,
        names: Optional[Collection[str]] = None,
    ) -> None:
        """Add an update.

        Parameters
        ----------
        update
            New values by variable path; any subset of the variables.
        weight
            A whole number from 1, such as the examples behind the update.
        where
            For variables of which the update holds only a part: which part.
        names
            The variables that the update has to hold, no more and no fewer; None allows any.

        Raises
        ------
        UpdateError
            Something does not fit; nothing was added.
        """
        if isinstance(weight, bool) or not isinstance(weight, (int, np.integer)) or weight < 1:
            raise UpdateError(f"weight {weight!r} is not a whole number from 1")
        where = where or {}
        check_update(update, self._reference, names=names, where=where, team=self._team)
        blocks: list[tuple[np.ndarray, np.ndarray]] = []
        for name, value in update.items():
            if name not in self._sums:
                self._sums[name] = np.zeros(self._reference[name].shape)
            if name in where:
                self._add_part(name, value, int(weight), where[name])
            else:
                self._weights[name] += int(weight)
                sums, values = self._sums[name].reshape(-1), np.ascontiguousarray(value).reshape(-1)
                starts = range(0, sums.size, _BLOCK)
                blocks += [(sums[start : start + _BLOCK], values[start : start + _BLOCK]) for start in starts]
        self._team.do(lambda block: _add_weighted(*block, float(weight)), blocks)
        self.updates += 1
        self.weight += int(weight)

    def result(self) -> dict[str, np.ndarray]:
        """Return the mean by variable path, in the reference's order and dtypes; the sums are given up for it."""
        return {name: self._mean(name) for name in self._reference}

    def _add_part(self, name: str, value: np.ndarray, weight: int, index: Index) -> None:
        if name not in self._partial:
            self._partial[name] = np.zeros(self._reference[name].shape, np.uint32)
        self._sums[name][index] += value.astype(np.float64) * weight
        self._partial[name][index] += np.uint32(weight)

    def _mean(self, name: str) -> np.ndarray:
        reference = self._reference[name]
        sums = self._sums.pop(name, None)
        if sums is None:
            return reference.copy()
        whole = self._weights[name]
        partial = self._partial.pop(name, None)
        if partial is None:
            sums /= whole
        else:
            reached = (partial > 0) | (whole > 0)
            np.divide(sums, partial + np.float64(whole), out=sums, where=reached)
            np.copyto(sums, reference, where=~reached)
        if reference.dtype.kind in "iu":
            np.rint(sums, out=sums)
        return sums.astype(reference.dtype)


def check_update(
    update: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    *,
    names: Optional[Collection[str]] = None,
    where: Optional[Mapping[str, Index]] = None,
    team: Optional[_Team] = None,
) -> None:
    """Raise `UpdateError` unless an update fits the global model.

    Parameters
    ----------
    update
        New values by variable path.
    reference
        The global weights.
    names
        The variables that the update has to hold, no more and no fewer; None allows any of the reference.
    where
        See `Aggregator.add`.
    team
        Threads that help to look for NaN.
    """
    where = where or {}
    for name, value in update.items():
        if name not in reference or (names is not None and name not in names):
            known = "which the model does not have" if name not in reference else "which it was not asked to train"
            raise UpdateError(f"it sent {name!r}, {known}")
        expected = reference[name][where[name]].shape if name in where else reference[name].shape
        if value.shape != expected:
            raise UpdateError(f"{name!r} has shape {list(value.shape)} instead of {list(expected)}")
        if not np.can_cast(value.dtype, reference[name].dtype, "same_kind"):
            raise UpdateError(f"{name!r} has dtype {value.dtype} instead of {reference[name].dtype}")
    missing = [name for name in names or () if name not in update]
    if missing:
        raise UpdateError(f"{missing[0]!r} is missing" + (f", and {len(missing) - 1} more" if missing[1:] else ""))
    unknown = [name for name in where if name not in update]
    if unknown:
        raise UpdateError(f"a part is given for {unknown[0]!r}, which the update does not hold")
    _check_finite(update, team or _ALONE)


def _add_weighted(sums: np.ndarray, values: np.ndarray, weight: float) -> None:
    weighted = _scratch(values.size)
    np.multiply(values, weight, out=weighted, dtype=np.float64)
    np.add(sums, weighted, out=sums)


def _check_finite(update: Mapping[str, np.ndarray], team: _Team) -> None:
    bad: list[str] = []

    def look(item: tuple[str, np.ndarray]) -> None:
        if not np.isfinite(item[1]).all():
            bad.append(item[0])

    team.do(look, [item for item in update.items() if item[1].dtype.kind == "f"])
    for name in sorted(bad):
        what = "NaN" if np.isnan(update[name]).any() else "an infinite value"
        raise UpdateError(f"{name!r} holds {what}")


class _Team:
    """The calling thread and some helpers, who take pieces of work from one pile.

    Nobody is given a share beforehand, so that on a busy machine nobody waits for a helper that is not let in.
    """

    def __init__(self, helpers: int) -> None:
        self._pool = ThreadPoolExecutor(helpers, thread_name_prefix="aggregate") if helpers else None
        self._helpers = helpers

    def do(self, work: Callable[[Piece], None], pieces: Iterable[Piece]) -> None:
        pile = deque(pieces)

        def take() -> None:
            while True:
                try:
                    piece = pile.popleft()
                except IndexError:
                    return
                work(piece)

        futures = [self._pool.submit(take) for _ in range(self._helpers)] if self._pool else []
        take()
        for future in futures:
            if not future.cancel():
                future.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


_ALONE = _Team(0)
_own = threading.local()


def _scratch(size: int) -> np.ndarray:
    """Return this thread's own scratch memory, ``float64 [size]``."""
    if not hasattr(_own, "scratch"):
        _own.scratch = np.empty(_BLOCK)
    scratch: np.ndarray = _own.scratch[:size]
    return scratch
