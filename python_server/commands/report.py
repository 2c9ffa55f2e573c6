"""``pocketfleet report``: a run as one page, several runs over one another, and their figures for other programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

__all__ = ["Report"]

COMPARISON = Path("comparison.html")


class Report:
    """Write a report, a comparison, or exports."""

    name = "report"
    help = "write a run's report, compare runs, export their figures"
    description = (
        "Write one self-contained HTML page about a run, finished or going on: accuracy against rounds, time, joules "
        "and bytes, what each device did when, stragglers, heat, energy by phase with its source. The same figures go "
        "beside it as CSV and JSON. Several runs are compared on one page; those that cannot be read are "
        "left out and named."
    )
    examples = """\
examples:
  pocketfleet report runs/digits-20260101-120000
  pocketfleet report runs/digits-20260101-120000 -o report.html
  pocketfleet report runs/fedavg-* runs/fedprox-* -o comparison.html
  pocketfleet report runs/digits-20260101-120000 --parquet tables/ --tensorboard logs/
  pocketfleet report runs/digits-20260101-120000 --mlflow http://127.0.0.1:5000
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directory; several are compared")
        parser.add_argument(
            "-o",
            "--output",
            type=_page,
            metavar="FILE",
            help="HTML file, or a folder for it (default: report.html in the run directory; of several runs "
            f"{COMPARISON} here)",
        )
        parser.add_argument(
            "--parquet", type=Path, metavar="FOLDER", help="write the run's tables as Parquet files, too"
        )
        parser.add_argument(
            "--tensorboard", type=Path, metavar="FOLDER", help="write scalars that TensorBoard reads, too"
        )
        parser.add_argument(
            "--mlflow",
            metavar="WHERE",
            help="log the run to MLflow, too: a tracking server's address, or a folder for a database and the files",
        )
        parser.add_argument("--json", action="store_true", help="print what was written as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Write it, and tell where."""
        from python_server.report import write_comparison, write_report

        written: dict[str, object] = {}
        left_out: dict[str, str] = {}
        page: Path | None = options.output
        if page is not None and page.is_dir():
            page /= "report.html" if len(options.runs) == 1 else COMPARISON
        if len(options.runs) == 1:
            written["report"] = str(write_report(options.runs[0], page))
        else:
            page = page or COMPARISON
            left_out = write_comparison(options.runs, page).left_out
            written["report"] = str(page)
        readable = [run for run in options.runs if str(run.resolve()) not in left_out]
        written.update(_export(options, readable))
        for reason in left_out.values():
            print(f"pocketfleet: left out: {reason}", file=sys.stderr)
        if options.json:
            print(json.dumps({**written, **({"left_out": left_out} if left_out else {})}))
        else:
            for kind, place in written.items():
                print(f"{kind}: {place}")
        return 0


def _page(text: str) -> Path:
    path = Path(text)
    if path.suffix in (".json", ".csv"):
        raise argparse.ArgumentTypeError(f"{text}: name the HTML file; JSON and CSV of the same name go beside it")
    return path


def _export(options: argparse.Namespace, runs: list[Path]) -> dict[str, object]:
    """Write what other programs read; each run goes to a place of its own in the folder."""
    from python_server.report import exports

    written: dict[str, object] = {}
    counts = Counter(run.resolve().name for run in runs)
    for run in runs:
        whole = run.resolve()
        own = whole.name if counts[whole.name] == 1 else f"{whole.parent.name}-{whole.name}"
        if options.parquet:
            exports.to_parquet(run, options.parquet / own)
            written["parquet"] = str(options.parquet)
        if options.tensorboard:
            exports.to_tensorboard(run, options.tensorboard / own)
            written["tensorboard"] = str(options.tensorboard)
        if options.mlflow:
            written["mlflow"] = exports.to_mlflow(run, options.mlflow)
    return written
