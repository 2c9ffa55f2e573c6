"""Which part of the global model a device holds: its local arrays taken out of the global ones, its update put back.

Width slices (HeteroFL, FjORD), chosen channels (DAC), suffixes (partial training) and pruned masks are one thing here:
the variables that a device holds, and of some of them only a part. What is trained of it is the plan's `cut`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from python_server.aggregate import Index
from python_server.errors import UpdateError

__all__ = ["WHOLE", "Submodel"]


@dataclass(frozen=True, eq=False)
class Submodel:
    """A part of the global model. Two submodels are the same if they are the same object.

    Attributes
    ----------
    name
        Names it in the run store and in reports; unique within a run, empty for the whole model.
    bundle
        Hash of the bundle that a device has to hold for it; empty: the experiment's own.
    names
        The variables that the device holds; None: all of them.
    where
        Of variables that it holds in part: which part (see `python_server.aggregate.Index`).
    """

    name: str = ""
    bundle: str = ""
    names: Optional[frozenset[str]] = None
    where: Mapping[str, Index] = field(default_factory=dict)

    def extract(
        self, weights: Mapping[str, np.ndarray], names: Optional[Collection[str]] = None
    ) -> dict[str, np.ndarray]:
        """Return the device's arrays.

        Parameters
        ----------
        weights
            The global weights by variable path.
        names
            Only these of its variables; None: all that it holds.

        Returns
        -------
        dict
            By variable path, in the global order. Variables held whole, or by slices, share the memory of ``weights``.
        """
        return {
            name: value[self.where[name]] if name in self.where else value
            for name, value in weights.items()
            if (self.names is None or name in self.names) and (names is None or name in names)
        }

    def scatter(self, update: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], dict[str, Index]]:
        """Return an update as `python_server.aggregate.Aggregator.add` takes it: the arrays, and where they belong.

        Parameters
        ----------
        update
            The device's arrays by variable path; any subset of those it holds.

        Raises
        ------
        UpdateError
            A variable is not part of this submodel.
        """
        if self.names is not None:
            for name in update:
                if name not in self.names:
                    raise UpdateError(f"it sent {name!r}, which is not part of its model ({self.name})")
        return update, {name: self.where[name] for name in update if name in self.where}


WHOLE = Submodel()
"""The device holds the global model."""
