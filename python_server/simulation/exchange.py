"""Answers what the round loop asks, in virtual time: a `python_server.tasks.Messenger` over simulated devices."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge_client.data import Dataset
from edge_client.errors import TaskError
from edge_client.records import (
    ACCEPTS_BUNDLE,
    BATTERY_PERCENT,
    BATTERY_WH,
    BUNDLE,
    CHARGING,
    CODECS,
    ENERGY,
    EVALUATE,
    KEEPS_WEIGHTS,
    MEMORY_BYTES,
    QUERY,
    SERVER_ROUND,
    Scalar,
)
from model_export import codecs
from python_server.simulation.clock import VirtualClock
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import Engine, TrainTask
from python_server.simulation.standing import restore, standing_of
from python_server.simulation.work import UnfitError, Work, Workshop, check_fit, energy_info
from python_server.tasks import Answer, Assignment, LateAnswer, Node

__all__ = ["VirtualExchange"]


class VirtualExchange:
    """Reaches simulated devices.

    Devices that answer in time are trained by the engine, in the order in which their answers arrive; what comes too
    late or never is not computed at all. A device does one thing at a time: what it still has to do when the next round
    begins delays its part in it.

    Parameters
    ----------
    devices
        The devices; their place in the list is their node id.
    engine
        Trains in their place.
    data
        The samples of all devices.
    workshop
        Does what devices do beside training.
    clock
        Moved by what the devices do.
    dropout
        Probability that a device that is asked to train never answers.
    overhead_s
        What each round takes beside the devices.
    seed
        Of dropouts.
    on_late
        Called with each late answer.
    on_done
        Called with the number of a round when all of its answers are there, of training or of evaluation.
    """

    def __init__(
        self,
        devices: Sequence[SimulatedDevice],
        engine: Engine,
        data: Dataset,
        workshop: Workshop,
        clock: VirtualClock,
        *,
        dropout: float = 0.0,
        overhead_s: float = 0.0,
        seed: int = 0,
        on_late: Callable[[LateAnswer], None] = lambda late: None,
        on_done: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._devices = devices
        self._engine = engine
        self._data = data
        self._workshop = workshop
        self._clock = clock
        self._dropout = dropout
        self._overhead_s = overhead_s
        self._seed = seed
        self._on_late = on_late
        self._on_done = on_done
        self._overdue: list[tuple[float, int, str, float]] = []

    def standing(self) -> dict[str, Any]:
        """Return what clock and devices have come to, as JSON can hold it."""
        devices = {device.name: standing_of(device) for device in self._devices}
        return {
            "now": self._clock.monotonic(),
            "overdue": self._overdue,
            "devices": {name: standing for name, standing in devices.items() if standing},
        }

    def restore(self, standing: Mapping[str, Any]) -> None:
        """Go on from what `standing` returned."""
        self._clock.advance_to(standing["now"])
        self._overdue = [(each[0], each[1], each[2], each[3]) for each in standing["overdue"]]
        for device in self._devices:
            if device.name in standing["devices"]:
                restore(device, standing["devices"][device.name])

    def nodes(self) -> list[Node]:
        """Return all devices: they are always online, until their battery is empty."""
        now = self._clock.monotonic()
        return [
            Node(index, f"simulated {device.name}".encode())
            for index, device in enumerate(self._devices)
            if device.charge_percent(now) != 0.0
        ]

    def run(
        self, assignments: Sequence[Assignment], *, deadline_s: float, label: str, max_arrays_bytes: int = 0
    ) -> Iterator[Answer]:
        """Yield one answer for each assignment, in the order of their arrival, and move the clock along."""
        kinds = {assignment.kind for assignment in assignments}
        if kinds <= {QUERY}:
            yield from self._query(assignments, deadline_s)
            return
        self._tell_late()  # by now the server knows the devices' names, also after a resume
        if kinds == {EVALUATE}:
            yield from self._evaluate(assignments, deadline_s, label)
            self._on_done(int(assignments[0].config.get(SERVER_ROUND, 0)))
        else:
            yield from self._train(assignments, deadline_s, label)
            self._on_done(int(assignments[0].config.get(SERVER_ROUND, 0)))

    def _tell_late(self) -> None:
        while self._overdue and self._overdue[0][0] <= self._clock.monotonic():
            done_at, node_id, label, deadline = heapq.heappop(self._overdue)
            self._on_late(LateAnswer(node_id, label, done_at - deadline))

    def _query(self, assignments: Sequence[Assignment], deadline_s: float) -> Iterator[Answer]:
        """Answer at once, or after the download where a bundle comes with the question."""
        start = self._clock.monotonic()
        ends = [start]
        for assignment in assignments:
            device = self._devices[assignment.node_id]
            if assignment.payload is None:
                yield self._facts(assignment.node_id)
                continue
            done_at = max(start, device.busy_until) + device.download_s(assignment.payload.bytes)
            ends.append(min(done_at, start + deadline_s))
            if not device.takes_bundles:
                yield Answer(assignment.node_id, "it takes no other bundle than its own")
            elif done_at > start + deadline_s:
                yield Answer(assignment.node_id, f"no answer within {deadline_s:g} s", late=True)
            else:
                device.bundle, device.busy_until = str(assignment.config[BUNDLE]), done_at
                yield self._facts(assignment.node_id)
        self._clock.advance_to(max(ends))

    def _facts(self, node_id: int) -> Answer:
        device = self._devices[node_id]
        info: dict[str, Scalar] = {
            "name": device.name,
            "processor": device.profile.processor or device.profile.name,
            "profile": device.profile.name,
            "classes-held": len(np.unique(self._data.y[device.rows])),
            BUNDLE: device.bundle,
            ACCEPTS_BUNDLE: device.takes_bundles,
            KEEPS_WEIGHTS: True,
            CODECS: " ".join(codecs.FAMILIES),
            "model": self._workshop.manifest(device).name,
            "runtime": "simulated",
        }
        if device.profile.memory_mb:
            info[MEMORY_BYTES] = int(device.profile.memory_mb * 1e6)
        if device.upload_j is not None:
            info.update(energy_info(device))
        charge = device.charge_percent(self._clock.monotonic())
        if charge is not None:
            info.update({BATTERY_PERCENT: charge, CHARGING: False, BATTERY_WH: device.profile.battery_wh})
        return Answer(node_id, metrics={"num-examples": len(device.rows), **device.told_upload()}, info=info)

    def _train(self, assignments: Sequence[Assignment], deadline_s: float, label: str) -> Iterator[Answer]:
        self._clock.sleep(self._overhead_s)
        self._workshop.begin()
        start = self._clock.monotonic()
        deadline = start + deadline_s
        in_time: list[Work] = []
        missing: list[int] = []
        unfit: list[Answer] = []
        for assignment in assignments:
            device = self._devices[assignment.node_id]
            try:
                work = self._workshop.foresee(assignment, device, start)
            except (TaskError, UnfitError) as error:
                unfit.append(Answer(assignment.node_id, str(error)))
                continue
            gone = self._drops_out(assignment, device)
            if gone or work.done_at - work.course.upload_s - work.course.train_s > deadline:  # or withdrawn in time
                missing.append(assignment.node_id)
                continue
            device.busy_until = work.done_at
            device.work_j += work.work_j
            if work.done_at > deadline:
                heapq.heappush(self._overdue, (work.done_at, assignment.node_id, label, deadline))
                missing.append(assignment.node_id)
            else:
                in_time.append(work)
        yield from unfit
        in_time.sort(key=lambda work: (work.done_at, work.device.name))
        tasks: dict[int, TrainTask] = {}
        for work, result in zip(in_time, self._engine.train(self._tasks(in_time, tasks))):
            self._clock.advance_to(work.done_at)
            yield self._workshop.answer(work, tasks.pop(work.node_id), result, start)
        if missing:
            self._clock.advance_to(deadline)
        yield from (Answer(node_id, f"no answer within {deadline_s:g} s", late=True) for node_id in missing)

    def _tasks(self, works: Sequence[Work], under_way: dict[int, TrainTask]) -> Iterator[TrainTask]:
        """Yield the tasks as the engine takes them; meanwhile they are under way, by node id."""
        for work in works:
            under_way[work.node_id] = self._workshop.task(work)
            yield under_way[work.node_id]

    def _drops_out(self, assignment: Assignment, device: SimulatedDevice) -> bool:
        number = int(assignment.config.get(SERVER_ROUND, 0))
        draw = np.random.default_rng([self._seed, number, zlib.crc32(device.name.encode())])
        return bool(draw.random() < self._dropout)

    def _evaluate(self, assignments: Sequence[Assignment], deadline_s: float, label: str) -> Iterator[Answer]:
        start = self._clock.monotonic()
        deadline, ends = start + deadline_s, [start]
        for assignment in assignments:
            device, payload = self._devices[assignment.node_id], assignment.payload
            assert payload is not None
            manifest, rows = self._workshop.manifest(device), device.test_rows
            try:
                check_fit(payload.arrays, manifest)
            except UnfitError as error:
                yield Answer(assignment.node_id, str(error))
                continue
            seconds = device.evaluate_s(-(-len(rows) // manifest.batch_size))
            done_at = max(start, device.busy_until) + device.download_s(payload.bytes) + seconds
            ends.append(min(done_at, deadline))
            if done_at > deadline:
                if done_at - seconds <= deadline:  # else it is withdrawn in time
                    device.busy_until = done_at
                    heapq.heappush(self._overdue, (done_at, assignment.node_id, label, deadline))
                yield Answer(assignment.node_id, f"no answer within {deadline_s:g} s", late=True)
                continue
            test = Dataset(self._data.x[rows], self._data.y[rows], device.name)
            loss, accuracy = self._engine.evaluate(payload.arrays, test, device.bundle)
            metrics = {"num-examples": len(rows), "eval-loss": loss, "eval-accuracy": accuracy, "evaluate-s": seconds}
            if device.energy_source:
                gross, idle = device.joules("evaluate", seconds)
                metrics.update(zip(ENERGY, (gross, idle)))
                device.work_j += gross - idle
            after_s = done_at - start
            info = energy_info(device)
            yield Answer(assignment.node_id, metrics=metrics, info=info, replied_after_s=after_s, read_after_s=after_s)
        self._clock.advance_to(max(ends))
