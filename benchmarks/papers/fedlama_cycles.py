"""Why FedLAMA loses at φ = 4 in the small setting: more cycles of 4τ' steps from trained weights, other layers at rest.

Each case goes on from the last weights of a finished run of `benchmarks.papers.fedlama`, at its last learning rate,
with the same clients in the same cycle and the same batches in the same round. Cases differ in the layers that rest
until their cycle's end alone; in one of them the clients are chosen anew after each τ' steps. Accuracies are means over
cycles: one depends on whose classes it was that the last clients held.

Algorithm 1 is written here a second time, so that no fault of the round loop or of what clients keep can be in it.
What is done is kept under ``--folder``, and a call that was interrupted goes on there.

    .venv/bin/python -m benchmarks.papers.fedlama_cycles [--seeds 3] [--table] [--folder FOLDER] [--write PAGE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.papers.cases import CLASSES, ROOT, finished_case, mean_and_range, write_section
from benchmarks.papers.fedlama import PAPER, SMALL, Setting, experiment, slug
from edge_client.data import Dataset, load_dataset
from model_export.bundle import Bundle
from model_export.files import write_atomically
from python_server.partition import by_label
from python_server.run_reader import RunReader
from python_server.simulation.engine import Arrays, Engine, TrainTask
from python_server.strategies.fedlama import intervals, layer_of

PHI = 4
CYCLES, SETTLING = 12, 2
"""Cycles of a case, and those before the mean: FedLAMA's first sets the intervals."""
STARTS = ("FedAvg(τ')", "FedLAMA φ=4", "FedAvg(4τ')")


@dataclass(frozen=True)
class Case:
    """What distinguishes a row.

    Attributes
    ----------
    rests
        Tells of a layer whether it rests until the end of each cycle; None: by FedLAMA's rule.
    anew
        Choose clients anew in each round; then nothing may rest.
    starts
        With whose last weights it begins: the first so many of `STARTS`.
    """

    rests: Callable[[str], bool] | None
    anew: bool = False
    starts: int = 1


def _norm(layer: str) -> bool:
    return layer.endswith("_norm")


def _late(layer: str) -> bool:
    return layer.startswith("stage3") and not _norm(layer)


CASES = {
    "nothing, clients chosen anew every τ': FedAvg(τ')": Case(lambda layer: False, anew=True, starts=2),
    "nothing, clients kept": Case(lambda layer: False, starts=2),
    "everything: FedAvg(4τ')": Case(lambda layer: True, starts=3),
    "by the rule: FedLAMA": Case(None, starts=2),
    "last stage's convolutions": Case(_late),
    "those and the logits": Case(lambda layer: _late(layer) or layer == "logits"),
    "those and all batch norms": Case(lambda layer: _late(layer) or _norm(layer)),
    "all but batch norms": Case(lambda layer: not _norm(layer)),
    "all but the logits": Case(lambda layer: layer != "logits"),
}


@dataclass(frozen=True)
class Cycle:
    """A cycle's outcome.

    Attributes
    ----------
    accuracy
        On the test images, of the weights after it.
    of_members
        The same on the training images of the clients of its last round.
    apart
        Squared distance of the clients' values to their mean before all layers were averaged, by layer, averaged over
        clients.
    moved
        Squared distance of the weights after it to those before.
    """

    accuracy: float
    of_members: float
    apart: Mapping[str, float]
    moved: float


class Laboratory:
    """The clients of a seed.

    Parameters
    ----------
    setting
        Clients, steps and rate.
    folder
        With bundle and test data.
    data
        The samples of all clients.
    engine
        Trains and evaluates.
    seed
        Of the split, of who is chosen, and of the order of samples.
    """

    def __init__(self, setting: Setting, folder: Path, data: Dataset, engine: Engine, seed: int) -> None:
        manifest = Bundle.load(folder / "bundle").manifest
        self._setting, self._data, self._engine, self._seed = setting, data, engine, seed
        self._trained = sorted(path for path, variable in manifest.variables.items() if variable.trained)
        self._test = load_dataset(folder / "test.npz", manifest.input, manifest.classes)
        self._parts = by_label(data.y, setting.clients, alpha=0.1, seed=seed)

    def cycles(self, case: Case, weights: Arrays, count: int) -> list[Cycle]:
        """Do cycles from some weights on, at the last learning rate of the table's runs."""
        sizes: dict[str, int] = {}
        for path in self._trained:
            sizes[layer_of(path)] = sizes.get(layer_of(path), 0) + weights[path].size
        resting = {layer for layer in sizes if case.rests is not None and case.rests(layer)}
        done = []
        for number in range(count):
            before = weights
            weights, apart, members = self._cycle(case, weights, number, resting)
            rows = np.concatenate([self._parts[client] for client in members])
            _, of_members = self._engine.evaluate(weights, Dataset(self._data.x[rows], self._data.y[rows], "members"))
            _, accuracy = self._engine.evaluate(weights, self._test)
            moved = sum(_square(weights[path] - before[path]) for path in self._trained)
            done.append(Cycle(accuracy, of_members, apart, moved))
            if case.rests is None:
                per_step = {layer: apart[layer] / sizes[layer] / (PHI if layer in resting else 1) for layer in sizes}
                resting = {layer for layer, interval in intervals(per_step, sizes, PHI).items() if interval > 1}
        return done

    def _cycle(
        self, case: Case, weights: Arrays, number: int, resting: Collection[str]
    ) -> tuple[Arrays, dict[str, float], list[int]]:
        """Do φ rounds; return the weights, how far apart clients were before the last mean, and who these were."""
        apart: dict[str, float] = {}
        own: dict[int, Arrays] = {}
        steps, rate = self._setting.interval, (self._setting.rate or 0.1) / 10
        for round_ in range(PHI):
            if case.anew or not round_:
                random = np.random.default_rng([self._seed, number, round_])
                chosen = random.choice(self._setting.clients, self._setting.clients // 4, replace=False)
                own = {int(client): weights for client in sorted(chosen)}
            tasks = [
                TrainTask(self._parts[k], held, steps, steps, rate, seed=self._order(number, round_, k))
                for k, held in own.items()
            ]
            for task, k, result in zip(tasks, list(own), self._engine.train(tasks)):
                if result.problem:
                    raise SystemExit(f"client {k} in cycle {number}: {result.problem}")
                own[k] = {**task.weights, **result.weights}
            examples = np.array([len(self._parts[k]) for k in own], float)
            means = {}
            for path in weights:
                if round_ < PHI - 1 and layer_of(path) in resting:
                    continue
                values = np.stack([held[path] for held in own.values()]).astype(np.float64)
                mean = np.average(values, axis=0, weights=examples)
                if round_ == PHI - 1 and path in self._trained:
                    far = np.average([_square(value - mean) for value in values], weights=examples)
                    apart[layer_of(path)] = apart.get(layer_of(path), 0.0) + float(far)
                means[path] = mean.astype(np.float32)
            weights = {**weights, **means}
            own = {k: {**held, **means} for k, held in own.items()}
        return weights, apart, list(own)

    def _order(self, number: int, round_: int, client: int) -> int:
        return int(np.random.default_rng([self._seed, number, round_, client]).integers(2**31))


def _square(difference: np.ndarray) -> float:
    flat = difference.astype(np.float64).ravel()
    return float(flat @ flat)


Found = Mapping[tuple[str, str], list[Cycle]]
"""A seed's cycles, by case and start."""


def run_seed(setting: Setting, folder: Path, laboratory: Laboratory | None, seed: int) -> Found:
    """Return the cycles of each case, from files where they are there; without a laboratory, these alone."""
    found = {}
    todo = [(name, start) for name, case in CASES.items() for start in STARTS[: case.starts]]
    for name, start in sorted(todo, key=lambda each: CASES[each[0]].starts == 1):
        file = folder / "cycles" / f"case{list(CASES).index(name)}-from-{slug(start)}-seed{seed}.json"
        if not file.exists():
            if laboratory is None:
                continue
            cycles = laboratory.cycles(CASES[name], _weights(setting, folder, start, seed), CYCLES)
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, json.dumps([vars(cycle) for cycle in cycles]).encode())
        found[name, start] = [Cycle(**cycle) for cycle in json.loads(file.read_text(encoding="utf-8"))]
        mean = statistics.mean(cycle.accuracy for cycle in found[name, start][SETTLING:])
        print(f"seed {seed}, from {start}, {name}: {100 * mean:.1f} %", flush=True)
    return found


def _weights(setting: Setting, folder: Path, name: str, seed: int) -> Arrays:
    """Return the last weights of a run of the table."""
    run = finished_case(folder, f"{slug(name)}-seed{seed}", experiment(setting, name, seed))
    if run is None:
        raise SystemExit(f"{name} of seed {seed} has not finished; run benchmarks.papers.fedlama first")
    with RunReader(run.path) as reader:
        return reader.weights(run.rounds[-1].round)


def skew(setting: Setting, seed: int, draws: int = 200) -> float:
    """Return how far the class shares of a round's clients are from those of all: total variation, mean of draws."""
    labels = np.arange(setting.train) % CLASSES
    parts = by_label(labels, setting.clients, alpha=0.1, seed=seed)
    random, found = np.random.default_rng(seed), []
    for _ in range(draws):
        chosen = random.choice(setting.clients, setting.clients // 4, replace=False)
        counts = np.bincount(np.concatenate([labels[parts[client]] for client in chosen]), minlength=CLASSES)
        found.append(0.5 * float(np.abs(counts / counts.sum() - 1 / CLASSES).sum()))
    return statistics.mean(found)


def table(found: Sequence[Found]) -> list[dict[str, str]]:
    """Return a row for each case: means over cycles, then over seeds."""

    def over(name: str, value: Callable[[Cycle], float], form: str, start: str = STARTS[0]) -> str:
        seeds = [seed[name, start] for seed in found if (name, start) in seed]
        return mean_and_range([statistics.mean(map(value, each[SETTLING:])) for each in seeds], form) if seeds else ""

    def accuracy(cycle: Cycle) -> float:
        return 100 * cycle.accuracy

    def late(cycle: Cycle) -> float:
        return sum(far for layer, far in cycle.apart.items() if _late(layer))

    return [
        {
            "at rest until the cycle's end": name,
            f"accuracy, from {STARTS[0]}'s weights": over(name, accuracy, ".1f"),
            "on the cycle's clients' images": over(name, lambda cycle: 100 * cycle.of_members, ".1f"),
            "apart: last stage": over(name, late, ".3f"),
            "apart: logits": over(name, lambda cycle: cycle.apart["logits"], ".3f"),
            "moved": over(name, lambda cycle: cycle.moved, ".3f"),
            "seeds": str(sum((name, STARTS[0]) in seed for seed in found)),
            **{f"accuracy, from {start}'s": over(name, accuracy, ".1f", start) for start in STARTS[1:]},
        }
        for name in CASES
        if any((name, STARTS[0]) in seed for seed in found)
    ]


def main() -> None:
    """Run what is missing, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="only show what is done")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "papers" / "fedlama")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into docs/papers.md")
    options = parser.parse_args()
    folder = options.folder.resolve()
    laboratories: list[Laboratory | None] = [None] * options.seeds
    if not options.table:
        from python_server.simulation.local_engine import LocalEngine

        bundle = Bundle.load(folder / "bundle")
        data = load_dataset(folder / "train.npz", bundle.manifest.input, bundle.manifest.classes)
        engine = LocalEngine({"": bundle}, data)
        laboratories = [Laboratory(SMALL, folder, data, engine, seed) for seed in range(options.seeds)]
    for name, setting in (("here", SMALL), ("in the paper's setting", PAPER)):
        far = [100 * skew(setting, seed) for seed in range(options.seeds)]
        print(
            f"class shares of a round's clients, {name}: {mean_and_range(far, '.0f')} % from those of all", flush=True
        )
    rows = table([run_seed(SMALL, folder, laboratory, seed) for seed, laboratory in enumerate(laboratories)])
    for row in rows:
        print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    if options.write is not None:
        write_section(options.write, "fedlama cycles", rows)


if __name__ == "__main__":
    main()
