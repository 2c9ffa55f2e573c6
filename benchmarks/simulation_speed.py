"""How fast clients are simulated: the local engine beside Flower's simulation on Ray, and the memory of 1,000 clients.

All train ResNet-20 clients of the same size in one run of this program, one after the other, each after a first pass
that is not counted (compilation, start of the workers): the local engine, our own clients on Ray (``flower``), and
stock Keras clients on Ray as Flower's examples write them (``stock``, `benchmarks.stock_flower`). Samples are random: a
step's time does not depend on them. Where other work runs on the machine, CPU time is the fairer figure: it counts all
processes of a simulation. Peak memory is this process's, for a round of 1,000 clients through local engine and
aggregator.

    python -m benchmarks.simulation_speed [--clients 16] [--samples 64] [--backend tensorflow] [--only local]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.stock_flower import cpu_s, measure, rates
from edge_client.data import Dataset
from model_export.bundle import Bundle
from python_server.simulation.engine import Engine, TrainTask

SHAPE, CLASSES, BATCH = (32, 32, 3), 10, 16
_EXPORT = """
import sys, keras
from model_export import Sgd, export
from model_export.zoo import build
keras.utils.set_random_seed(1)
export(build("resnet20", (32, 32, 3), 10), sys.argv[1], batch_size=16, optimizer=Sgd(momentum=0.9),
       input_scale=1 / 255, measure=False)
"""


def main() -> None:
    """Measure, and print one JSON object for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16, help="clients of a pass (default: 16)")
    parser.add_argument("--samples", type=int, default=64, help="samples of each (default: 64, four steps)")
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax"))
    parser.add_argument("--side-by-side", type=int, default=0, help="clients that step at once (JAX)")
    parser.add_argument("--bundle", help="a ResNet-20 bundle (default: export one)")
    parser.add_argument("--only", choices=tuple(PARTS), help="one of these, in this process")
    options = parser.parse_args()
    if options.only is None:
        with tempfile.TemporaryDirectory() as folder:
            bundle = options.bundle or f"{folder}/resnet20"
            if options.bundle is None:
                subprocess.run([sys.executable, "-c", _EXPORT, bundle], check=True, stderr=subprocess.DEVNULL)
            for part in PARTS:
                words = [*sys.argv[1:], "--only", part, "--bundle", bundle]
                subprocess.run([sys.executable, "-m", "benchmarks.simulation_speed", *words], check=True)
        return
    print(json.dumps({"part": options.only, **PARTS[options.only](options)}), flush=True)


def _setting(options: argparse.Namespace, clients: int, samples: int) -> tuple[Bundle, Dataset, list[TrainTask]]:
    bundle = Bundle.load(options.bundle)
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (4096, *SHAPE), dtype=np.uint8)
    data = Dataset(x, random.integers(0, CLASSES, len(x)).astype(np.int32), "random")
    weights = bundle.initial()
    tasks = [
        TrainTask(
            random.integers(0, len(x), samples),
            weights,
            epochs=1,
            steps=-(-samples // BATCH),
            learning_rate=0.05,
            seed=k,
        )
        for k in range(clients)
    ]
    return bundle, data, tasks


def _local_engine(options: argparse.Namespace, bundle: Bundle, data: Dataset) -> Engine:
    from python_server.simulation.backend import use_backend

    use_backend(options.backend)
    from python_server.simulation.local_engine import LocalEngine

    return LocalEngine({"": bundle}, data, side_by_side=options.side_by_side)


def _timed(engine: Engine, tasks: list[TrainTask]) -> dict[str, float]:
    list(engine.train(tasks[: os.cpu_count() or 1]))
    start, cpu_start = time.monotonic(), cpu_s()
    steps = 0
    for task, result in zip(tasks, engine.train(tasks)):
        assert not result.problem, result.problem
        steps += task.steps
    return rates(steps, time.monotonic() - start, cpu_s() - cpu_start)


def _local(options: argparse.Namespace) -> dict[str, object]:
    bundle, data, tasks = _setting(options, options.clients, options.samples)
    return {"backend": options.backend, **_timed(_local_engine(options, bundle, data), tasks)}


def _flower(options: argparse.Namespace) -> dict[str, object]:
    from python_server.simulation.flower_engine import within_flower

    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own default, 15, would give its workers less of the CPU
    bundle, data, tasks = _setting(options, options.clients, options.samples)
    start = time.monotonic()
    figures = within_flower({"": bundle}, data, lambda engine: _timed(engine, tasks))
    return {**figures, "seconds_with_start": round(time.monotonic() - start, 2)}


def _memory(options: argparse.Namespace) -> dict[str, object]:
    from python_server.aggregate import Aggregator

    bundle, data, tasks = _setting(options, 1000, BATCH)
    engine = _local_engine(options, bundle, data)
    start = time.monotonic()
    with Aggregator(bundle.initial()) as aggregator:
        for result in engine.train(tasks):
            aggregator.add(result.weights, 1, names=tuple(result.weights))
        aggregator.result()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"clients": 1000, "peak_memory_mib": round(peak), "seconds": round(time.monotonic() - start, 1)}


def _stock(options: argparse.Namespace) -> dict[str, object]:
    return measure(options.clients, options.samples, rounds=2)


PARTS = {"local": _local, "flower": _flower, "stock": _stock, "memory": _memory}

if __name__ == "__main__":
    main()
