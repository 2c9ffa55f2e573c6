"""What of the global model goes to a device, in which numbers, and what an answer in such numbers means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from edge_client.records import CODECS
from model_export import codecs
from model_export.errors import TensorFileError
from python_server.errors import UpdateError
from python_server.strategies.base import Device, Plan, TrainSettings
from python_server.submodels import Submodel, shifted
from python_server.tasks import Payload

__all__ = ["Outbox", "Shipment", "agreed"]

_PLAIN = "float32"

Held = Callable[[Mapping[str, np.ndarray], str], Mapping[str, np.ndarray]]


def agreed(plan: Plan, device: Device, train: TrainSettings, trained: Sequence[str]) -> Plan:
    """Return a plan as the device can do it.

    Parameters
    ----------
    plan
        What the strategy wants; codecs that it leaves open are the experiment's.
    device
        A codec that it does not know gives way to float32, which every client knows.
    train
        The experiment's settings.
    trained
        The variables that the plan's cut trains; those of others are not asked for.
    """
    known = str(device.facts.get(CODECS, "")).split()

    def usable(codec: str) -> str:
        return codec if codecs.family(codec) in known else _PLAIN

    return replace(
        plan,
        download_codec=usable(plan.download_codec or train.codec.down),
        upload_codec=usable(plan.upload_codec or train.codec.up),
        reply=None if plan.reply is None else frozenset(plan.reply) & frozenset(trained),
    )


class Shipment:
    """Part of the global model as some devices are sent it.

    Parameters
    ----------
    weights
        What the devices hold, by variable path.
    send
        Which variables they are sent; None: all.
    codec
        How the numbers travel.

    Attributes
    ----------
    payload
        Ready to send.
    arrays
        What the devices make of it: what their updates are differences to.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], send: Optional[frozenset[str]], codec: str) -> None:
        self._specs = {name: (array.shape, array.dtype.name) for name, array in weights.items()}
        chosen = {name: array for name, array in weights.items() if send is None or name in send}
        stored = codecs.encode(chosen, codec)
        self.payload = Payload(stored)
        self.arrays = chosen if codec == _PLAIN else codecs.decode(stored, self._specs)

    def update(self, stored: Mapping[str, np.ndarray], codec: str) -> Mapping[str, np.ndarray]:
        """Return the weights that an answer stands for.

        Raises
        ------
        UpdateError
            Its tensors do not fit the model; the message names the variable.
        """
        if codec == _PLAIN:
            return stored
        try:
            return codecs.decode(stored, self._specs, self.arrays)
        except TensorFileError as error:
            raise UpdateError(str(error)) from None


class Outbox:
    """The shipments of a round; each is made once, however many devices get it.

    Parameters
    ----------
    weights
        The global weights.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights
        self._shipments: dict[tuple[Submodel, Optional[frozenset[str]], str], Shipment] = {}
        self._starts: dict[tuple[Submodel, str], Mapping[str, np.ndarray]] = {}
        self.largest_update_bytes = sum(array.nbytes for array in weights.values())

    def shipment(self, plan: Plan) -> Shipment:
        """Return what goes to a device with this plan, which is `agreed`."""
        codec = plan.download_codec or _PLAIN
        key = plan.submodel, plan.send, codec
        if key not in self._shipments:
            self._shipments[key] = Shipment(plan.submodel.extract(self._weights), plan.send, codec)
        return self._shipments[key]

    def moved(self, plan: Plan, update: Mapping[str, np.ndarray], held: Held) -> dict[str, np.ndarray]:
        """Return the global weights plus what training changed on a device that compresses what it is sent.

        Parameters
        ----------
        plan
            The device's plan, which sends it all of its part.
        update
            Its weights by variable path.
        held
            `python_server.model.GlobalModel.held`.

        Raises
        ------
        UpdateError
            The update does not fit the device's part of the model.
        """
        submodel = plan.submodel
        key = submodel, plan.download_codec or _PLAIN
        if key not in self._starts:
            self._starts[key] = held(self.shipment(plan).arrays, submodel.bundle)
        return shifted(update, submodel.extract(self._weights), self._starts[key])

    def distances(self, plan: Plan, update: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the squared distance of each variable of an update to its value here, in float64."""
        here = plan.submodel.extract(self._weights, update)
        return {name: _squared_distance(value, here[name]) for name, value in update.items()}


def _squared_distance(one: np.ndarray, other: np.ndarray) -> float:
    # Of the difference, as a difference of squares would have lost what is left of it.
    difference = np.subtract(one, other, dtype=np.float64).ravel()
    return float(difference @ difference)
