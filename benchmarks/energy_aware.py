"""The strategy ``energy_aware`` beside FedAvg with fewer devices or fewer epochs, for the same joules.

Simulated: weights and accuracies are computed, energy is modelled. Twenty devices share scikit-learn's digits by a
Dirichlet split (α = 0.5); half of them are of a kind that takes four times the joules for a step. FedAvg with all
devices and five epochs says what the whole costs; the others get a half and a quarter of that: FedAvg by a fraction C
of the devices or by fewer epochs E, ``energy_aware`` by its budget.

    .venv/bin/python benchmarks/energy_aware.py --seeds 3 --write docs/strategies.md
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.papers.cases import CaseRun, mean_and_range, run_case, write_section

ROUNDS, EPOCHS, DEVICES = 15, 5, 20
SHARES = {"half": 0.5, "quarter": 0.25}
EXPERIMENT = """\
name = "energy"
rounds = {rounds}
seed = {seed}
keep_weights = "last"
[model]
bundle = "cnn.bundle"
[data]
test = "test.npz"
[train]
epochs = {epochs}
learning_rate = 0.05
[strategy]
{strategy}
[simulation]
backend = "tflite"
devices = {devices}
data = "train.npz"
partition = "dirichlet"
alpha = 0.5
[[simulation.profiles]]
name = "frugal"
step_ms = 20
power_w = 2
[[simulation.profiles]]
name = "hungry"
step_ms = 40
power_w = 4
"""


def experiment(seed: int, strategy: str, epochs: int = EPOCHS) -> str:
    """Return an experiment file."""
    return EXPERIMENT.format(rounds=ROUNDS, seed=seed, epochs=epochs, strategy=strategy, devices=DEVICES)


def joules(run: CaseRun) -> float:
    """Return the energy of all training."""
    return sum(row.energy_j or 0.0 for row in run.devices)


def cases(folder: Path, seed: int) -> dict[str, CaseRun]:
    """Return the runs of a seed by name."""

    def done(name: str, strategy: str, epochs: int = EPOCHS) -> CaseRun:
        return run_case(folder, f"{name}-{seed}", experiment(seed, strategy, epochs), in_process=True)

    runs = {"all devices, E = 5": done("whole", 'name = "fedavg"')}
    whole_j = joules(runs["all devices, E = 5"]) / ROUNDS
    for word, share in SHARES.items():
        budget = f'name = "energy_aware"\njoules = {share * whole_j:.3f}'
        runs[f"a {word}: energy_aware"] = done(f"aware-{word}", budget)
        runs[f"a {word}: energy_aware, diminishing = 1"] = done(f"less-{word}", f"{budget}\ndiminishing = 1.0")
        runs[f"a {word}: FedAvg, C = {share:g}"] = done(f"fraction-{word}", f'name = "fedavg"\nfraction = {share}')
        epochs = round(share * EPOCHS)
        runs[f"a {word}: FedAvg, E = {epochs}"] = done(f"epochs-{word}", 'name = "fedavg"', epochs)
    return runs


def prepare(folder: Path) -> None:
    """Write bundle and data."""
    import keras
    from sklearn.datasets import load_digits

    from model_export import build, export

    data = load_digits()
    x = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], data.target.astype(np.int32)[order]
    np.savez(folder / "train.npz", x=x[:1437], y=y[:1437])
    np.savez(folder / "test.npz", x=x[1437:], y=y[1437:])
    keras.utils.set_random_seed(0)
    model = build("small_cnn", (8, 8, 1), 10, filters=(8, 16))
    export(model, folder / "cnn.bundle", batch_size=16, input_scale=1 / 255, measure=False)


def main(words: Sequence[str] | None = None) -> int:
    """Run all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into this page")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary))
        seeds = [cases(Path(temporary), seed) for seed in range(options.seeds)]
    rows = []
    for name in seeds[0]:
        runs = [found[name] for found in seeds]
        spent = statistics.mean(joules(found[name]) / joules(found["all devices, E = 5"]) for found in seeds)
        rows.append(
            {
                "joules of a round": name,
                "joules in all, of the whole's": f"{spent:.0%}",
                "accuracy": mean_and_range([run.final for run in runs]),
                "best": mean_and_range([run.best for run in runs]),
                "seeds": str(len(runs)),
            }
        )
        print("  ".join(f"{key}: {value}" for key, value in rows[-1].items()), flush=True)
    if options.write is not None:
        write_section(options.write, "energy-aware", rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
