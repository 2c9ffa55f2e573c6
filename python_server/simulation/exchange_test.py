"""What simulated devices make of plans, without an engine that trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.records import EVALUATE, TRAIN
from model_export.manifest import Manifest
from python_server.simulation.clock import VirtualClock
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import TrainResult, TrainTask
from python_server.simulation.exchange import VirtualExchange
from python_server.simulation.settings import ProfileSettings
from python_server.simulation.work import Workshop
from python_server.tasks import Assignment, LateAnswer, Payload
from python_server.variants import Variant


class Watching:
    """An engine that keeps its tasks and changes nothing."""

    def __init__(self) -> None:
        self.tasks: list[TrainTask] = []

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        for task in tasks:
            self.tasks.append(task)
            yield TrainResult(task.weights, 0.5, len(task.rows))

    def evaluate(self, weights: Any, data: Dataset, bundle: str = "") -> tuple[float, float]:
        return 0.5, 0.25


def an_exchange(
    folder: Path, manifest: Manifest, devices: list[SimulatedDevice], **options: Any
) -> tuple[VirtualExchange, Watching, VirtualClock]:
    """Return an exchange with devices that share 25 samples, three batches of ten."""
    bundle: Any = SimpleNamespace(manifest=manifest)
    data = Dataset(np.zeros((25, 2), np.float32), np.zeros(25, np.int32), "data")
    engine, clock = Watching(), VirtualClock(0.0)
    return VirtualExchange(devices, engine, data, Workshop({"": bundle}, folder), clock, **options), engine, clock


def a_device(name: str, step_s: float) -> SimulatedDevice:
    return SimulatedDevice(name, np.arange(25), np.arange(25), ProfileSettings(name="a"), {"": {"": step_s}}, "")


def a_payload(manifest: Manifest) -> Payload:
    return Payload({path: np.zeros(variable.shape, np.float32) for path, variable in manifest.variables.items()})


@pytest.mark.parametrize(
    ("plan", "epochs", "steps"),
    [({"epochs": 2}, 2, 6), ({"epochs": 2, "steps": 1}, 1, 1), ({"epochs": 1, "steps": 7}, 3, 7)],
)
def test_steps_go_before_epochs(
    variants: dict[str, Variant], tmp_path: Path, plan: dict[str, int], epochs: int, steps: int
) -> None:
    manifest = variants[""].manifest
    exchange, engine, _ = an_exchange(tmp_path, manifest, [a_device("d", 0.5)])
    config: Any = {"cut": "", "learning-rate": 0.1, "server-round": 1, "seed": 1, **plan}
    assignment = Assignment(0, TRAIN, config, a_payload(manifest))
    (answer,) = exchange.run([assignment], deadline_s=60, label="round 1")
    assert (engine.tasks[0].epochs, engine.tasks[0].steps) == (epochs, steps)
    assert (answer.metrics["steps"], answer.metrics["planned-steps"]) == (steps, steps)
    assert answer.metrics["train-s"] == pytest.approx(0.5 * steps)


def test_evaluation_ends_with_the_deadline_too(variants: dict[str, Variant], tmp_path: Path) -> None:
    """Three batches take as long as one step: here 2, 6 and 6 s, the last after 9 s of what it was doing."""
    manifest = variants[""].manifest
    devices = [a_device(name, step_s) for name, step_s in (("fast", 2.0), ("slow", 6.0), ("busy", 6.0))]
    devices[2].busy_until = 9.0
    late: list[LateAnswer] = []
    exchange, _, clock = an_exchange(tmp_path, manifest, devices, on_late=late.append)
    tasks = [Assignment(number, EVALUATE, {}, a_payload(manifest)) for number in range(3)]
    answers = list(exchange.run(tasks, deadline_s=5, label="evaluation of round 1"))
    assert [(answer.late, answer.metrics.get("eval-accuracy")) for answer in answers] == [
        (False, 0.25),
        (True, None),
        (True, None),
    ]
    assert answers[0].replied_after_s == pytest.approx(2)
    assert clock.monotonic() == 5
    assert devices[1].busy_until == pytest.approx(6)
    assert devices[2].busy_until == 9, "its task was withdrawn before it took it up"
    clock.advance_to(7)
    list(exchange.run(tasks[:1], deadline_s=5, label="evaluation of round 2"))
    assert [each.node_id for each in late] == [1]
    assert late[0].seconds_late == pytest.approx(1)
