"""What `training_fidelity` found: distances from float64, an exact test, plots, a verdict.

The rule. For each figure, the distance of a training from the float64 training of the same seed is taken: of the
exported file's, and of Keras's two float32 trainings. Their ratio is that of root mean squares over the seeds. If it
makes no difference who computes in float32, the three are exchangeable within a seed: so the share of all ways to
name one of the three "exported" in every seed that give a ratio at least as large is an exact p. The exported file
**follows** Keras in a figure unless the ratio is above 1.5 and p is at most 0.05.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from training_fidelity import VARIANTS

from python_server.report.charts import line_chart
from python_server.report.standalone import standalone

__all__ = ["write_report"]

RATIO, LEVEL = 1.5, 0.05
LAST = 100
NAMES = {
    "exported": "exported file",
    "keras32": "Keras float32",
    "twin": "Keras float32, twin",
    "keras64": "Keras float64",
}


@dataclass(frozen=True)
class Run:
    """One training: its losses, test figures, and moving statistics by path."""

    losses: np.ndarray
    test_loss: float
    test_accuracy: float
    statistics: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read what a run left."""
        with np.load(path) as file:
            weights = {key[8:].replace("|", "/"): file[key] for key in file.files if key.startswith("weights/")}
            statistics = {key: value.astype(np.float64) for key, value in weights.items() if "/moving_" in key}
            return cls(file["losses"], float(file["test_loss"]), float(file["test_accuracy"]), statistics)

    @property
    def final_loss(self) -> float:
        """Mean loss of the last steps."""
        return float(self.losses[-LAST:].mean())


Seed = dict[str, Run]
Distance = Callable[[Run, Run], float]


def mean_distance(run: Run, exact: Run) -> dict[str, float]:
    """Distance of each layer's moving mean, in standard deviations of the layer."""
    return {
        path: float(np.linalg.norm(run.statistics[path] - value) / np.linalg.norm(_deviation(exact, path)))
        for path, value in exact.statistics.items()
        if path.endswith("moving_mean")
    }


def variance_distance(run: Run, exact: Run) -> dict[str, float]:
    """Relative distance of each layer's moving variance."""
    return {
        path: float(np.linalg.norm(run.statistics[path] - value) / np.linalg.norm(value))
        for path, value in exact.statistics.items()
        if path.endswith("moving_variance")
    }


def _deviation(run: Run, mean_path: str) -> np.ndarray:
    return np.sqrt(run.statistics[mean_path.replace("moving_mean", "moving_variance")])


FIGURES: dict[str, Distance] = {
    "training loss, last 100 steps": lambda a, b: abs(a.final_loss - b.final_loss),
    "test loss": lambda a, b: abs(a.test_loss - b.test_loss),
    "test accuracy": lambda a, b: abs(a.test_accuracy - b.test_accuracy),
    "moving means, median layer": lambda a, b: float(np.median(list(mean_distance(a, b).values()))),
    "moving means, worst layer": lambda a, b: max(mean_distance(a, b).values()),
    "moving variances, median layer": lambda a, b: float(np.median(list(variance_distance(a, b).values()))),
    "moving variances, worst layer": lambda a, b: max(variance_distance(a, b).values()),
}


def ratio_test(distances: np.ndarray) -> tuple[float, float]:
    """Return the ratio and its p of ``distances [seeds, 3]``, the exported file's first."""
    rows = np.arange(len(distances))
    squares = distances**2

    def ratio(chosen: Sequence[int]) -> float:
        ours = squares[rows, list(chosen)].sum()
        return float(np.sqrt(2 * ours / max(squares.sum() - ours, 1e-300)))

    observed = ratio([0] * len(rows))
    ways = [ratio(chosen) for chosen in itertools.product(range(3), repeat=len(rows))]
    return observed, float(np.mean([way >= observed * (1 - 1e-12) for way in ways]))


def bias_test(values: np.ndarray) -> tuple[float, float]:
    """Mean of the first column of ``values [seeds, 4]`` less that of the others, and its exact two-sided p."""
    rows = np.arange(len(values))

    def bias(chosen: Sequence[int]) -> float:
        ours = values[rows, list(chosen)]
        return float(np.mean(ours - (values.sum(axis=1) - ours) / 3))

    observed = bias([0] * len(rows))
    ways = [abs(bias(chosen)) for chosen in itertools.product(range(4), repeat=len(rows))]
    return observed, float(np.mean([way >= abs(observed) * (1 - 1e-12) for way in ways]))


def read_runs(output: Path) -> dict[str, dict[int, Seed]]:
    """Read all seeds of which every variant is there, by network and seed; of the longest study in the folder."""
    runs: dict[str, dict[int, Seed]] = {}
    lengths = [int(path.stem.rpartition("-")[2]) for path in output.glob("*-keras64-*.npz")]
    if not lengths:
        raise SystemExit(f"{output} holds no run in float64 to compare with; make the runs first, without --report")
    longest = max(lengths)
    for path in sorted(output.glob(f"*-keras64-{longest}.npz")):
        network, seed, _, _ = path.stem.rsplit("-", 3)
        files = {variant: path.with_name(path.name.replace("keras64", variant)) for variant in VARIANTS}
        if all(file.exists() for file in files.values()):
            runs.setdefault(network, {})[int(seed)] = {variant: Run.read(file) for variant, file in files.items()}
    return runs


def write_report(output: Path, target: Path, images: Path) -> None:
    """Write the tables and plots of a study between the two marks of ``target``, which holds the words."""
    runs = read_runs(output)
    images.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for network, seeds in runs.items():
        lines += _section(network, list(seeds.values()), images)
    begin, end = "<!-- study: begin -->\n", "<!-- study: end -->"
    text = target.read_text() if target.exists() else f"{begin}{end}\n"
    before, _, rest = text.partition(begin)
    target.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}")
    print("\n".join(lines))


def _section(network: str, seeds: list[Seed], images: Path) -> list[str]:
    steps = len(seeds[0]["keras64"].losses)
    lines = [f"### {network}: {len(seeds)} seeds, {steps:,} steps", ""]
    lines += ["| | training loss, last 100 steps | test loss | test accuracy |", "|---|---|---|---|"]
    for variant in VARIANTS:
        rows = [seed[variant] for seed in seeds]
        cells = [_spread([getattr(run, name) for run in rows]) for name in ("final_loss", "test_loss", "test_accuracy")]
        lines.append(f"| {NAMES[variant]} | {' | '.join(cells)} |")
    lines += ["", "Mean and standard deviation over the seeds. The exported file less the mean of the others:"]
    biases = []
    for label, name in (("training loss", "final_loss"), ("test loss", "test_loss"), ("accuracy", "test_accuracy")):
        bias, p = bias_test(np.array([[getattr(seed[v], name) for v in VARIANTS] for seed in seeds]))
        biases.append(f"{label} {bias:+.4f} (p = {p:.2f})")
    lines += [f"{', '.join(biases)}.", ""]
    lines += ["| distance from float64 | exported | Keras float32 | twin | ratio | p | follows |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for label, distance in FIGURES.items():
        found = np.array([[distance(seed[v], seed["keras64"]) for v in VARIANTS[:3]] for seed in seeds])
        ratio, p = ratio_test(found)
        cells = [f"{value:.3g}" for value in np.sqrt((found**2).mean(axis=0))]
        verdict = "yes" if ratio <= RATIO or p > LEVEL else "**no**"
        lines.append(f"| {label} | {' | '.join(cells)} | {ratio:.2f} | {p:.2f} | {verdict} |")
    for name, title, chart in (
        ("loss", f"{network}: training loss, mean of all seeds", _loss_chart(seeds)),
        ("statistics", f"{network}: moving variances' distance from float64 by layer", _layer_chart(seeds)),
    ):
        file = images / f"fidelity-{network}-{name}.svg"
        file.write_text(standalone(chart, title))
        lines += ["", f"![{title}](images/{file.name})"]
    return [*lines, ""]


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.4f}"


def _loss_chart(seeds: list[Seed], window: int = 50) -> str:
    series = {}
    for variant in VARIANTS:
        losses = np.mean([seed[variant].losses for seed in seeds], axis=0)
        blocks = losses[: len(losses) // window * window].reshape(-1, window).mean(axis=1)
        series[NAMES[variant]] = [(float(window * (i + 1)), float(value)) for i, value in enumerate(blocks)]
    return line_chart(series, title="training loss", x_label="step", y_label=f"loss, mean of {window} steps")


def _layer_chart(seeds: list[Seed]) -> str:
    series = {}
    for variant in VARIANTS[:3]:
        found = [list(variance_distance(seed[variant], seed["keras64"]).values()) for seed in seeds]
        squares = np.sqrt(np.mean(np.square(found), axis=0))
        series[NAMES[variant]] = [(float(i + 1), float(value)) for i, value in enumerate(squares)]
    return line_chart(series, title="moving variances", x_label="batch norm, from the input", y_label="rms distance")
