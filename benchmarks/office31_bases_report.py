"""What `office31_bases` found: tables, a plot, and how far each base format is from float32 on the same splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from office31_bases import DOMAINS, METHODS, RATES

from python_server.report.charts import line_chart
from python_server.report.standalone import standalone

__all__ = ["write_report"]

TASKS = {
    f"{domain} → {place}" if place != domain else domain: (domain, place)
    for domain in DOMAINS
    for place in DOMAINS[domain]
}
FORMATS = [name for name in METHODS if name.startswith("head-224")]
DEPTHS = [name for name in METHODS if name.endswith("-96")]
WORDS = {
    "head-224-float32": "float32",
    "head-224-float16": "float16",
    "head-224-int8": "int8",
    "head-96": "head",
    "block16-96": "from `block_16_expand` on",
    "block13-96": "from `block_13_expand` on",
    "whole-96": "whole network",
}

Runs = dict[tuple[str, str], dict[int, Any]]
"""What runs found, by method and domain, then by seed."""


def write_report(output: Path, target: Path, images: Path) -> None:
    """Write the tables and the plot of a study between the two marks of ``target``, which holds the words.

    Raises
    ------
    SystemExit
        A run was made with a learning rate that its grid does not choose; the message names the file to delete.
    """
    runs = read_runs(output)
    lines = ["### Formats of the base: head alone, 224 px", ""]
    lines += _table(runs, FORMATS, {"base": _size(output), "features off by": _distance(runs)})
    lines += ["", "The same, less the float32 base's accuracy on the same split, in points:", ""]
    lines += _differences(runs, FORMATS[1:], FORMATS[0])
    lines += ["", "### How much is trained: 96 px, float32", ""]
    lines += _table(runs, DEPTHS, {"trained parameters": lambda name: f"{_parameters(runs, name):,.0f}"})
    lines += ["", "Learning rates chosen (amazon, webcam, dslr): " + "; ".join(_rates(runs)) + "."]
    images.mkdir(parents=True, exist_ok=True)
    title = "Office-31 at 96 px: accuracy by trained parameters"
    (images / "office31-depth.svg").write_text(standalone(_chart(runs, title), title))
    lines += ["", f"![{title}](images/office31-depth.svg)", ""]
    begin, end = "<!-- study: begin -->\n", "<!-- study: end -->"
    text = target.read_text() if target.exists() else f"{begin}{end}\n"
    before, _, rest = text.partition(begin)
    target.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}")
    print("\n".join(lines))


def read_runs(output: Path) -> Runs:
    """Read what is there, and hold every run to its grid."""
    runs: Runs = {}
    for name in METHODS:
        for domain in DOMAINS:
            for path in sorted(output.glob(f"{name}-{domain}-*.json")):
                run = json.loads(path.read_text())
                grid = {r: json.loads((output / f"grid-{name}-{domain}-{r}.json").read_text()) for r in RATES}
                best = max(grid, key=lambda rate: grid[rate])
                if run["learning_rate"] != best:
                    raise SystemExit(f"{path}: trained with {run['learning_rate']}, the grid says {best}; delete it")
                runs.setdefault((name, domain), {})[int(path.stem.rpartition("-")[2])] = run
    return runs


def _table(runs: Runs, names: Sequence[str], columns: dict[str, Any]) -> list[str]:
    lines = [f"| | {' | '.join([*TASKS, *columns])} |", "|---" * (1 + len(TASKS) + len(columns)) + "|"]
    for name in names:
        cells = []
        for domain, place in TASKS.values():
            found = runs.get((name, domain), {})
            cells.append(_spread([100 * run["accuracy"][place] for run in found.values()]))
        lines.append(f"| {WORDS[name]} | {' | '.join([*cells, *(make(name) for make in columns.values())])} |")
    return lines


def _differences(runs: Runs, names: Sequence[str], beside: str) -> list[str]:
    lines = [f"| | {' | '.join(TASKS)} |", "|---" * (1 + len(TASKS)) + "|"]
    for name in names:
        cells = []
        for domain, place in TASKS.values():
            found, exact = runs.get((name, domain), {}), runs.get((beside, domain), {})
            both = sorted(found.keys() & exact.keys())
            changes = [100 * (found[seed]["accuracy"][place] - exact[seed]["accuracy"][place]) for seed in both]
            cells.append(_spread(changes, "+.1f"))
        lines.append(f"| {WORDS[name]} | {' | '.join(cells)} |")
    return lines


def _spread(values: Sequence[float], form: str = ".1f") -> str:
    if not values:
        return "not run"
    if len(values) == 1:
        return f"{values[0]:{form}} (n = 1)"
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1):.1f} (n = {len(values)})"


def _size(output: Path) -> Any:
    def size(name: str) -> str:
        found = [path.stat().st_size for path in (output / "bundles").glob(f"{name}*/base.tflite")]
        return f"{np.mean(found) / 1e6:.2f} MB" if found else "–"

    return size


def _distance(runs: Runs) -> Any:
    def distance(name: str) -> str:
        found = [
            value
            for (method, _), seeds in runs.items()
            for run in seeds.values()
            if method == name and run["feature_distance"]
            for value in run["feature_distance"].values()
        ]
        return f"{min(found):.3f} to {max(found):.3f}" if found else "–"

    return distance


def _parameters(runs: Runs, name: str) -> float:
    counts = [
        run["trained_parameters"] for (found, _), seeds in runs.items() if found == name for run in seeds.values()
    ]
    return float(counts[0]) if counts else float("nan")


def _rates(runs: Runs) -> list[str]:
    return [
        f"{name} "
        + ", ".join(
            f"{next(iter(runs[name, domain].values()))['learning_rate']:g}" if (name, domain) in runs else "–"
            for domain in DOMAINS
        )
        for name in METHODS
    ]


def _chart(runs: Runs, title: str) -> str:
    series = {}
    for task, (domain, place) in TASKS.items():
        series[task] = [
            (
                _parameters(runs, name) / 1e3,
                float(np.mean([run["accuracy"][place] for run in runs[name, domain].values()])),
            )
            for name in DEPTHS
            if (name, domain) in runs
        ]
    return line_chart(series, title=title, x_label="trained parameters, thousand", y_label="accuracy")
