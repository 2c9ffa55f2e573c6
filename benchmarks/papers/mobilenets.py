"""MobileNet V1, V2, V3-Small and V3-Large trained by two clients on CIFAR-10: table III of the MobileNets paper.

Negi and Chinara, "Study of MobileNets Model in Federated Learning" (2023), table III: 20 rounds of 20 local epochs on
two clients of one PC. What the paper leaves out was read in the code that it names (its reference [19]): both clients
hold all of CIFAR-10, batches of 32, Keras's Adam with its default rate of 0.001, networks without pretrained weights.

Here the two clients are simulated. Epoch times are measured with Keras on this machine, for the networks of the paper
(width 1, 32 pixels, batches of 32): a step of each in turn, the median of each turn's ratio to V2.

* small (default): widths of 0.25 (V1) and 0.35, no hidden layer in the head, 1,000 images, 6 rounds of 5 epochs, and a
  batch-norm momentum of 0.9 instead of 0.99 (V1) and 0.999, which so few steps would leave at their start. A network is
  exported once, so seeds differ in the order of the samples, not in the initial weights;
* ``--paper``: the paper's own; for a GPU, with ``KERAS_BACKEND=jax``.

What is done is kept under ``--folder``; a call that was interrupted goes on there. `mobilenets_v3.py` beside this file
looks for the cause of V3's slow training.

    .venv/bin/python benchmarks/papers/mobilenets.py --seeds 3 --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np

from benchmarks.papers.cases import CLASSES, CaseRun, cifar10_file, mean_and_range
from benchmarks.papers.script import arguments, by_round, draw, parsed, run_seeds, show
from model_export.files import write_atomically

__all__ = ["NETWORKS", "PAPER", "SMALL", "Published", "Setting", "main"]

BATCH = 32


@dataclass(frozen=True)
class Setting:
    """What is trained, on how much.

    Attributes
    ----------
    options
        Of each network of the zoo.
    momentum
        Of batch norms; None: the architecture's own.
    """

    options: Mapping[str, Mapping[str, Any]]
    images: int
    test: int
    rounds: int
    epochs: int
    momentum: float | None


@dataclass(frozen=True)
class Published:
    """A line of the paper's table III; of V3's two lines for its two clients the first."""

    title: str
    local_accuracy: float
    local_loss: float
    server_accuracy: float
    server_loss: float
    epoch_s: int


NETWORKS = {
    "mobilenet_v1": Published("V1", 0.9965, 0.0114, 0.8081, 1.0538, 614),
    "mobilenet_v2": Published("V2", 0.9922, 0.0246, 0.8074, 0.9376, 314),
    "mobilenet_v3_small": Published("V3-Small", 0.6424, 1.0019, 0.6420, 1.0017, 206),
    "mobilenet_v3_large": Published("V3-Large", 0.9757, 0.0735, 0.7704, 1.1494, 436),
}
V2 = "mobilenet_v2"
SMALL = Setting(
    {name: {"alpha": 0.25 if name == "mobilenet_v1" else 0.35, "hidden": 0} for name in NETWORKS},
    images=1000,
    test=1000,
    rounds=6,
    epochs=5,
    momentum=0.9,
)
_HIDDEN = {"mobilenet_v1": 0, "mobilenet_v2": 0, "mobilenet_v3_small": 1024, "mobilenet_v3_large": 1280}
PAPER = Setting(
    {name: {"hidden": hidden} for name, hidden in _HIDDEN.items()},
    images=50_000,
    test=10_000,
    rounds=20,
    epochs=20,
    momentum=None,
)


def network(name: str, setting: Setting, seed: int) -> Any:
    """Build a network with random weights."""
    import keras

    from model_export import build
    from model_export.network import read_network

    keras.utils.set_random_seed(seed)
    model = build(name, (32, 32, 3), CLASSES, **setting.options[name])
    for node in read_network(model).nodes:
        if setting.momentum is not None and isinstance(node.layer, keras.layers.BatchNormalization):
            node.layer.momentum = setting.momentum
    return model


def prepare(name: str, setting: Setting, folder: Path) -> None:
    """Write data and a network's bundle, unless they are there."""
    cifar10_file(folder / "train.npz", "train", setting.images)
    cifar10_file(folder / "test.npz", "test", setting.test)
    if not (folder / name).exists():
        from model_export import Adam, export
        from model_export.zoo import ARCHITECTURES

        architecture = ARCHITECTURES[name]
        export(
            network(name, setting, 0),
            folder / name,
            batch_size=BATCH,
            input_scale=architecture.input_scale,
            input_offset=architecture.input_offset,
            optimizer=Adam(),
            measure=False,
        )


def experiment(name: str, setting: Setting, seed: int) -> str:
    """Return the experiment file of a network and seed; the clock has the paper's time of an epoch."""
    clients = "\n".join(f'[[clients]]\nname = "client-{i}"\ndata = "train.npz"\n' for i in range(2))
    return f"""\
name = "mobilenets"
rounds = {setting.rounds}
seed = {seed}
keep_weights = "last"

[model]
bundle = "{name}"

[data]
test = "test.npz"

[evaluate]
clients = true

[train]
epochs = {setting.epochs}
learning_rate = 0.001

[server]
round_deadline_s = 1e6

[simulation]
engine = "local"

[[simulation.profiles]]
name = "cpu"
step_ms = {1000 * NETWORKS[name].epoch_s / -(-setting.images // BATCH):.1f}

{clients}"""


def step_ratios(turns: int, networks: Sequence[str] = tuple(NETWORKS), setting: Setting = PAPER) -> dict[str, float]:
    """Measure the processor time of Keras training steps, a step of each network in turn; return ratios to V2's."""
    import keras

    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, 32, 32, 3)).astype(np.float32)
    y = np.arange(BATCH) % CLASSES
    models = {name: network(name, setting, 0) for name in networks}
    for model in models.values():
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.train_on_batch(x, y)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(turns):
        for name, model in models.items():
            began = time.process_time()
            model.train_on_batch(x, y)
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(map(float.__truediv__, seconds[name], seconds[V2])) for name in networks}


def local_loss(run: CaseRun) -> float:
    """Return the clients' mean training loss over the last round."""
    last = run.rounds[-1].round
    return statistics.mean(row.train_loss for row in run.devices if row.round == last and row.train_loss is not None)


def rows_of(results: Mapping[str, Sequence[CaseRun]], ratios: Mapping[str, float]) -> list[dict[str, str]]:
    """Return the table's rows: networks that have been trained, or measured at least."""

    def cell(values: Iterable[float | None], form: str = ".3f") -> str:
        known = [value for value in values if value is not None]
        return mean_and_range(known, form) if known else "–"

    rows = []
    for name, paper in NETWORKS.items():
        runs = results.get(name, [])
        if not runs and name not in ratios:
            continue
        rows.append(
            {
                "network": paper.title,
                "loss of local training, last round": cell(map(local_loss, runs)),
                "accuracy on the clients' images": cell(run.rounds[-1].client_accuracy for run in runs),
                "server: final accuracy": cell(run.final for run in runs),
                "best": cell(run.best for run in runs),
                "server: loss": cell((run.rounds[-1].loss for run in runs), ".2f"),
                "epoch, times V2's": f"{ratios[name]:.2f}" if name in ratios else "–",
                "paper: local, server accuracy": f"{paper.local_accuracy:.3f}, {paper.server_accuracy:.3f}",
                "paper: local, server loss": f"{paper.local_loss:.3f}, {paper.server_loss:.2f}",
                "paper: epoch": f"{paper.epoch_s} s ({paper.epoch_s / NETWORKS[V2].epoch_s:.2f})",
                "seeds": str(len(runs)),
            }
        )
    return rows


def main(words: Sequence[str] | None = None, *, small: Setting = SMALL) -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = arguments(__doc__, "mobilenets")
    parser.add_argument("--turns", type=int, default=15, help="steps of each network to time; 0: measure no times")
    parser.add_argument("--only", choices=tuple(NETWORKS), help="one of the networks; times are left out")
    options = parsed(parser, words)
    setting = PAPER if options.paper else small
    results = run_seeds(
        options,
        [name for name in setting.options if options.only in (None, name)],
        lambda name, seed: f"{name}-seed{seed}",
        lambda name, seed: prepare(name, setting, options.folder),
        lambda name, seed: experiment(name, setting, seed),
    )
    times = options.folder / "epoch-times.json"
    if options.turns and not (options.table or options.only) and not times.exists():
        write_atomically(times, json.dumps(step_ratios(options.turns)).encode())
    show({"mobilenets": rows_of(results, json.loads(times.read_bytes()) if times.exists() else {})}, options.write)
    if options.plots:
        for key in ("accuracy", "loss"):
            lines = {NETWORKS[name].title: by_round(runs, key) for name, runs in results.items()}
            title = f"Two clients, MobileNets: {key} on the server by round"
            draw(options.plots / f"papers-mobilenets-{key}.svg", title, lines, x_label="round", y_label=key)


if __name__ == "__main__":
    main()
