"""The devices that are online, and what each told about itself when it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edge_client.records import ACCEPTS_BUNDLE, BUNDLE, QUERY
from python_server.answers import Figures
from python_server.errors import NoClientsError
from python_server.run_rows import DeviceRow
from python_server.strategies.base import Device
from python_server.tasks import Answer, Assignment, Clock, Messenger, Node, Payload, device_id

__all__ = ["Fleet"]

_LOOK_EVERY_S = 0.1


class Fleet:
    """Keeps track of the devices of one run.

    Parameters
    ----------
    exchange
        Reaches the nodes.
    names
        Names of enrolled devices by public key; others go by the name that they give themselves.
    bundle
        Hash of the bundle that devices have to hold; empty: any.
    packed_bundle
        Returns the bundle's zip, for devices that hold another one and take ours.
    query_deadline_s
        How long a device has to answer what it is.
    bundle_deadline_s
        How long a device has to fetch the bundle.
    note
        Called with a line for each device that cannot take part.
    clock
        Where the time is read.
    """

    def __init__(
        self,
        exchange: Messenger,
        *,
        names: Mapping[bytes, str],
        bundle: str,
        packed_bundle: Callable[[], bytes],
        query_deadline_s: float,
        bundle_deadline_s: float,
        note: Callable[[str, str], None],
        clock: Clock = time,
    ) -> None:
        self._exchange = exchange
        self._names = names
        self._bundle = bundle
        self._packed_bundle = packed_bundle
        self._query_deadline_s = query_deadline_s
        self._bundle_deadline_s = bundle_deadline_s
        self._note = note
        self._clock = clock
        self._known: dict[int, Device] = {}
        self._unfit: set[int] = set()
        self._rows: dict[str, DeviceRow] = {}

    def wait(self, least: int, deadline_s: float, on_wait: Callable[[int, int], None]) -> dict[int, Device]:
        """Return the devices that are online by node id, as soon as there are ``least`` of them.

        Raises
        ------
        NoClientsError
            There are fewer at the deadline.
        """
        end = self._clock.monotonic() + deadline_s
        while True:
            devices = self.online()
            if len(devices) >= least:
                return devices
            on_wait(len(devices), least)
            if self._clock.monotonic() >= end:
                raise NoClientsError(
                    f"{len(devices)} of {least} devices came within {deadline_s:g} s; check that the clients run, "
                    "that they know this server's address and ca.pem, and that they are enrolled"
                )
            self._clock.sleep(_LOOK_EVERY_S)

    def online(self) -> dict[int, Device]:
        """Return the devices that are online now, having asked those not known yet; by node id, sorted by name."""
        nodes = self._exchange.nodes()
        self._ask([node for node in nodes if node.node_id not in self._known and node.node_id not in self._unfit])
        devices = {node.node_id: self._known[node.node_id] for node in nodes if node.node_id in self._known}
        now = self._clock.time()
        for device in devices.values():
            self._rows[device.device] = replace(self._rows[device.device], last_seen_at=now)
        return _with_distinct_names(devices)

    def rows(self) -> list[DeviceRow]:
        """Return a row for every device that was seen."""
        return list(self._rows.values())

    def _ask(self, nodes: list[Node]) -> None:
        if not nodes:
            return
        keys = {node.node_id: node.public_key for node in nodes}
        assignments = [Assignment(node.node_id, QUERY) for node in nodes]
        without = []
        for answer in self._exchange.run(assignments, deadline_s=self._query_deadline_s, label="query"):
            key = keys[answer.node_id]
            if answer.problem:
                self._refuse(key, answer)
            elif self._holds_ours(answer):
                self._admit(key, answer)
            elif answer.info.get(ACCEPTS_BUNDLE) is True:
                without.append(answer.node_id)
            else:
                self._refuse(key, replace(answer, problem="it holds another bundle than the experiment's"))
        if without:
            self._send_bundle(without, keys)

    def _send_bundle(self, nodes: list[int], keys: Mapping[int, bytes]) -> None:
        """Give devices the experiment's bundle, and admit those that then hold it."""
        payload = Payload({BUNDLE: np.frombuffer(self._packed_bundle(), np.uint8)})
        assignments = [Assignment(node_id, QUERY, {BUNDLE: self._bundle}, payload) for node_id in nodes]
        for answer in self._exchange.run(assignments, deadline_s=self._bundle_deadline_s, label="bundle"):
            if not answer.problem and not self._holds_ours(answer):
                answer = replace(answer, problem="it did not change over to the experiment's bundle")
            if answer.problem:
                self._refuse(keys[answer.node_id], answer)
            else:
                self._admit(keys[answer.node_id], answer)

    def _holds_ours(self, answer: Answer) -> bool:
        """Tell whether the device can take part; those that say nothing of a bundle, as stock clients, may."""
        return not self._bundle or answer.info.get(BUNDLE, self._bundle) == self._bundle

    def _refuse(self, key: bytes, answer: Answer) -> None:
        """Leave a device out for good that said no; who said nothing in time is asked again."""
        if answer.late:
            return
        name = self._names.get(key) or str(answer.info.get("name") or device_id(key))
        self._note(device_id(key), f"{name} cannot take part: {answer.problem}")
        self._unfit.add(answer.node_id)

    def _admit(self, key: bytes, answer: Answer) -> None:
        device, facts = device_id(key), answer.info
        name = self._names.get(key) or str(facts.get("name") or device)
        examples = Figures(answer.metrics).whole("num-examples") or 0
        processor = str(facts.get("processor") or "")
        self._known[answer.node_id] = Device(device, name, processor, examples, facts)
        plain = {key: value for key, value in facts.items() if not isinstance(value, bytes)}
        now = self._clock.time()
        self._rows[device] = DeviceRow(device, name, processor, key in self._names, now, now, plain)


def _with_distinct_names(devices: Mapping[int, Device]) -> dict[int, Device]:
    """Sort by name; where several devices have one, add their ids to it."""
    counts = Counter(device.name for device in devices.values())
    distinct = {
        node_id: replace(device, name=f"{device.name} {device.device}") if counts[device.name] > 1 else device
        for node_id, device in devices.items()
    }
    return dict(sorted(distinct.items(), key=lambda item: (item[1].name, item[1].device)))
