"""Whether moving statistics are to blame: accuracy of a run's last weights with statistics of all training images.

HeteroFL (Diao et al. 2021, section 3) keeps no moving statistics while training, and computes them once over all data
in the end ("static batch norm"). This does so for finished runs of `benchmarks.papers.partial_training`, small setting.

    .venv/bin/python -m benchmarks.papers.static_batch_norm width-4-0-28 partial-4-0-28 [--seed 0] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.papers.cases import ROOT, cifar10, finished_case
from benchmarks.papers.lee import Network
from benchmarks.papers.partial_training import SMALL, experiment
from python_server.run_reader import RunReader

BATCH = 128


def accuracies(
    network: Network, weights: Mapping[str, np.ndarray], train: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """Return the accuracy as the weights are, and with moving statistics from passes over ``train``.

    Parameters
    ----------
    network
        Of the weights.
    weights
        By path of the variable.
    train, x
        Images, uint8 ``[n, pixels, pixels, 3]``, for the statistics and for the accuracy.
    y
        Classes of ``x``.
    """
    from model_export.network import read_network

    model = network.build()
    for node in read_network(model).nodes:
        for path, variable in node.variables.items():
            variable.assign(weights[path])

    def accuracy() -> float:
        logits = model.predict(x.astype(np.float32) / 255, batch_size=500, verbose=0)
        return float((np.argmax(logits, axis=-1) == y).mean())

    before, shown = accuracy(), train.astype(np.float32) / 255
    for start in range(0, len(shown), BATCH):  # a momentum of 0.9 forgets the old statistics within some fifty batches
        model(shown[start : start + BATCH], training=True)
    return before, accuracy()


def main() -> None:
    """Print both accuracies of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", help="such as width-4-0-28")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "papers" / "partial_training")
    options = parser.parse_args()
    train, _ = cifar10("train", SMALL.train, SMALL.network.pixels)
    x, y = cifar10("test", SMALL.test, SMALL.network.pixels)
    for case in options.cases:
        run = finished_case(options.folder, f"{case}-seed{options.seed}", experiment(SMALL, case, options.seed))
        if run is None:
            raise SystemExit(f"{case} has not finished; run benchmarks.papers.partial_training first")
        with RunReader(run.path) as reader:
            weights = reader.weights(run.rounds[-1].round)
        before, after = accuracies(SMALL.network, weights, train, x, y)
        print(f"{case}: as aggregated {before:.4f}, with statistics of all training images {after:.4f}", flush=True)


if __name__ == "__main__":
    main()
