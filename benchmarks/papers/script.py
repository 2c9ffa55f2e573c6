"""What the scripts of the papers' tables have in common: arguments, the loop over seeds and cases, tables, pictures."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.papers.cases import ROOT, CaseRun, finished_case, run_case, write_section
from model_export.files import write_atomically
from python_server.report.charts import line_chart
from python_server.report.standalone import standalone

__all__ = ["arguments", "by_round", "draw", "parsed", "results_folder", "run_seeds", "show"]

Key = TypeVar("Key")


def arguments(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser for what all scripts take; ``name`` is the results' folder under ``runs/papers``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", action="store_true", help="the paper's own setting, for a GPU")
    parser.add_argument("--seeds", type=int, default=3)
    parser.set_defaults(name=name)
    parser.add_argument("--folder", type=Path, help=f"where results are kept (default: runs/papers/{name}[-paper])")
    parser.add_argument("--table", action="store_true", help="only show what is done")
    parser.add_argument("--write", type=Path, help="also write the tables into this page")
    parser.add_argument("--plots", type=Path, help="also draw pictures, into this folder")
    return parser


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; ``folder`` is absolute, and another one for the paper's own setting.

    KERAS_BACKEND is that of the simulations, ``backend``: bundles are exported by this process, on TensorFlow.
    """
    options = parser.parse_args(words)
    options.backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    options.folder = results_folder(options)
    return options


def results_folder(options: argparse.Namespace) -> Path:
    """Return where results are kept: what was asked for, or a folder for each of the two settings."""
    own = f"{options.name}-paper" if options.paper else options.name
    folder: Path = options.folder or ROOT / "runs" / "papers" / own
    return folder.resolve()


def run_seeds(
    options: argparse.Namespace,
    cases: Iterable[Key],
    name: Callable[[Key, int], str],
    prepare: Callable[[Key, int], None],
    experiment: Callable[[Key, int], str],
) -> dict[Key, list[CaseRun]]:
    """Run what is missing, all cases of a seed before those of the next; return the finished runs by case.

    Parameters
    ----------
    options
        From `parsed`; with ``table`` nothing is run.
    cases
        The table's cases.
    name, experiment
        The name of a case's and seed's run, and the text of its experiment file.
    prepare
        Writes what the experiment file names.
    """
    results: dict[Key, list[CaseRun]] = {}
    cases, tensorflow = list(cases), options.backend == "tensorflow"
    for seed in range(options.seeds):
        for case in cases:
            run: CaseRun | None
            text = experiment(case, seed)
            if not tensorflow:
                text = text.replace("[simulation]\n", f'[simulation]\nbackend = "{options.backend}"\n')
            if options.table:
                run = finished_case(options.folder, name(case, seed), text)
            else:
                prepare(case, seed)
                run = run_case(options.folder, name(case, seed), text, in_process=tensorflow)
            if run is not None:
                print(f"{name(case, seed)}: accuracy {run.final:.3f}, best {run.best:.3f}", flush=True)
                results.setdefault(case, []).append(run)
    return results


def by_round(runs: Sequence[CaseRun], column: str = "accuracy") -> list[tuple[float, float]]:
    """Return a column of the rounds, as the mean over seeds, where all have it."""
    points = []
    for rows in zip(*(run.rounds for run in runs)):
        values = [getattr(row, column) for row in rows]
        if None not in values:
            points.append((float(rows[0].round), statistics.mean(values)))
    return points


def show(tables: Mapping[str, Sequence[Mapping[str, str]]], page: Path | None) -> None:
    """Print tables, by name, and write them between their marks of a page if one is given."""
    for name, rows in tables.items():
        print(f"\n{name}")
        for row in rows:
            print(" | ".join(f"{column}: {cell}" for column, cell in row.items()))
        if page and rows:
            write_section(page, name, rows)


def draw(
    file: Path, title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str
) -> None:
    """Draw lines into a file, unless there are none."""
    if any(lines.values()):
        file.parent.mkdir(parents=True, exist_ok=True)
        chart = line_chart(lines, title=title, x_label=x_label, y_label=y_label)
        write_atomically(file, standalone(chart, title).encode())
