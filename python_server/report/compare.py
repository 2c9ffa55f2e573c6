"""Several runs over one another: accuracy against rounds, time, joules and bytes, and what each came to and was."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import tomllib
from markupsafe import Markup

from model_export.files import write_atomically
from python_server.errors import StoreError
from python_server.report.charts import line_chart
from python_server.report.figures import RunFigures, gather
from python_server.report.learning import axes
from python_server.report.page import environment, style
from python_server.report.write import as_csv, finite
from python_server.run_reader import RunReader

__all__ = ["Comparison", "compare", "differences", "flattened", "write_comparison"]


@dataclass(frozen=True)
class Comparison:
    """Runs that could be read, by label, and why others could not."""

    runs: dict[str, RunFigures]
    left_out: dict[str, str]


def compare(paths: Sequence[Path]) -> Comparison:
    """Read runs.

    Parameters
    ----------
    paths
        Run directories; the same one twice counts once.

    Raises
    ------
    StoreError
        None of them can be read.
    """
    runs: list[tuple[Path, RunFigures]] = []
    left_out: dict[str, str] = {}
    for path in dict.fromkeys(each.resolve() for each in paths):
        try:
            with RunReader(path) as reader:
                runs.append((path, gather(reader)))
        except (StoreError, OSError) as error:
            left_out[str(path)] = " ".join(str(error).split())
    if not runs:
        raise StoreError(f"no run to compare: {'; '.join(left_out.values())}")
    counts = Counter(figures.run_id for _, figures in runs)
    labelled = {
        figures.run_id if counts[figures.run_id] == 1 else f"{path.parent.name}/{figures.run_id}": figures
        for path, figures in runs
    }
    if len(labelled) < len(runs):
        labelled = {str(path): figures for path, figures in runs}
    return Comparison(labelled, left_out)


def write_comparison(paths: Sequence[Path], output: Path) -> Comparison:
    """Write a page that compares runs, and beside it their rounds as CSV and their summaries as JSON.

    Parameters
    ----------
    paths
        Run directories.
    output
        The HTML file.

    Returns
    -------
    What was compared, and what was left out and why.

    Raises
    ------
    StoreError
        None of the runs can be read.
    OSError
        A file could not be written.
    """
    found = compare(paths)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output.with_suffix(".json"), _as_json(found).encode())
    write_atomically(output.with_name(f"{output.stem}_rounds.csv"), _rounds_csv(found).encode())
    write_atomically(output, _render(found).encode())
    return found


def differences(experiments: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the keys of experiment files that do not have one value everywhere.

    Parameters
    ----------
    experiments
        Experiment files' texts by run; one that is no TOML counts as empty.

    Returns
    -------
    By key, such as ``train.epochs``, the value of each run in words; ``–`` where it has none.
    """
    flat = {name: flattened(text) for name, text in experiments.items()}
    keys = dict.fromkeys(key for each in flat.values() for key in each)
    values = {key: {name: each.get(key, "–") for name, each in flat.items()} for key in keys}
    return {key: by_run for key, by_run in values.items() if len(set(by_run.values())) > 1}


def flattened(text: str) -> dict[str, str]:
    """Return an experiment file's keys with their values as JSON: ``train.epochs``, ``groups[1].name``."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    flat: dict[str, str] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{name}.{key}" if name else key)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value, start=1):
                walk(item, f"{name}[{number}]")
        else:
            flat[name] = json.dumps(value, ensure_ascii=False, default=str)

    walk(table, "")
    return flat


def _render(found: Comparison) -> str:
    runs = found.runs
    charts = {}
    for axis, (label, places) in axes(list(runs.values())).items():
        charts[axis] = Markup(  # noqa: S704 charts escape their words
            line_chart(
                {
                    name: [(at[float(r.round)], r.accuracy) for r in run.rounds if float(r.round) in at]
                    for (name, run), at in zip(runs.items(), places)
                },
                title=f"Accuracy by {label}",
                x_label=label,
                y_label="accuracy",
                height=320,
            )
        )
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            runs=runs,
            left_out=found.left_out,
            charts=charts,
            differ=differences({name: run.experiment for name, run in runs.items()}),
            same_bundle=len({run.meta.get("bundle_sha256", "") for run in runs.values()}) == 1,
            modelled=[name for name, run in runs.items() if run.meta.get("mode") == "simulated"],
            best=_best_rounds(runs),
            style=style(),
            now=time.time(),
        )
    )


def _best_rounds(runs: Mapping[str, RunFigures]) -> dict[str, Optional[int]]:
    """Return the first round with each run's best accuracy."""
    best = {}
    for name, run in runs.items():
        known = [(r.accuracy, -r.round) for r in run.rounds if r.round > 0 and r.accuracy is not None]
        best[name] = -max(known)[1] if known else None
    return best


def _as_json(found: Comparison) -> str:
    runs = {
        name: {"status": run.status, "meta": run.meta, "summary": run.summary, "spent": run.spent}
        for name, run in found.runs.items()
    }
    return json.dumps(finite({"runs": runs, "left_out": found.left_out}), indent=1, ensure_ascii=False)


def _rounds_csv(found: Comparison) -> str:
    names = ("run", "round", "accuracy", "loss", "client_accuracy", "time_s", "energy_j", "bytes_moved")
    return as_csv(
        names,
        [
            (name, r.round, r.accuracy, r.loss, r.client_accuracy, s.time_s, s.energy_j, s.bytes_moved)
            for name, run in found.runs.items()
            for r, s in zip(run.rounds, run.spent)
        ],
    )
