"""Tables 3 and 2a of the on-device paper under the virtual clock: processor-specific cutoffs, and local epochs.

Mathur et al., "On-device Federated Learning with Flower" (2021), section 5: ResNet-18 on CIFAR-10, 10 Jetson TX2, 40
rounds. Table 3 trains E = 10 local epochs on the GPU, on the CPU, and on the CPU with a cutoff τ after which a device
sends what it has; table 2a trains E = 1, 5 and 10 on the GPU. ``benchmarks/table_3.py`` does table 3 with real
processes on Office-31; here devices are simulated, so accuracies are computed and times and energies are modelled:

* a step takes as long as makes E = 10 on the GPU 1.99 minutes, the paper's round; the CPU's takes 1.27 times as long;
* what a round takes beside training is 80.32 / 40 − 1.99 minutes;
* a device draws 2.11 W while it trains, which makes the paper's 100.95 kJ of 40 rounds of 1.99 minutes on 10 devices.

Settings:

* small (default): the zoo's ``small_cnn`` of 8, 16 and 32 filters, 100 images a device, 10 rounds;
* ``--paper``: ResNet-18, all of CIFAR-10, 40 rounds; for a GPU, with ``KERAS_BACKEND=jax``. Learning rate, batch size
  and split are not in the paper. Bundles are exported on TensorFlow, which has to be there as well.

What is done is kept under ``--folder``; a call that was interrupted goes on there.

    .venv/bin/python benchmarks/papers/table_3.py --seeds 3 --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.papers.cases import CLASSES, CaseRun, cifar10_file, mean_and_range
from benchmarks.papers.script import arguments, draw, parsed, run_seeds, show

__all__ = ["CASES", "PAPER", "SMALL", "Case", "Setting", "main"]

DEVICES = 10
GPU_MIN, GPU_ROUND_MIN, CPU_FACTOR, PAPER_ROUNDS = 80.32, 1.99, 1.27, 40
OVERHEAD_MIN = GPU_MIN / PAPER_ROUNDS - GPU_ROUND_MIN
POWER_W = 100_950 / (PAPER_ROUNDS * DEVICES * GPU_ROUND_MIN * 60)


@dataclass(frozen=True)
class Setting:
    """What is trained, on how much.

    Attributes
    ----------
    network, options
        Of the zoo.
    images, test
        Images of all devices together, and of the server.
    """

    network: str
    images: int
    test: int
    batch_size: int
    rounds: int
    learning_rate: float
    options: Mapping[str, Any] = field(default_factory=dict)


SMALL = Setting(
    "small_cnn", images=1000, test=1000, batch_size=20, rounds=10, learning_rate=0.02, options={"filters": (8, 16, 32)}
)
PAPER = Setting("resnet18", images=50_000, test=10_000, batch_size=32, rounds=PAPER_ROUNDS, learning_rate=0.01)


@dataclass(frozen=True)
class Case:
    """A column of table 3 or a line of table 2a, with what the paper found.

    Attributes
    ----------
    epochs
        Local epochs E.
    processor
        On which all devices train.
    cutoff_min
        τ in minutes; 0: none.
    accuracy, minutes
        The paper's.
    energy_kj
        The paper's; None: not in the paper.
    """

    epochs: int
    processor: str
    cutoff_min: float
    accuracy: float
    minutes: float
    energy_kj: float | None = None

    def key(self, seed: int) -> str:
        """Return the name of its run."""
        return f"{self.processor}-{self.epochs}-{self.cutoff_min:g}-seed{seed}"


CASES = {
    "GPU, τ = 0": Case(10, "gpu", 0, 0.67, GPU_MIN, 100.95),
    "CPU, τ = 0": Case(10, "cpu", 0, 0.67, 102.0),
    "CPU, τ = 2.23 min": Case(10, "cpu", 2.23, 0.66, 89.15),
    "CPU, τ = 1.99 min": Case(10, "cpu", 1.99, 0.63, 80.34),
    "GPU, E = 5": Case(5, "gpu", 0, 0.64, 36.83, 50.54),
    "GPU, E = 1": Case(1, "gpu", 0, 0.48, 17.63, 10.21),
}
TABLE_3 = ("GPU, τ = 0", "CPU, τ = 0", "CPU, τ = 2.23 min", "CPU, τ = 1.99 min")
TABLE_2A = ("GPU, E = 1", "GPU, E = 5", "GPU, τ = 0")


def experiment(setting: Setting, case: Case, seed: int) -> str:
    """Return the experiment file of a case and seed."""
    steps = 10 * -(-setting.images // DEVICES // setting.batch_size)
    step_ms = 60_000 * GPU_ROUND_MIN / steps * (CPU_FACTOR if case.processor == "cpu" else 1.0)
    return f"""\
name = "table-3"
rounds = {setting.rounds}
seed = {seed}
keep_weights = "last"

[model]
bundle = "bundle-{seed}"

[data]
test = "test.npz"

[train]
epochs = {case.epochs}
learning_rate = {setting.learning_rate}

[strategy]
name = "processor_cutoff"
cutoff_s = {{ {case.processor} = {60 * case.cutoff_min:g} }}

[simulation]
devices = {DEVICES}
data = "train.npz"
overhead_s = {60 * OVERHEAD_MIN:.3f}

[[simulation.profiles]]
name = "{case.processor}"
step_ms = {step_ms:.3f}
power_w = {POWER_W:.4f}
"""


def prepare(setting: Setting, seed: int, folder: Path) -> None:
    """Write data and the seed's bundle, unless they are there."""
    cifar10_file(folder / "train.npz", "train", setting.images)
    cifar10_file(folder / "test.npz", "test", setting.test)
    if not (folder / f"bundle-{seed}").exists():
        import keras

        from model_export import Sgd, build, export
        from model_export.zoo import ARCHITECTURES

        keras.utils.set_random_seed(seed)
        architecture = ARCHITECTURES[setting.network]
        export(
            build(setting.network, (32, 32, 3), CLASSES, **setting.options),
            folder / f"bundle-{seed}",
            batch_size=setting.batch_size,
            input_scale=architecture.input_scale,
            input_offset=architecture.input_offset,
            optimizer=Sgd(momentum=0.9),
            measure=False,
        )


def work_done(run: CaseRun) -> float:
    """Return the share of the planned steps that was done."""
    done = sum(row.steps or 0 for row in run.devices)
    return done / sum(row.planned_steps or 0 for row in run.devices)


def energy_kj(run: CaseRun) -> float:
    """Return the energy of all devices' training."""
    return sum(row.energy_j or 0.0 for row in run.devices) / 1000


def rows_of(results: Mapping[str, Sequence[CaseRun]], setting: Setting) -> dict[str, list[dict[str, str]]]:
    """Return the rows of both tables, by their names in the page."""
    scale = PAPER_ROUNDS / setting.rounds

    def minutes(name: str) -> float:
        return statistics.mean(run.seconds for run in results[name]) / 60 * scale

    def accuracies(name: str) -> dict[str, str]:
        return {
            "final accuracy": mean_and_range([run.final for run in results[name]]),
            "best": mean_and_range([run.best for run in results[name]]),
        }

    three, two = [], []
    for name in (name for name in TABLE_3 if name in results):
        case = CASES[name]
        ratio = f" ({minutes(name) / minutes(TABLE_3[0]):.2f}×)" if TABLE_3[0] in results else ""
        three.append(
            {
                "E = 10": name,
                **accuracies(name),
                "steps done": f"{statistics.mean(work_done(run) for run in results[name]):.0%}",
                "minutes of 40 rounds, modelled": f"{minutes(name):.1f}{ratio}",
                "paper: accuracy": f"{case.accuracy:.2f}",
                "paper: minutes": f"{case.minutes:.1f} ({case.minutes / GPU_MIN:.2f}×)",
                "seeds": str(len(results[name])),
            }
        )
    for name in (name for name in TABLE_2A if name in results):
        case = CASES[name]
        two.append(
            {
                "E": str(case.epochs),
                **accuracies(name),
                "minutes of 40 rounds, modelled": f"{minutes(name):.1f}",
                "kJ, modelled": f"{statistics.mean(energy_kj(run) for run in results[name]) * scale:.1f}",
                "paper: accuracy, minutes, kJ": f"{case.accuracy:.2f}, {case.minutes:.2f}, {case.energy_kj:.2f}",
                "seeds": str(len(results[name])),
            }
        )
    return {"table-3": three, "table-2a": two}


def over_time(runs: Sequence[CaseRun]) -> list[tuple[float, float]]:
    """Return accuracy, as the mean over seeds, by the virtual minute at which a round ended."""
    minutes, points = 0.0, []
    for rows in zip(*(run.rounds for run in runs)):
        minutes += rows[0].wall_s / 60 if rows[0].round else 0.0
        points.append((minutes, statistics.mean(row.accuracy or 0.0 for row in rows)))
    return points


def main(words: Sequence[str] | None = None, *, small: Setting = SMALL) -> None:
    """Run what is missing, seed by seed, and print the tables."""
    options = parsed(arguments(__doc__, "table_3"), words)
    setting = PAPER if options.paper else small
    results = run_seeds(
        options,
        CASES,
        lambda name, seed: CASES[name].key(seed),
        lambda name, seed: prepare(setting, seed, options.folder),
        lambda name, seed: experiment(setting, CASES[name], seed),
    )
    show(rows_of(results, setting), options.write)
    if options.plots:
        lines = {name: over_time(results[name]) for name in TABLE_3 if name in results}
        title = "Table 3: accuracy over virtual time"
        draw(options.plots / "papers-table-3.svg", title, lines, x_label="minutes (modelled)", y_label="accuracy")


if __name__ == "__main__":
    main()
