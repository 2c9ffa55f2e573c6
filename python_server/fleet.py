"""The devices that are online, and what each told about itself when it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from edge_client.records import ACCEPTS_BUNDLE, BUNDLE, QUERY, Scalar
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
        Hash of the bundle that devices are given first; empty: they may hold any.
    variants
        What messages call each bundle of the run, by hash; a device that holds one of them can take part.
    packed_bundle
        Returns the zip of one of these bundles by its hash, for devices that hold another one and take ours.
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
        variants: Mapping[str, str],
        packed_bundle: Callable[[str], bytes],
        query_deadline_s: float,
        bundle_deadline_s: float,
        note: Callable[[str, str], None],
        clock: Clock = time,
    ) -> None:
        self._exchange = exchange
        self._names = names
        self._bundle = bundle
        self._variants = {bundle: "the whole model", **variants}
        self._packed_bundle = packed_bundle
        self._query_deadline_s = query_deadline_s
        self._bundle_deadline_s = bundle_deadline_s
        self._note = note
        self._clock = clock
        self._known: dict[int, Device] = {}
        self._unfit: set[int] = set()
        self._rows: dict[str, DeviceRow] = {}
        self._doubtful: set[int] = set()
        self._told: set[tuple[int, str]] = set()
        self._unable: set[tuple[int, str]] = set()

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

    def refreshed(self, devices: Mapping[int, Device]) -> dict[int, Device]:
        """Ask devices anew what they tell of themselves; those that do not answer are taken to be as they were."""
        self._ask_again(list(devices))
        return {node_id: replace(device, facts=self._known[node_id].facts) for node_id, device in devices.items()}

    def equip(self, devices: Mapping[int, Device], bundles: Mapping[str, str]) -> dict[int, Device]:
        """Give devices the bundles that their plans are for; return those that hold them.

        Parameters
        ----------
        devices
            By node id.
        bundles
            Hash of the bundle that each is to hold, by device; empty: any.
        """
        self._ask_again([node_id for node_id in devices if node_id in self._doubtful])
        lacking: dict[str, list[int]] = {}
        for node_id, device in devices.items():
            wanted = bundles[device.device]
            if node_id in self._known and wanted and self._known[node_id].facts.get(BUNDLE, self._bundle) != wanted:
                lacking.setdefault(wanted, []).append(node_id)
        failed = {node_id for node_id in devices if node_id not in self._known}
        for wanted, nodes in lacking.items():
            failed |= self._change_over(nodes, wanted)
        return {node_id: device for node_id, device in devices.items() if node_id not in failed}

    def doubt(self, node_id: int) -> None:
        """Ask a device anew what it holds before its next task: something went wrong, it may have been restarted."""
        if len(self._variants) > 1:
            self._doubtful.add(node_id)

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
            elif answer.info.get(ACCEPTS_BUNDLE) is True and len(self._variants) > 1:
                self._admit(key, answer)  # `equip` sends the bundle that its plan is for, which may be a smaller one
            elif answer.info.get(ACCEPTS_BUNDLE) is True:
                without.append(answer.node_id)
            else:
                self._refuse(key, replace(answer, problem="it holds another bundle than the experiment's"))
        if without:
            self._send_bundle(without, keys)

    def _send_bundle(self, nodes: list[int], keys: Mapping[int, bytes]) -> None:
        """Give devices the experiment's bundle, and admit those that then hold it."""
        for answer in self._send(nodes, self._bundle):
            if answer.problem:
                self._refuse(keys[answer.node_id], answer)
            else:
                self._admit(keys[answer.node_id], answer)

    def _send(self, nodes: list[int], bundle: str) -> Iterator[Answer]:
        """Send a bundle; yield answers, whose ``problem`` tells if they do not hold it then."""
        payload = Payload({BUNDLE: np.frombuffer(self._packed_bundle(bundle), np.uint8)})
        assignments = [Assignment(node_id, QUERY, {BUNDLE: bundle}, payload) for node_id in nodes]
        for answer in self._exchange.run(assignments, deadline_s=self._bundle_deadline_s, label="bundle"):
            if not answer.problem and answer.info.get(BUNDLE) != bundle:
                answer = replace(answer, problem="it did not change over to the experiment's bundle")
            yield answer

    def _change_over(self, nodes: list[int], bundle: str) -> set[int]:
        """Give devices another bundle of the run; return those that do not hold it then, having said why once."""
        problems = {
            node_id: "it takes no bundles from the server"
            for node_id in nodes
            if self._known[node_id].facts.get(ACCEPTS_BUNDLE) is not True
        }
        unable = {node_id for node_id in nodes if (node_id, bundle) in self._unable}
        able = [node_id for node_id in nodes if node_id not in problems and node_id not in unable]
        for answer in self._send(able, bundle) if able else ():
            if answer.problem:
                problems[answer.node_id] = answer.problem
                if not answer.late:  # who said nothing in time is asked again
                    self._unable.add((answer.node_id, bundle))
            else:
                self._update(answer)
        for node_id, problem in problems.items():
            if (node_id, bundle) not in self._told:
                self._told.add((node_id, bundle))
                device = self._known[node_id]
                text = f"{device.name} is left out: it should train {self._variants[bundle]}, but {problem}"
                self._note(device.device, text)
        return unable | set(problems)

    def _ask_again(self, nodes: list[int]) -> None:
        """Bring up to date what devices hold; those that do not answer are taken to hold what they did."""
        self._doubtful.difference_update(nodes)
        assignments = [Assignment(node_id, QUERY) for node_id in nodes]
        for answer in (
            self._exchange.run(assignments, deadline_s=self._query_deadline_s, label="query") if nodes else ()
        ):
            if not answer.problem and answer.node_id in self._known:
                self._update(answer)

    def _update(self, answer: Answer) -> None:
        """Take over what a known device says of itself now."""
        known = self._known[answer.node_id]
        examples = Figures(answer.metrics).whole("num-examples") or known.examples
        self._known[answer.node_id] = replace(known, facts=answer.info, examples=examples)
        self._rows[known.device] = replace(self._rows[known.device], facts=_plain(answer.info))

    def _holds_ours(self, answer: Answer) -> bool:
        """Tell whether the device can take part; those that say nothing of a bundle, as stock clients, may."""
        return not self._bundle or answer.info.get(BUNDLE, self._bundle) in self._variants

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
        now = self._clock.time()
        self._rows[device] = DeviceRow(device, name, processor, key in self._names, now, now, _plain(facts))


def _plain(facts: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the facts that the run store can hold."""
    return {key: value for key, value in facts.items() if not isinstance(value, bytes)}


def _with_distinct_names(devices: Mapping[int, Device]) -> dict[int, Device]:
    """Sort by name; where several devices have one, add their ids to it."""
    counts = Counter(device.name for device in devices.values())
    distinct = {
        node_id: replace(device, name=f"{device.name} {device.device}") if counts[device.name] > 1 else device
        for node_id, device in devices.items()
    }
    return dict(sorted(distinct.items(), key=lambda item: (item[1].name, item[1].device)))
