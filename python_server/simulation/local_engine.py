"""The ``local`` engine: many clients in this process, those of each bundle by what trains it.

Networks that Keras can compute train by one compiled step of it (`python_server.simulation.keras_clients`). Compressed
ones, whose rounding, masks and codebooks are in the bundle's own model, train by that, as on devices; so do all on the
backend ``tflite``, which then repeats what devices do bit for bit, where the processor is the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

from edge_client.data import Dataset
from model_export.bundle import Bundle
from model_export.manifest import Manifest
from python_server.simulation.engine import Arrays, TrainResult, TrainTask
from python_server.simulation.lite_clients import LiteClients

__all__ = ["LocalEngine"]

_LOOKED_AHEAD = 4
"""Tasks that are taken at once, in times of those that step side by side: clients of several bundles fill them up."""


class _Clients(Protocol):
    def train(self, tasks: list[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order."""

    def evaluate(self, weights: Arrays, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy."""


class LocalEngine:
    """Trains the clients of a run.

    Parameters
    ----------
    bundles
        By hash, the experiment's own under the empty name; see `python_server.model.RunBundles`.
    data
        The samples of all clients.
    side_by_side
        Clients whose steps are one call, on JAX; 0: sixteen on an accelerator, one on a CPU.
    keras
        Train by Keras, where the bundle is not compressed; False: by the bundles' own models, without Keras.

    Raises
    ------
    BundleFormatError
        A bundle holds no network, or one that does not fit it.
    edge_client.errors.NoRuntimeError
        A bundle's own model has to train, or it has a frozen base, and there is no TensorFlow Lite runtime.
    """

    def __init__(
        self, bundles: Mapping[str, Bundle], data: Dataset, *, side_by_side: int = 0, keras: bool = True
    ) -> None:
        self._side_by_side = 1
        make: Callable[[Bundle], _Clients] = partial(LiteClients, data=data)
        if keras:
            from python_server.simulation.keras_clients import KerasClients, side_by_side_of

            self._side_by_side = side_by_side_of(side_by_side)
            make = partial(KerasClients, data=data, side_by_side=self._side_by_side)
        made: dict[str, _Clients] = {}
        for bundle in bundles.values():
            if bundle.sha256 not in made:
                made[bundle.sha256] = LiteClients(bundle, data) if _is_compressed(bundle.manifest) else make(bundle)
        self._clients = {name: made[bundle.sha256] for name, bundle in bundles.items()}

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order; as many are taken ahead as are worth stepping side by side."""
        waiting = iter(tasks)
        ahead = 1 if self._side_by_side == 1 else _LOOKED_AHEAD * self._side_by_side
        while taken := list(itertools.islice(waiting, ahead)):
            kinds: dict[tuple[str, str], list[int]] = {}
            for place, task in enumerate(taken):
                kinds.setdefault((task.bundle, task.cut), []).append(place)
            results: dict[int, TrainResult] = {}
            for (bundle, _), places in kinds.items():
                results.update(zip(places, self._clients[bundle].train([taken[place] for place in places])))
            yield from (results.pop(place) for place in range(len(taken)))

    def evaluate(self, weights: Arrays, data: Dataset, bundle: str = "") -> tuple[float, float]:
        """Return mean loss and accuracy over all of ``data``."""
        return self._clients[bundle].evaluate(weights, data)


def _is_compressed(manifest: Manifest) -> bool:
    """Tell whether the bundle's model rounds, masks or clusters; removed channels leave an ordinary network."""
    return bool(set(manifest.compression) - {"prune_channels"})
