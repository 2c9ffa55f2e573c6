"""Answers what the round loop asks, in virtual time: a `python_server.tasks.Messenger` over simulated devices."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from edge_client.data import Dataset
from edge_client.records import (
    BUNDLE,
    DOWNLOAD_BYTES,
    DOWNLOAD_S,
    EVALUATE,
    PREVIOUS_UPLOAD_BYTES,
    PREVIOUS_UPLOAD_ROUND,
    PREVIOUS_UPLOAD_S,
    QUERY,
    SERVER_ROUND,
    STEPS,
    Scalar,
)
from model_export.bundle import Bundle
from python_server.simulation.clock import VirtualClock
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import Engine, TrainResult, TrainTask, steps_until_cutoff
from python_server.tasks import Answer, Assignment, LateAnswer, Node, Payload

__all__ = ["VirtualExchange"]

_FORWARD_SHARE = 1 / 3
"""Share of a training step's time that evaluating a batch takes: forward without backward."""
_PACKING_BYTES = 8


@dataclass(frozen=True)
class _Work:
    """What a device will have done, and when."""

    node_id: int
    device: SimulatedDevice
    task: TrainTask
    round: int
    planned: int
    download_s: float
    train_s: float
    upload_s: float
    done_at: float


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
    bundle
        The bundle that all hold.
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
    """

    def __init__(
        self,
        devices: Sequence[SimulatedDevice],
        engine: Engine,
        data: Dataset,
        bundle: Bundle,
        clock: VirtualClock,
        *,
        dropout: float = 0.0,
        overhead_s: float = 0.0,
        seed: int = 0,
        on_late: Callable[[LateAnswer], None] = lambda late: None,
    ) -> None:
        self._devices = devices
        self._engine = engine
        self._data = data
        self._bundle = bundle
        self._manifest = bundle.manifest
        self._clock = clock
        self._dropout = dropout
        self._overhead_s = overhead_s
        self._seed = seed
        self._on_late = on_late
        self._overdue: list[tuple[float, int, str, float]] = []

    def nodes(self) -> list[Node]:
        """Return all devices: they are always online."""
        return [Node(index, f"simulated {device.name}".encode()) for index, device in enumerate(self._devices)]

    def run(
        self, assignments: Sequence[Assignment], *, deadline_s: float, label: str, max_arrays_bytes: int = 0
    ) -> Iterator[Answer]:
        """Yield one answer for each assignment, in the order of their arrival, and move the clock along."""
        kinds = {assignment.kind for assignment in assignments}
        self._tell_late()
        if kinds <= {QUERY}:
            yield from (self._facts(assignment.node_id) for assignment in assignments)
        elif kinds == {EVALUATE}:
            yield from self._evaluate(assignments)
        else:
            yield from self._train(assignments, deadline_s, label)

    def _tell_late(self) -> None:
        while self._overdue and self._overdue[0][0] <= self._clock.monotonic():
            done_at, node_id, label, deadline = heapq.heappop(self._overdue)
            self._on_late(LateAnswer(node_id, label, done_at - deadline))

    def _facts(self, node_id: int) -> Answer:
        device = self._devices[node_id]
        info: dict[str, Scalar] = {
            "name": device.name,
            "processor": device.profile.processor or device.profile.name,
            "profile": device.profile.name,
            "classes-held": len(np.unique(self._data.y[device.rows])),
            BUNDLE: self._bundle.sha256,
            "model": self._manifest.name,
            "runtime": "simulated",
        }
        metrics = {"num-examples": len(device.rows), **_told_upload(device)}
        return Answer(node_id, metrics=metrics, info=info)

    def _train(self, assignments: Sequence[Assignment], deadline_s: float, label: str) -> Iterator[Answer]:
        self._clock.sleep(self._overhead_s)
        start = self._clock.monotonic()
        deadline = start + deadline_s
        in_time: list[_Work] = []
        missing: list[int] = []
        unfit: list[Answer] = []
        for assignment in assignments:
            problem = self._unfit(assignment.payload)
            if problem:
                unfit.append(Answer(assignment.node_id, problem))
                continue
            work = self._plan(assignment, start)
            if work is None or work.done_at - work.upload_s - work.train_s > deadline:  # gone, or withdrawn in time
                missing.append(assignment.node_id)
                continue
            work.device.busy_until = work.done_at
            if work.done_at > deadline:
                heapq.heappush(self._overdue, (work.done_at, assignment.node_id, label, deadline))
                missing.append(assignment.node_id)
            else:
                in_time.append(work)
        yield from unfit
        in_time.sort(key=lambda work: (work.done_at, work.device.name))
        for work, result in zip(in_time, self._engine.train(work.task for work in in_time)):
            self._clock.advance_to(work.done_at)
            yield self._answer(work, result, start)
        if missing:
            self._clock.advance_to(deadline)
        yield from (Answer(node_id, f"no answer within {deadline_s:g} s", late=True) for node_id in missing)

    def _unfit(self, payload: Optional[Payload]) -> str:
        """Tell why the arrays of a task cannot be trained here; empty if they can."""
        arrays = payload.arrays if payload else {}
        for path, variable in self._manifest.variables.items():
            if path not in arrays or arrays[path].shape != variable.shape:
                return f"its part of the model has no {path} of shape {list(variable.shape)}, as the bundle has"
        return ""

    def _plan(self, assignment: Assignment, start: float) -> Optional[_Work]:
        """Foresee what a device does with a task; None if it drops out."""
        device, config, payload = self._devices[assignment.node_id], assignment.config, assignment.payload
        assert payload is not None
        number = _whole(config, SERVER_ROUND)
        draw = np.random.default_rng([self._seed, number, zlib.crc32(device.name.encode())])
        if draw.random() < self._dropout:
            return None
        cut = str(config.get("cut", ""))
        per_epoch = -(-len(device.rows) // self._manifest.batch_size)
        planned = _whole(config, STEPS) or _whole(config, "epochs") * per_epoch
        epochs = -(-planned // per_epoch)
        step_s = device.step_s[cut]
        steps = steps_until_cutoff(planned, step_s, _number(config, "cutoff-s"))
        download_s, train_s = device.download_s(payload.bytes), steps * step_s
        upload_s = device.upload_s(self._upload_bytes(cut))
        seed = zlib.crc32(f"{_whole(config, 'seed')}/{number}/{device.name}".encode())
        task = TrainTask(
            rows=device.rows,
            weights=payload.arrays,
            epochs=epochs,
            steps=steps,
            learning_rate=_number(config, "learning-rate"),
            cut=cut,
            mu=_number(config, "proximal-mu"),
            seed=seed,
        )
        done_at = max(start, device.busy_until) + download_s + train_s + upload_s
        return _Work(assignment.node_id, device, task, number, planned, download_s, train_s, upload_s, done_at)

    def _answer(self, work: _Work, result: TrainResult, start: float) -> Answer:
        after_s = work.done_at - start
        if result.problem:
            return Answer(work.node_id, result.problem, replied_after_s=after_s, read_after_s=after_s)
        energy_j, idle_j, source = work.device.energy(work.train_s)
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(work.device.rows),
            "examples-processed": result.examples_processed,
            "steps": work.task.steps,
            "planned-steps": work.planned,
            "train-loss": result.loss,
            "train-s": work.train_s,
            "prepare-s": 0.0,
            DOWNLOAD_S: work.download_s,
            DOWNLOAD_BYTES: sum(value.nbytes for value in work.task.weights.values()),
            "energy-j": energy_j if source else -1.0,
            "energy-idle-j": idle_j if source else -1.0,
            **_told_upload(work.device),
        }
        work.device.upload = (work.round, work.upload_s, self._upload_bytes(work.task.cut))
        return Answer(
            work.node_id,
            metrics=metrics,
            info={"name": work.device.name, "energy-method": "modelled" if source else "none", "energy-source": source},
            arrays=dict(result.weights),
            replied_after_s=after_s,
            read_after_s=after_s,
            bytes=self._upload_bytes(work.task.cut),
        )

    def _evaluate(self, assignments: Sequence[Assignment]) -> Iterator[Answer]:
        start = self._clock.monotonic()
        ends = [start]
        for assignment in assignments:
            device, payload = self._devices[assignment.node_id], assignment.payload
            assert payload is not None
            problem = self._unfit(payload)
            if problem:
                yield Answer(assignment.node_id, problem)
                continue
            rows = device.test_rows
            loss, accuracy = self._engine.evaluate(
                payload.arrays, Dataset(self._data.x[rows], self._data.y[rows], device.name)
            )
            batches = -(-len(rows) // self._manifest.batch_size)
            seconds = batches * device.step_s[""] * _FORWARD_SHARE
            ends.append(max(start, device.busy_until) + device.download_s(payload.bytes) + seconds)
            metrics = {"num-examples": len(rows), "eval-loss": loss, "eval-accuracy": accuracy, "evaluate-s": seconds}
            yield Answer(assignment.node_id, metrics=metrics, info={"name": device.name})
        self._clock.advance_to(max(ends))

    def _upload_bytes(self, cut: str) -> int:
        """Size of an update: all that training from ``cut`` on changes, in float32."""
        updates = self._manifest.trained(cut)
        variables = self._manifest.variables
        return _PACKING_BYTES + sum(4 * int(np.prod(variables[path].shape)) for path in updates)


def _told_upload(device: SimulatedDevice) -> dict[str, Union[int, float]]:
    number, seconds, size = device.upload
    return {PREVIOUS_UPLOAD_ROUND: number, PREVIOUS_UPLOAD_S: seconds, PREVIOUS_UPLOAD_BYTES: size}


def _whole(config: Mapping[str, Scalar], key: str) -> int:
    return int(config.get(key, 0))


def _number(config: Mapping[str, Scalar], key: str) -> float:
    return float(config.get(key, 0.0))
