"""Flower's own way to simulate Keras clients: 1,000 virtual ones on Ray, a few of which train each round.

As in Flower's examples, each message builds and compiles the model, sets the weights, and calls ``fit``; the server is
Flower's FedAvg. The network, the batches and the optimizer are those of `benchmarks.simulation_speed`. The first round
is not counted: workers start and import TensorFlow then.

    python -m benchmarks.stock_flower [--clients 8] [--samples 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

SHAPE, CLASSES, BATCH, VIRTUAL = (32, 32, 3), 10, 16, 1000
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8, help="of a round (default: 8)")
    parser.add_argument("--samples", type=int, default=64, help="of each client (default: 64, four steps)")
    parser.add_argument("--rounds", type=int, default=3, help="the first is not counted (default: 3)")
    options = parser.parse_args()
    print(json.dumps(measure(options.clients, options.samples, options.rounds)), flush=True)


def measure(clients: int, samples: int, rounds: int) -> dict[str, Any]:
    """Return client-steps per second and the CPU time of one, over all rounds but the first."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    client, server = ClientApp(), ServerApp()

    @client.train()  # type: ignore[untyped-decorator]  # flwr is not checked
    def train(message: Message, context: Context) -> Message:
        import keras

        keras.backend.clear_session()
        model = _model()
        model.set_weights(message.content["arrays"].to_numpy_ndarrays())
        random = np.random.default_rng(int(context.node_config["partition-id"]))
        x = random.random((samples, *SHAPE), np.float32)
        y = random.integers(0, CLASSES, samples)
        history = model.fit(x, y, epochs=1, batch_size=BATCH, verbose=0)
        metrics = {"loss": history.history["loss"][-1], "num-examples": samples}
        content = {"arrays": ArrayRecord(model.get_weights()), "metrics": MetricRecord(metrics)}
        return Message(RecordDict(content), reply_to=message)

    marks: list[tuple[float, float]] = []

    class Timed(FedAvg):  # type: ignore[misc]
        """FedAvg that reads the clocks before each round and after its training."""

        def configure_train(self, server_round: int, *rest: Any) -> Iterable[Message]:
            marks.append((time.monotonic(), cpu_s()))
            return super().configure_train(server_round, *rest)  # type: ignore[no-any-return]

        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            replies = list(replies)
            assert len(replies) == clients
            assert not any(reply.has_error() for reply in replies)
            marks.append((time.monotonic(), cpu_s()))
            return super().aggregate_train(server_round, replies)

    @server.main()  # type: ignore[untyped-decorator]
    def serve(grid: Grid, context: Context) -> None:
        strategy = Timed(fraction_train=clients / VIRTUAL, fraction_evaluate=0.0)
        strategy.start(grid=grid, initial_arrays=ArrayRecord(_model().get_weights()), num_rounds=rounds)

    config: Any = {
        "init_args": {"log_to_driver": False, "include_dashboard": False},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(server, client, num_supernodes=VIRTUAL, backend_config=config)
    counted = list(zip(marks[2::2], marks[3::2]))
    seconds = sum(end[0] - begin[0] for begin, end in counted)
    used_s = sum(end[1] - begin[1] for begin, end in counted)
    steps = len(counted) * clients * -(-samples // BATCH)
    return {"virtual_clients": VIRTUAL, **rates(steps, seconds, used_s)}


def rates(steps: int, seconds: float, used_s: float) -> dict[str, float]:
    """Return figures of a simulation that took so many client-steps, seconds, and seconds of CPU time."""
    return {
        "client_steps": steps,
        "seconds": round(seconds, 2),
        "client_steps_per_s": round(steps / seconds, 3),
        "cpu_ms_per_step": round(1000 * used_s / steps, 1),
    }


def _model() -> Any:
    import keras

    from model_export.zoo import build

    model = build("resnet20", SHAPE, CLASSES)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss="sparse_categorical_crossentropy")
    return model


def cpu_s() -> float:
    """Return the CPU time of this process and all below it that still run."""
    return sum(_own_cpu_s(pid) for pid in _descendants(os.getpid()))


def _own_cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _descendants(root: int) -> Iterator[int]:
    parents = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = [root]
    while found:
        pid = found.pop()
        yield pid
        found += [each for each, fields in parents.items() if fields and int(fields[1]) == pid]


def _stat(pid: int) -> Optional[list[str]]:
    """Return the fields of ``/proc/PID/stat`` from the state on; None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


if __name__ == "__main__":
    main()
