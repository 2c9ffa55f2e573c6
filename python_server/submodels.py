"""Which part of the global model a device holds: its local arrays taken out of the global ones, its update put back.

Width slices (HeteroFL, FjORD), chosen channels (DAC), suffixes (partial training) and pruned masks are one thing here:
the variables that a device holds, and of some of them only a part. What is trained of it is the plan's `cut`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Optional

import numpy as np

from python_server.errors import UpdateError
from python_server.parts import Index, Masked, Part

__all__ = ["WHOLE", "Submodel", "shifted"]


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
        Of variables that it holds in part: which part (see `python_server.parts.Index`).
    masks
        Of variables that are pruned on the device: which of its weights are left (bool, of the device's shape). It is
        sent all; of its update only these count, as the others are zero whatever the data say.
    differences
        Its update counts as what training changed, added to the global weights: what rounding, clustering or pruning
        did to the weights that it was sent (`python_server.model.GlobalModel.held`) is left out.
    prefix
        Of its variables' names among the global ones: an architecture with weights of its own
        (`python_server.strategies.dac`) has them there as ``<prefix><variable path>``.
    """

    name: str = ""
    bundle: str = ""
    names: Optional[frozenset[str]] = None
    where: Mapping[str, Part] = field(default_factory=dict)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    differences: bool = False
    prefix: str = ""

    def global_names(self, names: Iterable[str]) -> list[str]:
        """Return what the device's variables are called among the global ones."""
        return [self.prefix + name for name in names]

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
        held = {
            path.removeprefix(self.prefix): value for path, value in weights.items() if path.startswith(self.prefix)
        }
        return {
            name: value[self.where[name]] if name in self.where else value
            for name, value in held.items()
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
        where = {self.prefix + name: self._places[name] for name in update if name in self._places}
        return (dict(zip(self.global_names(update), update.values())) if self.prefix else update), where

    def reach(self, names: Iterable[str]) -> dict[str, Optional[Index]]:
        """Return where an update with these variables counts, by global name; None: all of the variable."""
        return {self.prefix + name: self._places.get(name) for name in names}

    @cached_property
    def _places(self) -> dict[str, Index]:
        """Where updates belong; the same objects for every update, by which the aggregator knows them again."""
        masked = {name: Masked(self.where.get(name), mask) for name, mask in self.masks.items()}
        return {**self.where, **masked}

    def naive(self) -> Submodel:
        """Return the same part, of whose updates everything counts as it comes."""
        return replace(self, masks={}, differences=False)


def shifted(
    update: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return ``base`` plus what training changed: an update of a compressed model as one of the model it came from.

    Parameters
    ----------
    update
        What the device sent, by variable path.
    base
        What it had been sent.
    start
        What its model made of that, and began to train from.

    Raises
    ------
    UpdateError
        A variable is not part of the device's model, or has another shape.
    """
    found = {}
    for name, value in update.items():
        if name not in base:
            raise UpdateError(f"it sent {name!r}, which is not part of its model")
        if value.shape != base[name].shape:
            raise UpdateError(f"{name!r} has shape {list(value.shape)} instead of {list(base[name].shape)}")
        found[name] = base[name] + (value - start[name])
    return found


WHOLE = Submodel()
"""The device holds the global model."""
