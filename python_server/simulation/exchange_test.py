"""What simulated devices make of plans, without an engine that trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.records import TRAIN
from python_server.simulation.clock import VirtualClock
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import TrainResult, TrainTask
from python_server.simulation.exchange import VirtualExchange
from python_server.simulation.settings import ProfileSettings
from python_server.simulation.work import Workshop
from python_server.tasks import Assignment, Payload
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
        raise AssertionError("nothing is evaluated")


@pytest.mark.parametrize(
    ("plan", "epochs", "steps"),
    [({"epochs": 2}, 2, 6), ({"epochs": 2, "steps": 1}, 1, 1), ({"epochs": 1, "steps": 7}, 3, 7)],
)
def test_steps_go_before_epochs(
    variants: dict[str, Variant], tmp_path: Path, plan: dict[str, int], epochs: int, steps: int
) -> None:
    manifest = variants[""].manifest
    bundle: Any = SimpleNamespace(manifest=manifest)
    data = Dataset(np.zeros((25, 2), np.float32), np.zeros(25, np.int32), "data")
    rows = np.arange(25)  # three batches of ten
    device = SimulatedDevice("d", rows, rows, ProfileSettings(name="a"), {"": {"": 0.5}}, "")
    engine, clock = Watching(), VirtualClock(0.0)
    exchange = VirtualExchange([device], engine, data, Workshop({"": bundle}, tmp_path), clock)
    weights = {path: np.zeros(variable.shape, np.float32) for path, variable in manifest.variables.items()}
    config: Any = {"cut": "", "learning-rate": 0.1, "server-round": 1, "seed": 1, **plan}
    assignment = Assignment(0, TRAIN, config, Payload(weights))
    (answer,) = exchange.run([assignment], deadline_s=60, label="round 1")
    assert (engine.tasks[0].epochs, engine.tasks[0].steps) == (epochs, steps)
    assert (answer.metrics["steps"], answer.metrics["planned-steps"]) == (steps, steps)
    assert answer.metrics["train-s"] == pytest.approx(0.5 * steps)
