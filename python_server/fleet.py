"""The devices that are online, and what each told about itself when it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from edge_client.records import QUERY
from python_server.answers import Figures
from python_server.errors import NoClientsError
from python_server.exchange import Answer, Assignment, Exchange, Node
from python_server.identity import device_id
from python_server.run_rows import DeviceRow
from python_server.strategies.base import Device

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
    query_deadline_s
        How long a device has to answer what it is.
    note
        Called with a line for each device that cannot take part.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        names: Mapping[bytes, str],
        bundle: str,
        query_deadline_s: float,
        note: Callable[[str, str], None],
    ) -> None:
        self._exchange = exchange
        self._names = names
        self._bundle = bundle
        self._query_deadline_s = query_deadline_s
        self._note = note
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
        end = time.monotonic() + deadline_s
        while True:
            devices = self.online()
            if len(devices) >= least:
                return devices
            on_wait(len(devices), least)
            if time.monotonic() >= end:
                raise NoClientsError(
                    f"{len(devices)} of {least} devices came within {deadline_s:g} s; check that the clients run, "
                    "that they know this server's address and ca.pem, and that they are enrolled"
                )
            time.sleep(_LOOK_EVERY_S)

    def online(self) -> dict[int, Device]:
        """Return the devices that are online now, having asked those not known yet; by node id, sorted by name."""
        nodes = self._exchange.nodes()
        self._ask([node for node in nodes if node.node_id not in self._known and node.node_id not in self._unfit])
        devices = {node.node_id: self._known[node.node_id] for node in nodes if node.node_id in self._known}
        now = time.time()
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
        for answer in self._exchange.run(assignments, deadline_s=self._query_deadline_s, label="query"):
            if not answer.problem:
                self._admit(keys[answer.node_id], answer)
            elif not answer.late:
                name = self._names.get(keys[answer.node_id]) or device_id(keys[answer.node_id])
                self._note(device_id(keys[answer.node_id]), f"{name} cannot take part: {answer.problem}")
                self._unfit.add(answer.node_id)

    def _admit(self, key: bytes, answer: Answer) -> None:
        device, facts = device_id(key), answer.info
        name = self._names.get(key) or str(facts.get("name") or device)
        held = facts.get("bundle")
        if self._bundle and held and held != self._bundle:
            self._note(device, f"{name} cannot take part: it holds another bundle than the experiment's")
            self._unfit.add(answer.node_id)
            return
        examples = Figures(answer.metrics).whole("num-examples") or 0
        processor = str(facts.get("processor") or "")
        self._known[answer.node_id] = Device(device, name, processor, examples, facts)
        plain = {key: value for key, value in facts.items() if not isinstance(value, bytes)}
        now = time.time()
        self._rows[device] = DeviceRow(device, name, processor, key in self._names, now, now, plain)


def _with_distinct_names(devices: Mapping[int, Device]) -> dict[int, Device]:
    """Sort by name; where several devices have one, add their ids to it."""
    counts = Counter(device.name for device in devices.values())
    distinct = {
        node_id: replace(device, name=f"{device.name} {device.device}") if counts[device.name] > 1 else device
        for node_id, device in devices.items()
    }
    return dict(sorted(distinct.items(), key=lambda item: (item[1].name, item[1].device)))
