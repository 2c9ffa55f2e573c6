"""Office-31 with a pretrained MobileNetV2, cut into clients: what the tables of the on-device paper are run on.

The data is the Office-31 archive (``office31_224.zip``: ``domain/class/image``, 224 by 224 pixels) and the weights of
MobileNetV2 0.35 (``mobilenet_v2_035_224_notop_f32.npz``) in the folder that POCKETFLEET_SHARED names, or in
``../shared``, under ``data/``.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from python_server.report import RunFigures, gather
from python_server.run_reader import RunReader

__all__ = ["DATA", "ROOT", "experiment", "export_bundle", "load_domain", "prepare_clients", "run_experiment"]

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared")) / "data"
SHARES = 10
"""Every client holds a tenth of the training images, so more clients bring more data."""
NORM_MOMENTUM = 0.97
"""Of batch norms that are trained. keras.applications has 0.999, which after the 250 steps that a small domain allows
would still weigh ImageNet's statistics with 0.78."""


def load_domain(domain: str, size: int = 224) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Load a domain: ``uint8 [n, size, size, 3]``, ``int32 [n]``, class names.

    Raises
    ------
    SystemExit
        The archive is not there.
    """
    archive_path = DATA / "office31_224.zip"
    if not archive_path.exists():
        raise SystemExit(f"{archive_path} is not there; set POCKETFLEET_SHARED to the folder above data/")
    with zipfile.ZipFile(archive_path) as archive:
        paths = sorted(path for path in archive.namelist() if path.startswith(f"{domain}/") and path.endswith(".jpg"))
        names = sorted({path.split("/")[1] for path in paths})
        x = np.empty((len(paths), size, size, 3), np.uint8)
        for row, path in enumerate(paths):
            image = Image.open(io.BytesIO(archive.read(path))).convert("RGB")
            x[row] = np.asarray(image if image.size == (size, size) else image.resize((size, size)))
    return x, np.array([names.index(path.split("/")[1]) for path in paths], np.int32), names


def prepare_clients(
    folder: Path, domain: str, size: int, seed: int, parts: Sequence[np.ndarray] | None = None
) -> list[str]:
    """Write ``test.npz`` (a fifth of the images) and ``client_0.npz`` … ``client_9.npz``; return the class names.

    ``parts`` may give the clients' rows of the training images; by default each has a random tenth.
    """
    x, y, names = load_domain(domain, size)
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[: int(0.8 * len(x))], order[int(0.8 * len(x)) :]
    np.savez(folder / "test.npz", x=x[test], y=y[test])
    for number, rows in enumerate(parts if parts is not None else np.array_split(np.arange(len(train)), SHARES)):
        np.savez(folder / f"client_{number}.npz", x=x[train[rows]], y=y[train[rows]])
    return names


def export_bundle(path: Path, classes: Sequence[str], size: int, seed: int, **options: Any) -> None:
    """Export MobileNetV2 0.35 with its pretrained base and a head of two dense layers, as the paper trains.

    Parameters
    ----------
    path, classes, size
        Where to, the class names, and the side of an image in pixels.
    seed
        Of the head's initial weights.
    **options
        Of `model_export.export`; by default the head alone is trained.
    """
    import keras

    from model_export import Sgd, build, export
    from model_export.network import read_network

    keras.utils.set_random_seed(seed)
    weights = str(DATA / "mobilenet_v2_035_224_notop_f32.npz")
    model = build("mobilenet_v2", (size, size, 3), len(classes), alpha=0.35, weights=weights, hidden=128)
    for node in read_network(model).nodes:
        if isinstance(node.layer, keras.layers.BatchNormalization):
            node.layer.momentum = NORM_MOMENTUM
    export(
        model,
        path,
        batch_size=16,
        classes=classes,
        input_scale=1 / 127.5,
        input_offset=-1.0,
        optimizer=Sgd(momentum=0.9),
        measure=False,
        **{"trainable": "head", **options},
    )


def experiment(name: str, options: argparse.Namespace, clients: Sequence[str], *, strategy: str = "") -> str:
    """Return an experiment file for what `prepare_clients` and `export_bundle` wrote.

    Parameters
    ----------
    name
        Of the experiment.
    options
        Has ``rounds``, ``seed``, ``epochs`` and ``learning_rate``.
    clients
        Further lines for each client's table.
    strategy
        Lines of the strategy's table; empty takes FedAvg.
    """
    tables = [
        f'[[clients]]\nname = "client-{number}"\ndata = "client_{number}.npz"\nthreads = 1\n{more}'
        for number, more in enumerate(clients)
    ]
    return f"""\
name = "{name}"
rounds = {options.rounds}
seed = {options.seed}

[model]
bundle = "bundle"

[data]
test = "test.npz"

[train]
epochs = {options.epochs}
learning_rate = {options.learning_rate}

[strategy]
{strategy}
[server]
port = 0
min_clients = {len(clients)}

""" + "\n".join(tables)


def run_experiment(file: Path, runs: Path) -> RunFigures:
    """Run ``pocketfleet train`` on an experiment file and return the run's figures."""
    before = set(runs.iterdir()) if runs.exists() else set()
    command = [sys.executable, "-m", "python_server.cli", "train", str(file), "--runs", str(runs)]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    (new,) = set(runs.iterdir()) - before
    with RunReader(new) as run:
        return gather(run)
