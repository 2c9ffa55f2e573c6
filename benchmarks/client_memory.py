"""Memory of one client that trains the demo's CNN, beside a stock SuperNode with a Keras ClientApp doing the same.

Each client trains in turn under a stock Flower FedAvg ServerApp on a stock SuperLink: the same digits, the same CNN,
the same batches and epochs. A client is all its processes: stock Flower has SuperNode, SuperExec and ClientApp, ours
has one. Memory is the proportional set size (resident pages, shared ones divided among their users), summed over a
client's processes, at its highest during the run.

    .venv/bin/python benchmarks/client_memory.py
    .venv/bin/python benchmarks/client_memory.py --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Optional

import numpy as np
from stock_loop import MemoryWatch

from model_export.bundle import Bundle
from python_server.demo import prepare_demo
from tests.superlink import Process, SuperLink, start_supernode

SERVER_APP = """
import json
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    with np.load(settings["initial"]) as file:
        arrays = ArrayRecord({name: Array(file[name]) for name in file.files})
    strategy = FedAvg(min_train_nodes=1, min_available_nodes=1, fraction_evaluate=0.0)
    config = ConfigRecord({"epochs": 2, "learning-rate": 0.05})
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=settings["rounds"], train_config=config)
    losses = [metrics["train-loss"] for metrics in result.train_metrics_clientapp.values()]
    with open(settings["result"], "w") as file:
        json.dump(losses, file)
"""
KERAS_APP = """
import keras
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from model_export.zoo import build

app = ClientApp()


@app.train()
def train(message, context):
    with np.load(context.node_config["data"]) as file:
        x, y = file["x"].astype(np.float32) / 255, file["y"]
    model = build("small_cnn", (8, 8, 1), 10)
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    for variable in model.variables:
        if variable.path in arrays:
            variable.assign(arrays[variable.path])
    config = message.content["config"]
    optimizer = keras.optimizers.SGD(config["learning-rate"], momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, batch_size=16, epochs=config["epochs"], verbose=0)
    record = ArrayRecord({v.path: Array(v.numpy()) for v in model.variables if v.path in arrays})
    metrics = MetricRecord({"num-examples": len(y), "train-loss": history.history["loss"][-1]})
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)
"""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure both, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each client (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_demo(folder)
        initial = folder / "initial.npz"
        np.savez(initial, **Bundle.load(folder / "bundle").initial())
        ours = measure(folder / "ours", initial, options.rounds, lambda link, path: lean_client(link, folder, path))
        data = f'data="{folder / "workstation.npz"}"'
        stock = measure(
            folder / "stock",
            initial,
            options.rounds,
            lambda link, path: start_supernode(link, path, node_config=data),
            client_app=KERAS_APP,
        )
    figures = {"client_bytes": ours, "stock_bytes": stock, "ratio": ours / stock}
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{'our client':44}{ours / 1e6:8.0f} MB")
    print(f"{'SuperNode, SuperExec and Keras ClientApp':44}{stock / 1e6:8.0f} MB")
    print(f"{'ours / stock':44}{figures['ratio']:8.3f}")
    return 0


def measure(
    folder: Path,
    initial: Path,
    rounds: int,
    start: Callable[[SuperLink, Path], AbstractContextManager[Process]],
    *,
    client_app: str = "",
) -> int:
    """Run FedAvg with one client and return the highest memory of its processes in bytes."""
    result = folder / "result.json"
    with SuperLink(folder / "superlink") as superlink, start(superlink, folder / "client") as client:
        with MemoryWatch(client, every_s=0.05, of=proportional_bytes) as watch:
            config = {"initial": str(initial), "rounds": rounds, "result": str(result)}
            superlink.run(SERVER_APP, client_app=client_app, config=config).wait(300)
        losses = json.loads(result.read_text())
        assert len(losses) == rounds, losses
        assert losses[-1] < losses[0], f"the client did not learn: {losses}"
        return watch.peaks[0]


@contextmanager
def lean_client(superlink: SuperLink, demo: Path, folder: Path) -> Iterator[Process]:
    """Run our client."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "edge_client.cli", "run", "--server", superlink.address, "--insecure"]
    command += ["--bundle", str(demo / "bundle"), "--data", str(demo / "workstation.npz"), "--state", str(folder)]
    process = Process([*command, "--leave-within", "1"], folder / "client.log")
    try:
        yield process
    finally:
        process.stop()


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
