"""FedLAMA against FedAvg with longer intervals: accuracy after equally many local steps, and what was communicated.

Lee, Zhang and Avestimehr, "Layer-wise Adaptive Model Aggregation for Scalable Federated Learning" (AAAI 2023); the
numbers beside ours are table 1 of Lee's slides. FedAvg aggregates all layers every τ', 2τ' or 4τ' local steps, FedLAMA
some layers every τ' and the others every φτ' steps.

Communication is counted twice: as the paper does (equation 9: parameters of a layer × times it was aggregated), and in
bytes of the run, both directions, of every device.

* small (default): ResNet-8 of half the width on images of 16 × 16, 32 clients, a quarter of them at a time, τ' = 5,
  1,440 local steps;
* ``--paper``: ResNet-20, 128 clients, τ' = 10, 10,000 local steps, for a GPU (``KERAS_BACKEND=jax``).

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The data is
``cifar10_jpeg.npz`` under ``data/`` in the folder that POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python -m benchmarks.papers.fedlama --write docs/papers.md --plots docs/images
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.papers.cases import CaseRun, cifar10_file, finished_case, mean_and_range, run_case, write_section
from benchmarks.papers.lee import Network, arguments, in_tensorflow, make_bundle, mean
from benchmarks.papers.script import draw, results_folder
from python_server.run_rows import RoundRow


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes
    ----------
    interval
        Local steps of a round as multiples of τ'.
    phi
        FedLAMA's φ; 1: FedAvg.
    rate
        Learning rate in the paper's setting, as the slides have it.
    paper
        Validation accuracy and communication in the slides, in percent.
    """

    interval: int
    phi: int
    rate: float
    paper: tuple[float, float]


CASES = {
    "FedAvg(τ')": Case(1, 1, 0.4, (81.66, 100.0)),
    "FedAvg(2τ')": Case(2, 1, 0.3, (72.99, 50.0)),
    "FedAvg(4τ')": Case(4, 1, 0.3, (66.64, 25.0)),
    "FedLAMA φ=2": Case(1, 2, 0.2, (81.46, 61.55)),
    "FedLAMA φ=4": Case(1, 4, 0.2, (80.60, 44.36)),
}


@dataclass(frozen=True)
class Setting:
    """An experiment's size; ``rate`` is one learning rate for all cases, or None for the slides'."""

    network: Network
    clients: int
    train: int
    test: int
    interval: int
    steps: int
    rate: float | None
    evaluate_every: int


SMALL = Setting(Network(pixels=16, width=0.5, blocks=1, batch_size=16), 32, 6400, 2000, 5, 1440, 0.2, 240)
PAPER = Setting(Network(), 128, 50_000, 10_000, 10, 10_000, None, 200)


def slug(name: str) -> str:
    """Return a case's name as one of a file."""
    case = CASES[name]
    return f"fedlama-{case.phi}" if case.phi > 1 else f"fedavg-{case.interval}"


def experiment(setting: Setting, name: str, seed: int) -> str:
    """Return the experiment file of a case; its rounds make the same number of local steps in each."""
    case = CASES[name]
    steps = case.interval * setting.interval
    rounds = setting.steps // steps
    strategy = f'name = "fedlama"\nphi = {case.phi}' if case.phi > 1 else 'name = "fedavg"'
    rate = setting.rate or case.rate
    # The authors' code divides the rate by ten after a half and after three quarters.
    drops = [rounds * 3 // 4] if setting.rate else [rounds // 2, rounds * 3 // 4]
    rates = ", ".join(f"{start + 1} = {rate / 10**times:g}" for times, start in enumerate([0, *drops]))
    return f"""\
name = "{slug(name)}"
seed = {seed}
rounds = {rounds}
keep_weights = "last"
[model]
bundle = "bundle"
[data]
test = "test.npz"
[evaluate]
every = {setting.evaluate_every // steps}
[strategy]
{strategy}
fraction = 0.25
[train]
steps = {steps}
learning_rate = {{ {rates} }}
[simulation]
data = "train.npz"
devices = {setting.clients}
partition = "dirichlet"
alpha = 0.1
[[simulation.profiles]]
name = "any"
step_ms = 1
"""


def prepare(setting: Setting, folder: Path) -> None:
    """Make what is missing of the bundle and of the data."""
    cifar10_file(folder / "train.npz", "train", setting.train, setting.network.pixels)
    cifar10_file(folder / "test.npz", "test", setting.test, setting.network.pixels)
    make_bundle(folder / "bundle", setting.network)


def aggregated(rounds: Sequence[RoundRow], phi: int) -> list[int]:
    """Return the parameters that each round of FedLAMA aggregated (the terms of equation 9).

    Parameters
    ----------
    rounds
        Rows from round 0 on; the intervals of a round are those of the state before it.
    phi
        φ.
    """
    found = []
    for before, row in zip(rounds, rounds[1:]):
        sizes, chosen = before.strategy_state["sizes"], before.strategy_state["intervals"]
        full = row.round % phi == 0
        found.append(sum(size for layer, size in sizes.items() if full or chosen[layer] == 1))
    return found


def communication(name: str, run: CaseRun) -> float:
    """Return the paper's count as a share of FedAvg's that aggregates everything every τ' steps."""
    case = CASES[name]
    if case.phi == 1:
        return 1 / case.interval
    whole = sum(run.rounds[0].strategy_state["sizes"].values())
    counts = aggregated(run.rounds, case.phi)
    return sum(counts) / (whole * len(counts))


def table(found: Mapping[str, Sequence[CaseRun]]) -> list[dict[str, str]]:
    """Return the rows; bytes are in relation to FedAvg(τ') of the same seed."""
    rows = []
    base = found["FedAvg(τ')"]
    for name, case in CASES.items():
        runs = found[name]
        if not runs:
            continue
        traffic = [run.traffic / whole.traffic for run, whole in zip(runs, base)]
        accuracy, count = case.paper
        rows.append(
            {
                "method": name,
                "final accuracy": mean_and_range([100 * run.final for run in runs], ".1f"),
                "best": mean_and_range([100 * run.best for run in runs], ".1f"),
                "aggregated": mean_and_range([100 * communication(name, run) for run in runs], ".1f") + " %",
                "bytes": mean_and_range([100 * share for share in traffic], ".1f") + " %" if traffic else "–",
                "seeds": str(len(runs)),
                "slides: accuracy": f"{accuracy:.2f}",
                "slides: communication": f"{count:g} %",
            }
        )
    return rows


def layer_rows(found: Mapping[str, Sequence[CaseRun]]) -> list[dict[str, str]]:
    """Return for each layer in how many of the cycles, in percent, its interval was long."""
    rows: dict[str, dict[str, str]] = {}
    for name, case in CASES.items():
        for run in found[name][:1] if case.phi > 1 else ():
            sizes = run.rounds[0].strategy_state["sizes"]
            cycles = [row.strategy_state["intervals"] for row in run.rounds[case.phi :: case.phi]]
            for layer, size in sizes.items():
                row = rows.setdefault(layer, {"layer": f"`{layer}`", "parameters": f"{size:,}"})
                row[name] = f"{100 * sum(chosen[layer] > 1 for chosen in cycles) / len(cycles):.0f} %"
    return list(rows.values())


def plot(setting: Setting, found: Mapping[str, Sequence[CaseRun]], folder: Path) -> None:
    """Draw accuracy by local steps and by what was sent, and how much of the network had the long interval."""
    by_step, by_bytes, rare = {}, {}, {}
    for name, case in CASES.items():
        if not found[name]:
            continue
        steps = case.interval * setting.interval
        by_step[name] = mean([[(r * steps, a) for r, a in run.accuracies.items()] for run in found[name]])
        by_bytes[name] = mean([_by_bytes(run) for run in found[name]])
        if case.phi > 1:
            rare[name] = mean([_rare(run, case.phi, steps) for run in found[name]])
    for key, lines, title, x, y in (
        ("steps", by_step, "Accuracy by local steps", "local steps", "accuracy"),
        ("bytes", by_bytes, "Accuracy by traffic", "traffic of all devices, MB", "accuracy"),
        ("intervals", rare, "Parameters with the long interval", "local steps", "share of all parameters"),
    ):
        if lines:
            draw(folder / f"fedlama-{key}.svg", title, lines, x_label=x, y_label=y)


def _by_bytes(run: CaseRun) -> list[tuple[float, float]]:
    sent = [0.0] * (run.rounds[-1].round + 1)
    for row in run.devices:
        sent[row.round] += (row.download_bytes or 0) + (row.upload_bytes or 0)
    return [(sum(sent[: number + 1]) / 1e6, accuracy) for number, accuracy in run.accuracies.items()]


def _rare(run: CaseRun, phi: int, steps: int) -> list[tuple[float, float]]:
    whole = sum(run.rounds[0].strategy_state["sizes"].values())
    points = []
    for row in run.rounds[::phi]:
        state = row.strategy_state
        long = sum(size for layer, size in state["sizes"].items() if state["intervals"][layer] > 1)
        points.append((float(row.round * steps), long / whole))
    return points


def main() -> None:
    """Run what is missing, and show the tables."""
    options = arguments(__doc__, "fedlama").parse_args()
    setting, folder = PAPER if options.paper else SMALL, results_folder(options)
    found: dict[str, list[CaseRun]] = {name: [] for name in CASES}
    if not options.table:
        in_tensorflow(options.name)
        prepare(setting, folder)
    if options.prepare:
        return
    for seed in range(options.seeds):
        for name in CASES:
            text, case = experiment(setting, name, seed), f"{slug(name)}-seed{seed}"
            run = finished_case(folder, case, text) if options.table else run_case(folder, case, text, in_process=True)
            if run is not None:
                found[name].append(run)
                print(f"seed {seed}, {name}: accuracy {run.final:.4f}, best {run.best:.4f}", flush=True)
    for section, rows in (("fedlama", table(found)), ("fedlama layers", layer_rows(found))):
        for row in rows:
            print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
        if options.write is not None and rows:
            write_section(options.write, section, rows)
    if options.plots is not None:
        plot(setting, found, options.plots)


if __name__ == "__main__":
    main()
