"""What a bundle says if its network is part of another bundle's: ``part_of`` of the manifest. Needs no TensorFlow.

Indices are held as *runs*: half-open ranges ``[start, stop]``, ascending and apart. A width slice is one run an axis;
chosen channels are a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

__all__ = ["PartOf", "Parts", "Runs", "Where"]

Parts = dict[str, tuple[np.ndarray, ...]]
"""For each variable by path, and each of its axes, the indices of the whole network's variable, int64, ascending."""

Runs = tuple[tuple[int, int], ...]

Where = Union[tuple[slice, ...], tuple[np.ndarray, ...]]
"""What a variable is indexed with: slices, or what `numpy.ix_` makes."""


@dataclass(frozen=True)
class PartOf:
    """Where a network's variables lie in those of the whole one.

    Attributes
    ----------
    bundle
        SHA-256 of the manifest of the whole network's bundle (`model_export.bundle.Bundle.sha256`).
    parts
        For each state variable by path, and each of its axes: the runs of indices; None for all of them.
    """

    bundle: str
    parts: Mapping[str, tuple[Optional[Runs], ...]]

    @classmethod
    def from_indices(cls, bundle: str, parts: Parts, whole: Mapping[str, tuple[int, ...]]) -> PartOf:
        """Return the runs of ``parts``, which are indices into variables of the shapes ``whole``."""
        return cls(
            bundle,
            {
                path: tuple(None if len(axis) == size else _runs(axis) for axis, size in zip(axes, whole[path]))
                for path, axes in parts.items()
            },
        )

    def indices(self, shapes: Mapping[str, tuple[int, ...]]) -> Parts:
        """Return all indices, given the shapes of the part's own variables."""
        return {
            path: tuple(
                np.arange(size) if axis is None else np.concatenate([np.arange(*run) for run in axis])
                for axis, size in zip(axes, shapes[path])
            )
            for path, axes in self.parts.items()
        }

    def where(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Where]:
        """Return what to index the whole network's variables with, for those that the part does not hold whole.

        Parameters
        ----------
        shapes
            Of the part's own variables, by path.

        Returns
        -------
        dict
            Slices where every axis is one run, which NumPy takes without copying; otherwise what `numpy.ix_` makes.
        """
        found: dict[str, Where] = {}
        indices = self.indices(shapes)
        for path, axes in self.parts.items():
            if all(axis is None for axis in axes):
                continue
            runs = [((0, size),) if axis is None else axis for axis, size in zip(axes, shapes[path])]
            found[path] = (
                tuple(slice(*axis[0]) for axis in runs)
                if all(len(axis) == 1 for axis in runs)
                else np.ix_(*indices[path])
            )
        return found

    def problem(self, shapes: Mapping[str, tuple[int, ...]]) -> Optional[str]:
        """Say what does not fit variables of these shapes; None if all does."""
        for path, shape in shapes.items():
            axes = self.parts.get(path)
            if axes is None:
                return f"says nothing of {path}"
            if len(axes) != len(shape):
                return f"has {len(axes)} axes for {path}, which has {len(shape)}"
            for axis, size in zip(axes, shape):
                if axis is None:
                    continue
                edges = [edge for run in axis for edge in run]
                if any(low >= high for low, high in zip(edges, edges[1:])):
                    return f"has ranges for {path} that are empty, or not in order"
                if sum(stop - start for start, stop in axis) != size:
                    return f"has ranges for {path} that do not fit its shape {list(shape)}"
        unknown = sorted(set(self.parts) - set(shapes))
        return f"names {unknown[0]!r}, which is no variable" if unknown else None


def _runs(indices: np.ndarray) -> Runs:
    ends = np.flatnonzero(np.diff(indices) != 1)
    starts = indices[np.concatenate([[0], ends + 1])]
    stops = indices[np.concatenate([ends, [len(indices) - 1]])] + 1
    return tuple(zip(starts.tolist(), stops.tolist()))
