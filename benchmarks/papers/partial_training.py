"""Partial training: weak clients train the output-side layers, beside width reduction and controls.

Lee's slides call it InclusiveFL; Lee et al., "EmbracingFL: Enabling Weak Client Participation via Partial Model
Training" (IEEE TMC 2024). Two tables: few strong clients and more and more weak ones, and table 9's mixtures of strong,
moderate and weak. A moderate client trains ResNet-20 without stem and first stage, a weak one its last stage alone;
with width reduction (`heterofl`) they hold the slice of nearest capacity instead (parameters and activations).

Every client has its share of one Dirichlet split (α = 0.1) over all clients; those that a case leaves out take their
data with them. So more weak clients are more data. Each round trains as many clients as there are, but no more than a
quarter of all.

* small (default): ResNet-8 of half the width on images of 16 × 16, 32 clients, 6,400 images, 60 rounds of five steps;
* ``--paper``: ResNet-20, 128 clients, all of CIFAR-10, for a GPU (``KERAS_BACKEND=jax``).

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The data is
``cifar10_jpeg.npz`` under ``data/`` in the folder that POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python -m benchmarks.papers.partial_training --write docs/papers.md --plots docs/images

``--timings`` measures the training step of each part on this machine instead, beside the slides' phone.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.papers.cases import (
    CaseRun,
    cifar10,
    cifar10_file,
    finished_case,
    mean_and_range,
    run_case,
    write_section,
)
from benchmarks.papers.lee import (
    MODERATE,
    WEAK,
    Network,
    arguments,
    in_tensorflow,
    make_bundle,
    make_slice,
)
from benchmarks.papers.script import draw, results_folder
from model_export.bundle import Bundle
from model_export.files import write_atomically
from model_export.manifest import Manifest
from python_server.partition import by_label

KINDS = ("strong", "moderate", "weak")
METHODS = ("partial", "width")
CONTROLS = {
    "drop_weak": "the strong alone",
    "smallest-cut": "the weak's part for all",
    "smallest-width": "the weak's slice for all, as the whole model",
}
PAPER_GROWTH = {0: (60.15, 60.15), 16: (66.62, 61.34), 32: (72.60, 62.09), 64: (74.79, 63.68), 112: (77.34, 65.01)}
"""Slides: 16 strong clients and so many weak ones: accuracy in percent of partial training and of width reduction."""
PAPER_MIXTURES = {
    (128, 0, 0): (80.35, 80.35),
    (64, 64, 0): (80.07, 76.77),
    (32, 96, 0): (79.20, 67.92),
    (16, 112, 0): (79.11, 59.03),
    (64, 0, 64): (80.21, 72.97),
    (32, 0, 96): (78.91, 69.70),
    (16, 0, 112): (77.19, 54.53),
    (32, 32, 64): (79.78, 67.93),
    (16, 32, 80): (80.04, 59.59),
    (16, 16, 96): (78.01, 58.17),
}
"""Table 9: strong, moderate and weak clients of 128."""
PAPER_STEP_MS = {"partial": (419_643.8, 197_265.0, 85_448.3), "width": (419_643.8, 317_669.7, 187_580.4)}
"""Slides, "Timings on Real Edge Devices": backpropagation of ResNet-20 on a OnePlus 9 Pro."""


@dataclass(frozen=True)
class Setting:
    """An experiment's size; clients are strong, moderate and weak ones.

    Attributes
    ----------
    growth
        Numbers of weak clients beside an eighth of all, the strong.
    mixtures
        Rows of table 9, of 128.
    """

    network: Network
    clients: int
    train: int
    test: int
    rounds: int
    steps: int
    rate: str
    growth: tuple[int, ...]
    mixtures: tuple[tuple[int, int, int], ...]
    evaluate_every: int

    @property
    def strong(self) -> int:
        """Strong clients among the growing number of weak ones."""
        return self.clients // 8

    def scaled(self, counts: Sequence[int]) -> tuple[int, int, int]:
        """Return table 9's counts of 128 clients for as many as there are here."""
        strong, moderate, weak = (count * self.clients // 128 for count in counts)
        return strong, moderate, weak

    @property
    def cases(self) -> list[str]:
        """Names of all cases, the most telling first: method or control, and how many clients of each kind."""
        most = (self.strong, 0, self.growth[-1])
        names = [f"{method}-{_text((self.strong, 0, weak))}" for weak in reversed(self.growth) for method in METHODS]
        names.insert(2, f"drop_weak-{_text(most)}")
        names += [f"partial-{_text((self.clients, 0, 0))}"]
        names += [f"smallest-{what}-{_text(most)}" for what in ("width", "cut")]
        for mixture in self.mixtures:
            names += [f"{method}-{_text(self.scaled(mixture))}" for method in METHODS]
        return list(dict.fromkeys(names))


SMALL = Setting(
    network=Network(pixels=16, width=0.5, blocks=1, batch_size=16),
    clients=32,
    train=6400,
    test=2000,
    rounds=60,
    steps=5,
    rate="{ 1 = 0.2, 46 = 0.02 }",
    growth=(4, 12, 28),
    mixtures=((16, 112, 0), (64, 0, 64), (32, 32, 64)),
    evaluate_every=15,
)
PAPER = Setting(
    network=Network(),
    clients=128,
    train=50_000,
    test=10_000,
    rounds=1000,
    steps=10,
    rate="{ 1 = 0.4, 500 = 0.04, 750 = 0.004 }",
    growth=(16, 32, 64, 112),
    mixtures=tuple(counts for counts in PAPER_MIXTURES if counts[0] < 128),
    evaluate_every=20,
)


def _text(counts: Sequence[int]) -> str:
    return "-".join(map(str, counts))


def experiment(setting: Setting, case: str, seed: int) -> str:
    """Return the experiment file of a case."""
    method, *rest = case.rsplit("-", 3)
    counts = [int(number) for number in rest]
    strategy, part = {
        "partial": ("partial_training", "cut"),
        "width": ("heterofl", "variant"),
        "drop_weak": ("drop_weak", "cut"),
        "smallest-cut": ("smallest", "cut"),
        "smallest-width": ("fedavg", ""),  # the weak's slice is a model of its own, and evaluated as such
    }[method]
    taking_part = sum(counts) if method != "drop_weak" else counts[0]
    fraction = 1.0 if method == "drop_weak" else min(1.0, setting.clients / 4 / taking_part)
    cuts = {"moderate": MODERATE, "weak": WEAK}
    lines = [
        f'name = "{case}"',
        f"seed = {seed}",
        f"rounds = {setting.rounds}",
        'keep_weights = "last"',
        f'[model]\nbundle = "{"weak" if method == "smallest-width" else "bundle"}"',
        '[data]\ntest = "test.npz"',
        f"[evaluate]\nevery = {setting.evaluate_every}",
        f'[strategy]\nname = "{strategy}"\nfraction = {fraction:.15g}'
        + ('\nstatistics = "whole"' if strategy == "heterofl" else ""),
        f"[train]\nsteps = {setting.steps}\nlearning_rate = {setting.rate}",
        '[[simulation.profiles]]\nname = "cpu"\nstep_ms = 1',
    ]
    index = 0
    for kind, count in zip(KINDS, counts):
        for _ in range(count):
            lines.append(f'[[clients]]\nname = "{kind}-{index:03d}"\ndata = "data-{seed}/{index:03d}.npz"')
            if part == "variant" and kind != "strong":
                lines[-1] += f'\nvariant = "{kind}"'
            index += 1
    for kind, count in zip(KINDS[1:], counts[1:]):
        if not (count and part):
            continue
        if part == "variant":
            lines.append(f'[[variants]]\nname = "{kind}"\nbundle = "{kind}"')
        value = kind if part == "variant" else cuts[kind]
        lines.append(f'[[groups]]\nname = "{kind}"\ndevices = ["{kind}-*"]\n{part} = "{value}"')
    return "\n".join(lines) + "\n"


def prepare(setting: Setting, seed: int, folder: Path) -> None:
    """Make what is missing of the bundles and of a seed's clients' data."""
    cifar10_file(folder / "test.npz", "test", setting.test, setting.network.pixels)
    data = folder / f"data-{seed}"
    if not (data / f"{setting.clients - 1:03d}.npz").exists():
        data.mkdir(parents=True, exist_ok=True)
        x, y = cifar10("train", setting.train, setting.network.pixels)
        for index, rows in enumerate(by_label(y, setting.clients, alpha=0.1, seed=seed)):
            buffer = io.BytesIO()
            np.savez_compressed(buffer, x=x[rows], y=y[rows])
            write_atomically(data / f"{index:03d}.npz", buffer.getvalue())
    make_parts(setting.network, folder)


def make_parts(network: Network, folder: Path, *, measure: bool = False) -> dict[str, Path]:
    """Export what is missing of the whole network with its cuts, and of the slices of their capacities."""
    whole = make_bundle(folder / "bundle", network, measure=measure)
    cuts = {"moderate": MODERATE, "weak": WEAK}
    slices = {kind: make_slice(folder / kind, network, whole, cut, measure=measure) for kind, cut in cuts.items()}
    return {"strong": whole, **slices}


Found = Mapping[str, Sequence[CaseRun]]


def done(setting: Setting, seeds: int, folder: Path) -> dict[str, list[CaseRun]]:
    """Return the finished runs of each case, seed by seed."""
    found: dict[str, list[CaseRun]] = {}
    for case in setting.cases:
        runs = [finished_case(folder, f"{case}-seed{seed}", experiment(setting, case, seed)) for seed in range(seeds)]
        found[case] = [run for run in runs if run is not None]
    return found


def _final(found: Found, case: str) -> str:
    runs = found.get(case, [])
    return mean_and_range([100 * run.final for run in runs], ".1f") if runs else "–"


def growth_rows(setting: Setting, found: Found) -> list[dict[str, str]]:
    """Return the table of strong clients and a growing number of weak ones."""
    alone = f"drop_weak-{_text((setting.strong, 0, setting.growth[-1]))}"
    rows = []
    for weak in (0, *setting.growth):
        paper = PAPER_GROWTH.get(weak * 128 // setting.clients)
        cases = [f"{method}-{_text((setting.strong, 0, weak))}" if weak else alone for method in METHODS]
        best = [
            mean_and_range([100 * run.best for run in found[case]], ".1f") if found[case] else "–" for case in cases
        ]
        rows.append(
            {
                "strong + weak": f"{setting.strong} + {weak}",
                "partial, final": _final(found, cases[0]),
                "best": best[0],
                "width, final": _final(found, cases[1]),
                "best ": best[1],
                "seeds": str(min(len(found[case]) for case in cases)),
                "slides (strong + weak: partial, width)": f"16 + {weak * 128 // setting.clients}: "
                + (f"{paper[0]}, {paper[1]}" if paper else "–"),
            }
        )
    return rows


def mixture_rows(setting: Setting, found: Found) -> list[dict[str, str]]:
    """Return table 9's rows, then the controls."""
    whole = f"partial-{_text((setting.clients, 0, 0))}"
    weak = (16, 0, 112)
    rows = []
    for mixture in ((128, 0, 0), *dict.fromkeys((*setting.mixtures, weak))):
        counts = setting.scaled(mixture)
        cases = [whole, whole] if mixture[0] == 128 else [f"{method}-{_text(counts)}" for method in METHODS]
        rows.append(_mixture(" + ".join(map(str, counts)), found, cases, PAPER_MIXTURES[mixture]))
    most = (setting.strong, 0, setting.growth[-1])
    for control, meaning in CONTROLS.items():
        case = f"{control}-{_text(most)}"
        name = f"{' + '.join(map(str, most))}: {meaning}"
        rows.append(_mixture(name, found, [case] if control != "smallest-width" else ["", case], None))
    return rows


def _mixture(name: str, found: Found, cases: Sequence[str], paper: tuple[float, float] | None) -> dict[str, str]:
    cells = [_final(found, case) if case else "" for case in (*cases, "")][:2]
    return {
        "strong + moderate + weak": name,
        "partial": cells[0],
        "width": cells[1],
        "table 9: partial, width": f"{paper[0]}, {paper[1]}" if paper else "",
    }


def timing_rows(network: Network, folder: Path) -> list[dict[str, str]]:
    """Export the network and its slices with measured costs, unless that is done; return the table of step times."""
    paths = make_parts(network, folder, measure=True)
    manifests = {kind: Bundle.load(path).manifest for kind, path in paths.items()}
    cuts = dict(zip(KINDS, ("", MODERATE, WEAK)))
    whole = manifests["strong"]
    rows = []
    for method in METHODS:
        for kind, slides in zip(KINDS, PAPER_STEP_MS[method]):
            manifest, cut = (whole, cuts[kind]) if method == "partial" else (manifests[kind], "")
            forward, backward = _macs(manifest), 2 * _macs(manifest, cut)
            rows.append(
                {
                    "client": f"{kind}, {method}",
                    "a step: multiply-accumulates": f"{(forward + backward) / (3 * _macs(whole)):.2f}",
                    "a step: measured here": f"{_step_ms(manifest, cut) / _step_ms(whole, ''):.2f}",
                    "backward alone: multiply-accumulates": f"{backward / (2 * _macs(whole)):.2f}",
                    "backward alone: phone, slides": f"{slides / PAPER_STEP_MS[method][0]:.2f}",
                }
            )
    return rows[:3] + rows[4:]  # the strong is the same in both


def _step_ms(manifest: Manifest, cut: str) -> float:
    measured = manifest.costs.measured
    assert measured is not None  # exported so
    return measured.signatures[manifest.training_signature(cut)].step_ms


def _macs(manifest: Manifest, cut: str = "") -> int:
    names = [layer.name for layer in manifest.layers]
    return sum(layer.macs for layer in manifest.layers[names.index(cut) if cut else 0 :])


def show(rows: Sequence[Mapping[str, str]], page: Path | None, section: str) -> None:
    """Print a table, and put it into a page where one is given."""
    for row in rows:
        print("  ".join(f"{key.strip()}: {value}" for key, value in row.items() if value), flush=True)
    if page is not None:
        write_section(page, section, rows)


def plot(setting: Setting, found: Found, folder: Path) -> None:
    """Draw accuracy by number of weak clients."""
    lines: dict[str, list[tuple[float, float]]] = {"partial training": [], "width reduction": []}
    alone = f"drop_weak-{_text((setting.strong, 0, setting.growth[-1]))}"
    for method, line in zip(METHODS, lines.values()):
        for weak in (0, *setting.growth):
            runs = found[f"{method}-{_text((setting.strong, 0, weak))}" if weak else alone]
            if runs:
                line.append((float(weak), statistics.mean(run.final for run in runs)))
    lines = {name: line for name, line in lines.items() if line}
    title = f"Accuracy of {setting.strong} strong clients and more and more weak ones"
    draw(folder / "partial_training.svg", title, lines, x_label="weak clients", y_label="accuracy")


def main() -> None:
    """Run what is missing, and show the tables."""
    parser = arguments(__doc__, "partial_training")
    parser.add_argument("--timings", action="store_true", help="measure a step of each part on this machine instead")
    options = parser.parse_args()
    setting, folder = PAPER if options.paper else SMALL, results_folder(options)
    if options.timings:
        show(timing_rows(PAPER.network, folder / "timings"), options.write, "partial training timings")
        return
    if not options.table:
        in_tensorflow(options.name)
        for seed in range(options.seeds):
            prepare(setting, seed, folder)
    if options.prepare:
        return
    if not options.table:
        for seed in range(options.seeds):
            for case in setting.cases:
                run = run_case(folder, f"{case}-seed{seed}", experiment(setting, case, seed), in_process=True)
                print(f"seed {seed}, {case}: accuracy {run.final:.4f}", flush=True)
    found = done(setting, options.seeds, folder)
    show(growth_rows(setting, found), options.write, "partial training growth")
    show(mixture_rows(setting, found), options.write, "partial training mixtures")
    if options.plots is not None:
        plot(setting, found, options.plots)


if __name__ == "__main__":
    main()
