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
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Optional

import numpy as np

from python_server.errors import UpdateError
from python_server.parts import Index, Layout, Masked
from python_server.team import BLOCK, Team
from python_server.update_checks import check_finite, check_names, check_values

__all__ = ["Aggregator"]

_MOST_HELPERS = 3
"""Beyond, memory is what everybody waits for."""
_MOST_LAYOUTS = 8
"""Kinds of partial update that are summed up apart; a kind more, and the oldest is put where it belongs."""
_SINGLE_THREADED = 2**19
"""Models with fewer coordinates are not worth a second thread."""


class Aggregator:
    """Sums updates as they come; holds two models' memory however many there are.

    Partial updates are summed up apart for each kind of part, in its own shape, and put in their place at the end: so
    they cost what whole ones do for each byte. Updates are of one kind if their indices are the same objects. Each kind
    takes twice the memory of its part, and what reached each coordinate is counted in a model's memory.

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
        sizes = [array.size for array in reference.values()]
        ends = np.cumsum([0, *sizes]).tolist()
        self._starts = dict(zip(reference, ends))
        self._sums = np.zeros(ends[-1])  # all variables, one after the other
        self._weights = dict.fromkeys(reference, 0)
        self._partial: dict[str, np.ndarray] = {}
        self._layouts: dict[tuple[tuple[str, int], ...], Layout] = {}
        self.updates = 0
        self.weight = 0
        large = self._sums.size >= _SINGLE_THREADED
        self._team = Team(min((os.cpu_count() or 1) - 1, _MOST_HELPERS) if large else 0)

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
        check_names(update, self._reference, names, where)
        layout = self._layout({name: where[name] for name in update if name in where})
        check_values(update, self._reference, layout.shapes)
        wholes = _runs([(self._starts[name], value) for name, value in update.items() if name not in where])
        parts = _runs([(layout.starts[name], update[name]) for name in layout.where])
        check_finite(update, [values for _, values in (*wholes, *parts)], self._team)
        layout.weight += int(weight)
        for name in update:
            if name not in where:
                self._weights[name] += int(weight)
        self._team.do(
            lambda block: _add_weighted(*block, float(weight)),
            [
                (sums[start + low : start + min(low + BLOCK, values.size)], values[low : low + BLOCK])
                for sums, runs in ((self._sums, wholes), (layout.sums, parts))
                for start, values in runs
                for low in range(0, values.size, BLOCK)
            ],
        )
        self.updates += 1
        self.weight += int(weight)

    def result(self) -> dict[str, np.ndarray]:
        """Return the mean by variable path, in the reference's order and dtypes; the sums are used up for it."""
        while self._layouts:
            self._put_oldest()
        others = {}
        narrow = self._sums.view(np.float32)  # the mean of a float32 variable takes the place of its sum: half as wide
        for name, reference in self._reference.items():
            mean = self._mean(name)
            if reference.dtype != np.float32:
                others[name] = mean.astype(reference.dtype).reshape(reference.shape)
                continue
            for low in range(0, mean.size, BLOCK):
                low_end = min(low + BLOCK, mean.size)
                narrow[self._starts[name] + low : self._starts[name] + low_end] = mean[low:low_end].astype(np.float32)
        del narrow, mean
        self._sums.resize((self._sums.size + 1) // 2, refcheck=False)  # gives the other half back
        means = self._sums.view(np.float32)
        return {
            name: others[name]
            if name in others
            else means[self._starts[name] : self._starts[name] + reference.size].reshape(reference.shape)
            for name, reference in self._reference.items()
        }

    def _sum(self, name: str) -> np.ndarray:
        """Return the part of the sums that is one variable's, in its shape."""
        reference, start = self._reference[name], self._starts[name]
        return self._sums[start : start + reference.size].reshape(reference.shape)

    def _layout(self, where: dict[str, Index]) -> Layout:
        """Return where updates with these parts are summed up."""
        key = tuple((name, id(index)) for name, index in where.items())
        if key not in self._layouts:
            if where and len(self._layouts) >= _MOST_LAYOUTS:
                self._put_oldest()
            layout = Layout(where, self._reference)
            if not where:
                return layout
            self._layouts[key] = layout
        return self._layouts[key]

    def _put_oldest(self) -> None:
        """Add the sums of the oldest kind of partial update to those of the whole variables."""
        layout = self._layouts.pop(next(iter(self._layouts)))
        kind = np.uint32 if self.weight < 2**32 else np.uint64
        for name, index in layout.where.items():
            shape = self._reference[name].shape
            counts = self._partial.get(name)
            if counts is None or counts.dtype != kind:
                counts = self._partial[name] = np.zeros(shape, kind) if counts is None else counts.astype(kind)
            values, sums = layout.part(name), self._sum(name)
            if isinstance(index, Masked):
                values, index = values[index.mask], index.places(shape)
            sums[index] += values
            counts[index] += kind(layout.weight)

    def _mean(self, name: str) -> np.ndarray:
        """Divide one variable's sums; return them, ``float64 [n]``."""
        reference = self._reference[name]
        sums, whole = self._sum(name), self._weights[name]
        partial = self._partial.pop(name, None)
        if partial is not None:
            reached = (partial > 0) | (whole > 0)
            np.divide(sums, partial + np.float64(whole), out=sums, where=reached)
            np.copyto(sums, reference, where=~reached)
        elif whole:
            sums /= whole
        else:
            np.copyto(sums, reference)
        if reference.dtype.kind in "iu":
            np.rint(sums, out=sums)
        return sums.reshape(-1)


def _runs(parts: list[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Join variables that follow one another both in the sums and in the update's memory, as unpacked ones do.

    A model of hundreds of small variables is then added like one large one.

    Parameters
    ----------
    parts
        Start in the sums, and values.

    Returns
    -------
    list of tuple
        Start in the sums, and values ``[n]``; their memory is the update's, which has to be kept meanwhile.
    """
    runs: list[tuple[int, np.ndarray, int]] = []
    end, end_address = -1, -1  # where the last run ends in the sums and in memory
    for start, value in parts:
        contiguous = value.flags.c_contiguous
        value = np.ascontiguousarray(value)
        address = value.__array_interface__["data"][0]
        # A copy would not outlive this function, so it cannot be a part of a run.
        if contiguous and start == end and address == end_address and value.dtype == runs[-1][1].dtype:
            run_start, first, length = runs[-1]
            runs[-1] = (run_start, first, length + value.size)
        else:
            runs.append((start, value, value.size))
        end, end_address = start + value.size, address + value.nbytes if contiguous else -1
    return [
        (
            start,
            first.reshape(-1)
            if first.size == length
            else np.lib.stride_tricks.as_strided(first, (length,), (first.itemsize,), writeable=False),
        )
        for start, first, length in runs
    ]


def _add_weighted(sums: np.ndarray, values: np.ndarray, weight: float) -> None:
    weighted = _scratch(values.size)
    np.multiply(values, weight, out=weighted, dtype=np.float64)
    np.add(sums, weighted, out=sums)


_own = threading.local()


def _scratch(size: int) -> np.ndarray:
    """Return this thread's own scratch memory, ``float64 [size]``."""
    if not hasattr(_own, "scratch"):
        _own.scratch = np.empty(BLOCK)
    scratch: np.ndarray = _own.scratch[:size]
    return scratch
