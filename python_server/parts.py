"""Which part of a variable an update holds, and sums of updates that hold the same parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

__all__ = ["Index", "Layout", "Masked", "Part", "part_shape", "places_of"]

Part = Union[tuple[slice, ...], np.ndarray, tuple[np.ndarray, ...]]


@dataclass(frozen=True, eq=False)
class Masked:
    """A part of a variable of which only some values count.

    Attributes
    ----------
    part
        The part that the update holds; None: the whole variable.
    mask
        Which of its values count; bool, of the part's shape.
    """

    part: Optional[Part]
    mask: np.ndarray

    def places(self, size: tuple[int, ...]) -> Part:
        """Return where the values that count lie in a variable of a shape."""
        if self.part is None:
            return self.mask
        chosen = np.broadcast_to(np.arange(math.prod(size)).reshape(size)[self.part], self.mask.shape)[self.mask]
        return np.unravel_index(chosen, size)


Index = Union[Part, Masked]
"""Which part of a variable an update holds: slices, a boolean mask, what `numpy.ix_` returns (no index twice), or one
of these of which some values do not count."""


class Layout:
    """Sums of the updates that hold the same parts of the same variables.

    Parameters
    ----------
    where
        The parts.
    reference
        The global weights.

    Attributes
    ----------
    shapes, starts
        Of each part: its shape, and where it starts in the sums.
    sums
        Weighted sums of all parts, one after the other; float64.
    weight
        Sum of the weights behind them.
    """

    def __init__(self, where: dict[str, Index], reference: Mapping[str, np.ndarray]) -> None:
        self.where = where
        self.shapes = {name: part_shape(index, reference[name].shape) for name, index in where.items()}
        ends = np.cumsum([0, *(math.prod(shape) for shape in self.shapes.values())]).tolist()
        self.starts = dict(zip(where, ends))
        self.sums = np.zeros(ends[-1])
        self.weight = 0

    def part(self, name: str) -> np.ndarray:
        """Return the sums of one variable's part, in its shape."""
        shape, start = self.shapes[name], self.starts[name]
        return self.sums[start : start + math.prod(shape)].reshape(shape)


def places_of(index: Index, shape: tuple[int, ...]) -> Part:
    """Return where the values that count of a part lie in a variable of a shape."""
    return index.places(shape) if isinstance(index, Masked) else index


def part_shape(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a part of a variable."""
    if isinstance(index, Masked):
        return index.mask.shape
    # Indexing a number spread over the shape needs no variable's values.
    return np.broadcast_to(np.float32(0), shape)[index].shape
