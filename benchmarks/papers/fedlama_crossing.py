"""FedLAMA's crossing: how much of the network gets the long interval, by what is counted and where the count ends.

The paper sorts layers by their discrepancy and lets those before the crossing of δ_l and 1 − λ_l travel rarely. It
leaves open whether moving statistics count, and whether the layer at which the curves cross belongs to them; the
authors' code counts kernels alone and takes the crossing layer. This trains some rounds of FedAvg in the setting of
`benchmarks.papers.fedlama`, measures the discrepancies after the last one, and tells the share by each rule.

    .venv/bin/python -m benchmarks.papers.fedlama_crossing [--rounds 20] [--seeds 3] [--folder FOLDER] [--write PAGE]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.papers.cases import ROOT, mean_and_range, write_section
from benchmarks.papers.fedlama import SMALL, Setting, prepare
from edge_client.data import load_dataset
from model_export.bundle import Bundle
from python_server.partition import by_label
from python_server.strategies.fedlama import layer_of

Spread = Mapping[str, float]
"""Squared distance of the clients' values to their mean, averaged over clients, by path of the variable."""


def measure(setting: Setting, folder: Path, rounds: int, seed: int) -> Spread:
    """Train rounds of FedAvg with a quarter of the clients; return how far they are apart before the last mean."""
    from python_server.simulation.engine import TrainTask
    from python_server.simulation.local_engine import LocalEngine

    bundle = Bundle.load(folder / "bundle")
    data = load_dataset(folder / "train.npz", bundle.manifest.input, bundle.manifest.classes)
    parts = by_label(data.y, setting.clients, alpha=0.1, seed=seed)
    engine, weights, random = LocalEngine({"": bundle}, data), bundle.initial(), np.random.default_rng(seed)
    spread: dict[str, float] = {}
    for number in range(rounds):
        chosen = random.choice(setting.clients, setting.clients // 4, replace=False).tolist()
        tasks = [
            TrainTask(
                parts[k], weights, setting.interval, setting.interval, setting.rate or 0.1, seed=1000 * number + k
            )
            for k in chosen
        ]
        results = list(engine.train(tasks))
        shares = np.array([len(parts[k]) for k in chosen], float) / sum(len(parts[k]) for k in chosen)
        after: dict[str, np.ndarray] = {}
        for path in weights:
            values = np.stack([np.asarray(result.weights[path], np.float64).ravel() for result in results])
            mean = shares @ values
            spread[path] = float(shares @ ((values - mean) ** 2).sum(axis=1))
            after[path] = mean.reshape(weights[path].shape).astype(np.float32)
        weights = after
    return spread


def long_share(spread: Spread, sizes: Mapping[str, int], counts: Callable[[str], bool], *, crossing: bool) -> float:
    """Return the share of the counted parameters that get the long interval.

    Parameters
    ----------
    spread
        From `measure`.
    sizes
        Elements of each variable.
    counts
        Tells of a path whether it counts.
    crossing
        Whether the layer at which the curves cross is among them.
    """
    layers: dict[str, tuple[float, int]] = {}
    for path in filter(counts, spread):
        distance, size = layers.get(layer_of(path), (0.0, 0))
        layers[layer_of(path)] = (distance + spread[path], size + sizes[path])
    all_distance, all_size = (sum(column) for column in zip(*layers.values()))
    distance, size, share = 0.0, 0, 0.0
    for own_distance, own_size in sorted(layers.values(), key=lambda layer: layer[0] / layer[1]):
        distance, size = distance + own_distance, size + own_size
        if distance / all_distance >= 1 - size / all_size:
            return size / all_size if crossing else share
        share = size / all_size
    return share


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "papers" / "fedlama")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/papers.md")
    options = parser.parse_args()
    folder = options.folder.resolve()
    prepare(SMALL, folder)
    variables = Bundle.load(folder / "bundle").manifest.variables
    sizes = {path: int(np.prod(variable.shape)) for path, variable in variables.items()}
    spreads = [measure(SMALL, folder, options.rounds, seed) for seed in range(options.seeds)]
    rules: dict[str, Callable[[str], bool]] = {
        "all variables": lambda path: True,
        "what is trained": lambda path: variables[path].trained,
        "kernels": lambda path: path.endswith("/kernel"),
    }
    rows = []
    for rule, counts in rules.items():
        row = {"what counts": rule}
        for title, crossing in (("before the crossing", False), ("with the layer that crosses", True)):
            shares = [100 * long_share(spread, sizes, counts, crossing=crossing) for spread in spreads]
            row[title] = f"{mean_and_range(shares, '.0f')} %"
        rows.append(row)
        print(row, flush=True)
    if options.write is not None:
        write_section(options.write, "fedlama crossing", rows)


if __name__ == "__main__":
    main()
