"""What a round costs in stock Flower: SuperLink, SuperNodes and ``grid.send_and_receive``, all real processes.

Overhead is the wall time of a train phase less the training time of the slowest client, which here is a sleep of known
length in the ClientApp. Memory is the resident memory of all processes, summed by what started them, at its highest.
`run_stock` is what other benchmarks call.

    .venv/bin/python benchmarks/stock_loop.py
    .venv/bin/python benchmarks/stock_loop.py --clients 4 --megabytes 14 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.superlink import Process, SuperLink, start_supernode, until

__all__ = ["MemoryWatch", "StockResult", "run_stock"]

CLIENT_APP = """
import time
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message, context):
    start = time.monotonic()
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    time.sleep(message.content["config"]["train-s"])
    metrics = MetricRecord({"num-examples": 1, "train-s": time.monotonic() - start})
    record = ArrayRecord({name: Array(array + 1) for name, array in arrays.items()})
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)
"""

SERVER_APP = """
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    while len(nodes := list(grid.get_node_ids())) < settings["clients"]:
        time.sleep(0.2)
    random = np.random.default_rng(0)
    floats, tensors = settings["floats"], settings["tensors"]
    phases = []
    for number in range(settings["rounds"]):
        start = time.monotonic()
        arrays = {
            f"layer{i}/kernel": Array(random.standard_normal(floats // tensors).astype(np.float32))
            for i in range(tensors)
        }
        config = ConfigRecord({"server-round": number + 1, "train-s": settings["train-s"]})
        content = RecordDict({"arrays": ArrayRecord(arrays), "config": config})
        replies = grid.send_and_receive([Message(content, node, "train") for node in nodes])
        slowest = max(reply.content["metrics"]["train-s"] for reply in replies)
        total = [sum(r.content["arrays"][name].numpy() for r in replies) for name in arrays]
        assert len(replies) == len(nodes) and len(total) == tensors
        phases.append({"phase_s": time.monotonic() - start, "slowest_s": slowest})
    Path(settings["result"]).write_text(json.dumps(phases))
"""


@dataclass(frozen=True)
class StockResult:
    """Figures of one run.

    Attributes
    ----------
    overhead_s
        By round: wall time of the train phase less the slowest client's training.
    server_bytes, client_bytes
        Highest resident memory of the SuperLink with all it started, and of the largest SuperNode with all it started.
    total_bytes
        Highest sum over all processes.
    """

    overhead_s: list[float]
    server_bytes: int
    client_bytes: int
    total_bytes: int

    @property
    def median_overhead_s(self) -> float:
        """Median over the rounds after the first, which also starts processes."""
        return statistics.median(self.overhead_s[1:] or self.overhead_s)


class MemoryWatch:
    """Samples the memory of processes and all that descend from them while it is entered.

    Parameters
    ----------
    processes
        The processes.
    every_s
        How often to look.
    of
        Bytes of a process by its id: resident ones by default.
    """

    def __init__(self, *processes: Process, every_s: float = 0.5, of: Optional[Callable[[int], int]] = None) -> None:
        self._processes = processes
        self._every_s = every_s
        self._of = of or _resident_bytes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peaks = [0] * len(processes)
        self.total = 0

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(self._every_s):
            now = [sum(map(self._of, process.family())) for process in self._processes]
            self.peaks = [max(pair) for pair in zip(self.peaks, now)]
            self.total = max(self.total, sum(now))


def _resident_bytes(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def run_stock(
    *,
    clients: int,
    floats: int,
    rounds: int,
    tensors: int = 4,
    train_s: float = 0.5,
    client_app: str = CLIENT_APP,
    node_config: str = "",
    within_s: float = 600.0,
) -> StockResult:
    """Run the stock loop.

    Parameters
    ----------
    clients
        SuperNodes.
    floats, tensors
        Size of the model, and in how many arrays.
    rounds
        Train phases.
    train_s
        How long each client trains.
    client_app
        Source of the ClientApp; it has to report ``train-s``.
    node_config
        What each SuperNode is told; ``{number}`` becomes its number.
    within_s
        Fail when it takes longer.
    """
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        superlink = stack.enter_context(SuperLink(folder / "superlink"))
        nodes = [
            stack.enter_context(
                start_supernode(superlink, folder / f"node-{number}", node_config=node_config.format(number=number))
            )
            for number in range(clients)
        ]
        result = folder / "result.json"
        watch = stack.enter_context(MemoryWatch(superlink.process, *nodes))
        superlink.run(
            SERVER_APP,
            client_app=client_app,
            config={
                "clients": clients,
                "floats": floats,
                "tensors": tensors,
                "rounds": rounds,
                "train-s": train_s,
                "result": str(result),
            },
        )
        try:
            until(lambda: result.exists() and result.stat().st_size, within_s=within_s, what="the last round")
        except AssertionError as error:
            raise SystemExit(f"{error}\n{superlink.log[-3000:]}") from None
        phases = json.loads(result.read_text())
        return StockResult(
            overhead_s=[phase["phase_s"] - phase["slowest_s"] for phase in phases],
            server_bytes=watch.peaks[0],
            client_bytes=max(watch.peaks[1:]),
            total_bytes=watch.total,
        )


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--clients", type=int, default=4, help="SuperNodes (default: %(default)s)")
    parser.add_argument("--megabytes", type=float, default=0.001, help="size of the model (default: %(default)s)")
    parser.add_argument("--tensors", type=int, default=4, help="arrays of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="train phases (default: %(default)s)")
    parser.add_argument("--train-s", type=float, default=0.5, help="seconds of training (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = run_stock(
        clients=options.clients,
        floats=int(options.megabytes * 1e6 / 4),
        tensors=options.tensors,
        rounds=options.rounds,
        train_s=options.train_s,
    )
    if options.json:
        print(json.dumps({**asdict(result), "median_overhead_s": result.median_overhead_s}))
        return
    print(f"{options.clients} stock clients, {options.megabytes:g} MB in {options.tensors} arrays")
    print(f"{'overhead of the train phase, by round':50}{'  '.join(f'{s:.2f} s' for s in result.overhead_s)}")
    print(f"{'median without the first':50}{result.median_overhead_s:.2f} s")
    for name, value in (
        ("SuperLink, SuperExec, ServerApp", result.server_bytes),
        ("SuperNode, SuperExec, ClientApp", result.client_bytes),
        ("all processes", result.total_bytes),
    ):
        print(f"{'resident memory, ' + name:50}{value / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
