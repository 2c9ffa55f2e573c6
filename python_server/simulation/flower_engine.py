"""The ``flower`` engine: every client in a worker of Flower's simulation on Ray, trained by the bundle's own model.

Slower than the local engine, and closer to the devices: the very TensorFlow Lite model trains, compressed ones too. On
a cluster, start Ray first (``ray start``) and set ``RAY_ADDRESS``.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge_client.data import Dataset
from edge_client.records import ARRAYS, CONFIG, INFO, METRICS, TRAIN, decode_arrays
from edge_client.trainer import Trainer
from model_export.bundle import Bundle
from python_server.errors import ExperimentError, FleetError
from python_server.simulation.engine import Arrays, TrainResult, TrainTask
from python_server.tasks import Payload

__all__ = ["FlowerEngine", "within_flower"]

Result = TypeVar("Result")
_POLL_S = 0.01
_AHEAD = 4
"""Tasks under way for each worker: enough that none waits, few enough that their weights fit the memory."""
_SHARED = 8
"""Weights that are kept ready to send, as most of a round's tasks begin with one of a few."""


class FlowerEngine:
    """Trains clients through a grid of Flower's simulation; see `within_flower`.

    Parameters
    ----------
    grid
        Flower's grid.
    bundles
        By hash, the experiment's own under the empty name; see `python_server.model.RunBundles`.
    samples
        Directory with ``x.npy`` and ``y.npy``.
    workers
        How many clients train at once.
    ended
        Set when Flower's simulation is over, so that nobody waits for it any more.
    interrupted
        Set before that if it was over because the user wanted so.
    """

    def __init__(
        self,
        grid: Any,
        bundles: Mapping[str, Bundle],
        samples: Path,
        workers: int,
        ended: threading.Event,
        interrupted: threading.Event,
    ) -> None:
        self._ended = ended
        self._interrupted = interrupted
        self._grid = grid
        self._bundles = bundles
        self._samples = samples
        self._under_way = _AHEAD * workers
        self._nodes = self._wait_for_nodes(workers)
        self._evaluators: dict[str, Trainer] = {}

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order."""
        waiting: dict[str, int] = {}
        done: dict[int, TrainResult] = {}
        payloads: deque[Payload] = deque(maxlen=_SHARED)
        numbered = enumerate(tasks)
        for number in itertools.count():
            while number not in done:
                for index, task in itertools.islice(numbered, self._under_way - len(waiting) - len(done)):
                    payload = next((each for each in payloads if each.arrays is task.weights), None)
                    if payload is None:
                        payloads.append(payload := Payload(task.weights))
                    (sent,) = self._grid.push_messages([self._message(index, task, payload)])
                    waiting[sent] = index
                if not waiting:
                    return
                for reply in self._grid.pull_messages(list(waiting)):
                    done[waiting.pop(reply.metadata.reply_to_message_id)] = _result(reply)
                self._pause()
            yield done.pop(number)

    def evaluate(self, weights: Arrays, data: Dataset, bundle: str = "") -> tuple[float, float]:
        """Return mean loss and accuracy, computed here."""
        if bundle not in self._evaluators:
            self._evaluators[bundle] = Trainer(self._bundles[bundle])
        self._evaluators[bundle].set_weights(weights)
        return self._evaluators[bundle].evaluate(data.x, data.y)

    def _wait_for_nodes(self, count: int) -> list[int]:
        while len(nodes := sorted(self._grid.get_node_ids())) < count:
            self._pause()
        return nodes

    def _pause(self) -> None:
        if self._ended.wait(_POLL_S):
            if self._interrupted.is_set():
                raise KeyboardInterrupt  # so that the run is recorded as interrupted
            raise FleetError("Flower's simulation ended before the experiment did")

    def _message(self, index: int, task: TrainTask, payload: Payload) -> Any:
        from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

        config: dict[str, Any] = {
            "bundle": str(self._bundles[task.bundle].path.resolve()),
            "samples": str(self._samples),
            "cut": task.cut,
            "epochs": task.epochs,
            "steps": task.steps,
            "learning-rate": task.learning_rate,
            "proximal-mu": task.mu,
            "seed": task.seed,
        }
        rows = ArrayRecord({"rows": Array(np.ascontiguousarray(task.rows))})
        content = RecordDict({CONFIG: ConfigRecord(config), ARRAYS: payload.record, "rows": rows})
        return Message(content, self._nodes[index % len(self._nodes)], TRAIN)


def within_flower(bundles: Mapping[str, Bundle], data: Dataset, work: Callable[[FlowerEngine], Result]) -> Result:
    """Do ``work`` with an engine, within a simulation of Flower that ends with it.

    Raises
    ------
    ExperimentError
        Ray is not installed.
    FleetError
        Flower's simulation failed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ExperimentError("simulation.engine is 'flower', and Ray is not installed: pip install ray")
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    from python_server.simulation.flower_client import app
    from python_server.superlink import quiet_flower

    quiet_flower()
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # what it logs as an error is raised here, in one line
    workers = os.cpu_count() or 1
    outcome: list[Result] = []
    failures: list[BaseException] = []
    ended, interrupted = threading.Event(), threading.Event()
    server = ServerApp()
    with tempfile.TemporaryDirectory(prefix="pocketfleet-samples-") as folder:
        np.save(f"{folder}/x.npy", data.x)
        np.save(f"{folder}/y.npy", data.y)

        @server.main()  # type: ignore[untyped-decorator]  # flwr is not checked
        def main(grid: Any, context: Any) -> None:
            try:
                outcome.append(work(FlowerEngine(grid, bundles, Path(folder), workers, ended, interrupted)))
            except BaseException as error:
                failures.append(error)

        config: Any = {
            "init_args": {"log_to_driver": False, "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        }
        try:
            run_simulation(server, app, num_supernodes=workers, backend_config=config)
        except KeyboardInterrupt:
            interrupted.set()
            raise
        except RuntimeError as error:
            cause = " ".join(str((error.__cause__ and error.__cause__.__cause__) or error).split())
            raise FleetError(f"Flower's simulation failed: {cause}") from error
        finally:
            ended.set()  # the thread of `main` outlives a simulation that failed
    if failures:
        raise failures[0]
    if not outcome:
        raise FleetError("Flower's simulation ended before the experiment did")
    return outcome[0]


def _result(reply: Any) -> TrainResult:
    if reply.has_error():
        return TrainResult({}, 0.0, 0, reply.error.reason or f"error {reply.error.code}")
    record = {name: array.numpy() for name, array in reply.content[ARRAYS].items()}
    weights, _ = decode_arrays(record)
    metrics, info = reply.content[METRICS], reply.content[INFO]
    return TrainResult(weights, float(metrics["loss"]), int(metrics["processed"]), str(info["problem"]))
