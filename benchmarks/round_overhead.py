"""Overhead of a round: our server and clients beside the stock SuperNode and ``send_and_receive`` loop, in one run.

Overhead is the wall time of a train phase less the training time of the slowest client, which here is a sleep of known
length. Every client is a process of its own, on both sides. Our side runs as it does by default, with TLS, signed
requests and enrolled devices; the stock side with neither TLS nor enrolment, which is its quickest form.

    .venv/bin/python benchmarks/round_overhead.py
    .venv/bin/python benchmarks/round_overhead.py --clients 4 --megabytes 14 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional

import numpy as np
from stock_loop import run_stock

from edge_client.client import ClientConfig, run_client
from edge_client.records import QUERY, Reply, Task
from python_server.exchange import Exchange
from python_server.experiment import ClientSettings, parse_experiment
from python_server.flower_run import open_run, register_devices
from python_server.identity import Identity, host_names
from python_server.local_clients import client_public_key
from python_server.model import Evaluation
from python_server.progress import Progress
from python_server.round_loop import RoundLoop
from python_server.run_reader import RunReader
from python_server.store import RunStore
from python_server.superlink import SuperLink, SuperLinkSettings
from tests.superlink import Process

ROOT = Path(__file__).resolve().parent.parent


class Arrays:
    """A model of some arrays of random numbers."""

    sha256 = ""

    def __init__(self, floats: int, tensors: int) -> None:
        random = np.random.default_rng(0)
        shape = (max(1, floats // tensors),)
        self._arrays = {f"layer{i}/kernel": random.standard_normal(shape).astype(np.float32) for i in range(tensors)}

    def initial(self) -> dict[str, np.ndarray]:
        """Return the arrays."""
        return dict(self._arrays)

    def trained(self, cut: str) -> tuple[str, ...]:
        """Return all names."""
        return tuple(self._arrays)

    def packed_bundle(self) -> bytes:
        """Return nothing: every client has what it needs."""
        return b""

    def evaluate(self, weights: Any, bundle: str = "") -> Optional[Evaluation]:
        """Evaluate nothing."""
        return None


def run_ours(*, clients: int, floats: int, rounds: int, tensors: int = 4, train_s: float = 0.5) -> list[float]:
    """Return the overhead of each round in seconds, with our server and clients; see `stock_loop.run_stock`."""
    names = [f"client-{number}" for number in range(clients)]
    text = f'name = "overhead"\nrounds = {rounds}\n[model]\nbundle = "none"\n[server]\nmin_clients = {clients}\n'
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        certificates = Identity(folder / "identity").certificates(host_names(["localhost"]))
        superlink = stack.enter_context(
            SuperLink(SuperLinkSettings(port=0, certificates=certificates), folder / "superlink.log")
        )
        keys = {client_public_key(ClientSettings(name=name, data=folder), folder / name): name for name in names}
        register_devices(superlink, list(keys))
        run = stack.enter_context(open_run(superlink))
        for name in names:
            arguments = ["--as-client", f"localhost:{superlink.port}", str(folder / name), str(certificates.ca)]
            command = [sys.executable, __file__, *arguments, "--train-s", str(train_s)]
            process = Process(command, folder / f"{name}.log")
            stack.callback(process.stop)
        experiment = parse_experiment(text.encode(), folder, "overhead")
        store = RunStore.create(folder / "run", experiment.source, {}, keep="last")
        stack.callback(store.close)
        exchange = Exchange(run.grid, check=superlink.check)
        loop = RoundLoop(experiment, store, Arrays(floats, tensors), exchange, names=keys, progress=Progress())
        loop.run()
        store.finish("finished", uploads=[])
        with RunReader(store.path) as reader:
            slowest: dict[int, float] = {}
            for row in reader.device_rounds():
                assert row.outcome == "ok", row
                slowest[row.round] = max(slowest.get(row.round, 0.0), row.train_s or 0.0)
            return [row.train_phase_s - slowest[row.round] for row in reader.rounds() if row.round > 0]


def be_client(server: str, state: Path, ca: Path, train_s: float) -> None:
    """Be a client that sleeps and adds one to every weight."""

    def handle(task: Task) -> Reply:
        if task.kind == QUERY:
            return Reply(metrics={"num-examples": 1}, info={"name": state.name, "processor": "cpu"})
        start = time.monotonic()
        time.sleep(train_s)
        metrics = {"num-examples": 1, "examples-processed": 1, "steps": 1, "planned-steps": 1, "train-loss": 0.0}
        arrays = {name: array + 1 for name, array in task.arrays.items()}
        return Reply(metrics={**metrics, "train-s": time.monotonic() - start}, arrays=arrays)

    run_client(ClientConfig(server=server, state=state, ca_file=ca, leave_within_s=1.0), handle)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure both sides, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--clients", type=int, default=4, help="clients of each side (default: %(default)s)")
    parser.add_argument(
        "--megabytes", type=float, nargs="+", default=[0.001, 14], help="model sizes (default: 0.001 14)"
    )
    parser.add_argument("--tensors", type=int, default=4, help="arrays of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="train phases of each side (default: %(default)s)")
    parser.add_argument("--train-s", type=float, default=0.5, help="seconds of training (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--as-client", nargs=3, metavar=("SERVER", "STATE", "CA"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.as_client:
        server, state, ca = options.as_client
        be_client(server, Path(state), Path(ca), options.train_s)
        return 0
    rows = []
    for megabytes in options.megabytes:
        size = {"clients": options.clients, "floats": int(megabytes * 1e6 / 4), "tensors": options.tensors}
        ours = run_ours(**size, rounds=options.rounds, train_s=options.train_s)
        stock = run_stock(**size, rounds=options.rounds, train_s=options.train_s)
        # The first round also starts processes, on the stock side.
        ours_s, stock_s = statistics.median(ours[1:] or ours), stock.median_overhead_s
        rows.append({"megabytes": megabytes, "ours_s": ours_s, "stock_s": stock_s, "ratio": stock_s / ours_s})
        rows[-1].update(ours_rounds_s=ours, stock_rounds_s=stock.overhead_s)
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{options.clients} clients, {options.rounds} rounds, overhead of the train phase, median without the first")
    print(f"{'model':>10}{'ours':>10}{'stock':>10}{'stock / ours':>15}")
    for row in rows:
        print(f"{row['megabytes']:>7g} MB{row['ours_s']:>8.2f} s{row['stock_s']:>8.2f} s{row['ratio']:>14.1f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
