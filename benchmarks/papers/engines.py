"""One experiment by real processes and by both engines of the simulator: accuracy, time of a round, traffic.

``train`` runs four client processes, two of them slowed down (`slowed_client`). The first rounds teach what a step
takes on each client and what a round takes beside its slowest client; ``simulate`` predicts all rounds with that, by
the local engine and by Flower's on Ray. Times are compared for the rounds that nothing was learnt from. The three
experiment files are the same but for ``[simulation]``, which ``train`` does not look at.

A small CNN on a part of CIFAR-10, four clients with unequal numbers of images. What is done is kept under ``--folder``,
and a call that was interrupted goes on there. The data is ``cifar10_jpeg.npz`` under ``data/`` in the folder that
POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python benchmarks/papers/engines.py --seeds 3 --write docs/simulation.md
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np

from benchmarks.papers.cases import (
    CLASSES,
    ROOT,
    CaseRun,
    cifar10,
    cifar10_file,
    finished_case,
    mean_and_range,
    run_case,
    write_section,
)
from model_export.files import write_atomically

SLOWED = {"one": 1.0, "two": 1.0, "three": 2.0, "four": 3.0}
"""Clients, and how many times slower each is made."""
SHARES = {"one": 800, "two": 400, "three": 400, "four": 400}
"""How many images each holds."""
TEST = 2000
ENGINES = ("local", "flower")
ROUNDS = 12
LEARNT_FROM = 4
"""The rounds that step times are learnt from; the rest is predicted."""

EXPERIMENT = """\
name = "engines"
seed = {seed}
rounds = {rounds}
[model]
bundle = "seed{seed}.bundle"
[data]
test = "test.npz"
[train]
epochs = 2
learning_rate = {rate}
[server]
port = 0
round_deadline_s = 300
"""
CLIENT = """\
[[clients]]
name = "{name}"
data = "seed{seed}-{name}.npz"
command = ["{python}", "-m", "benchmarks.papers.slowed_client", "{times}"]
"""
SIMULATION = """\
[simulation]
engine = "{engine}"
overhead_s = {overhead_s:.4f}
"""
PROFILE = """\
[[simulation.profiles]]
name = "{name}"
step_ms = {step_ms:.4f}
"""


def experiment(seed: int, rate: float) -> str:
    """Return the experiment file that ``train`` gets."""
    clients = [
        CLIENT.format(name=name, seed=seed, python=sys.executable, times=times) for name, times in SLOWED.items()
    ]
    return EXPERIMENT.format(seed=seed, rounds=ROUNDS, rate=rate) + "".join(clients)


def prepare(folder: Path, seed: int) -> None:
    """Make the bundle and the data, unless they are there."""
    cifar10_file(folder / "test.npz", "test", TEST)
    files = [folder / f"seed{seed}-{name}.npz" for name in SHARES]
    if not all(file.exists() for file in files):
        x, y = cifar10("train", sum(SHARES.values()))
        order = np.random.default_rng(seed).permutation(len(y))
        for file, rows in zip(files, np.split(order, np.cumsum(list(SHARES.values()))[:-1])):
            np.savez_compressed(file, x=x[rows], y=y[rows])
    if not (folder / f"seed{seed}.bundle").exists():
        import keras

        from model_export import export
        from model_export.zoo import build

        keras.utils.set_random_seed(seed)
        model = build("small_cnn", (32, 32, 3), CLASSES)
        export(model, folder / f"seed{seed}.bundle", batch_size=16, input_scale=1 / 255, measure=False)


def train(folder: Path, name: str, experiment: str) -> CaseRun:
    """Do an experiment with client processes, or go on with it, or read it, as `run_case` does for simulations."""
    runs = folder / name
    done = finished_case(folder, name, experiment)
    if done is None:
        file = folder / f"{name}.toml"
        if not file.exists() or file.read_text(encoding="utf-8") != experiment:
            shutil.rmtree(runs, ignore_errors=True)
            write_atomically(file, experiment.encode())
        begun = sorted(runs.iterdir()) if runs.is_dir() else []
        words = ["--resume", str(begun[-1])] if begun else [str(file)]
        program = [sys.executable, "-m", "python_server.cli", "train", *words, "--runs", str(runs)]
        subprocess.run(program, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        done = finished_case(folder, name, experiment)
        assert done is not None
    return done


def learnt(real: CaseRun) -> str:
    """Return ``[simulation]``'s tables as the first rounds of a real run teach them; the engine is left open."""
    rows = [row for row in real.devices if row.round <= LEARNT_FROM and row.train_s and row.steps]
    step_ms = {
        name: statistics.median(1000 * (row.train_s or 0) / (row.steps or 1) for row in rows if row.name == name)
        for name in SLOWED
    }
    beside = [
        each.train_phase_s - max(row.train_s or 0 for row in rows if row.round == each.round)
        for each in real.rounds[1 : LEARNT_FROM + 1]
    ]
    profiles = "".join(PROFILE.format(name=name, step_ms=value) for name, value in step_ms.items())
    return SIMULATION.format(engine="{engine}", overhead_s=max(0.0, statistics.median(beside))) + profiles


def run(folder: Path, seed: int, rate: float) -> dict[str, CaseRun]:
    """Do what is missing of a seed; return its three runs."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, seed)
    text = experiment(seed, rate)
    real = train(folder, f"train-seed{seed}", text)
    settings = learnt(real)
    simulated = {kind: run_case(folder, f"{kind}-seed{seed}", text + settings.format(engine=kind)) for kind in ENGINES}
    return {"real": real, **simulated}


def done(folder: Path, seed: int, rate: float) -> Optional[dict[str, CaseRun]]:
    """Return the three runs of a seed, or None if one of them is not finished."""
    text = experiment(seed, rate)
    real = finished_case(folder, f"train-seed{seed}", text)
    if real is None:
        return None
    runs, settings = {"real": real}, learnt(real)
    for kind in ENGINES:
        found = finished_case(folder, f"{kind}-seed{seed}", text + settings.format(engine=kind))
        if found is None:
            return None
        runs[kind] = found
    return runs


def table(seeds: Sequence[dict[str, CaseRun]]) -> list[dict[str, str]]:
    """Return the table's rows: a round each, then what the rounds came to."""
    rows = []
    for number in range(ROUNDS + 1):
        row = {"round": str(number)}
        for kind in ("real", *ENGINES):
            row[f"accuracy {kind}"] = mean_and_range([runs[kind].accuracies[number] for runs in seeds])
        for kind in ("real", *ENGINES):
            seconds = [runs[kind].rounds[number].train_phase_s for runs in seeds]
            row[f"s {kind}"] = mean_and_range(seconds, ".2f") if number else ""
        rows.append(row)
    last = {"round": "bytes of a round"}
    for kind in ("real", *ENGINES):
        last[f"accuracy {kind}"] = f"{statistics.mean(runs[kind].traffic / ROUNDS for runs in seeds):,.0f}"
    rows.append(last)
    return rows


def summary(seeds: Sequence[dict[str, CaseRun]]) -> list[str]:
    """Return what can be said in words: how far the engines are off."""
    lines = []
    for kind in ENGINES:
        apart = [
            abs(runs[kind].accuracies[number] - runs["real"].accuracies[number])
            for runs in seeds
            for number in range(1, ROUNDS + 1)
        ]
        ratios = [
            statistics.median(each.train_phase_s for each in runs[kind].rounds[LEARNT_FROM + 1 :])
            / statistics.median(each.train_phase_s for each in runs["real"].rounds[LEARNT_FROM + 1 :])
            for runs in seeds
        ]
        lines.append(
            f"{kind}: accuracy differs by {statistics.mean(apart):.4f} in the mean of all rounds and {max(apart):.4f} "
            f"at most; predicted by real time of the median round after {LEARNT_FROM}: {mean_and_range(ratios, '.2f')}"
        )
    return lines


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "runs" / "papers" / "engines", help="default: %(default)s"
    )
    parser.add_argument("--table", action="store_true", help="only show what is done")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into this page")
    options = parser.parse_args()
    folder = options.folder.resolve()
    seeds = []
    for seed in range(options.seeds):
        found = (done if options.table else run)(folder, seed, options.learning_rate)
        if found is None:
            break
        seeds.append(found)
    if not seeds:
        raise SystemExit(f"{folder}: no seed is done yet")
    rows = table(seeds)
    print(f"{len(seeds)} seeds: mean (range)")
    print("\n".join(" | ".join(row.values()) for row in [{key: key for key in rows[0]}, *rows]))
    print("\n".join(summary(seeds)))
    if options.write is not None:
        write_section(options.write, "engines", rows)


if __name__ == "__main__":
    main()
