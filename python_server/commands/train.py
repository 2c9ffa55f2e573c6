"""``pocketfleet train``: do an experiment."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Optional

from python_server.errors import ExperimentError

if TYPE_CHECKING:
    from python_server.experiment import Experiment
    from python_server.new_run import TrainResult

__all__ = [
    "Train",
    "add_run_arguments",
    "check_run_arguments",
    "dashboard_if_asked",
    "report_on",
    "terminated_like_interrupted",
    "train_and_report",
]


class Train:
    """Train."""

    name = "train"
    help = "do an experiment, or go on with one"
    description = (
        "Start a Flower server, wait for the devices, do the rounds, and write the report. A run that was stopped or "
        "killed, at whatever point, goes on from its last committed round with --resume."
    )
    examples = """\
examples:
  pocketfleet train digits.toml
  pocketfleet train --resume runs/digits-20260101-120000
  pocketfleet train digits.toml --dashboard
  pocketfleet train digits.toml --json | jq 'select(.event == "round").accuracy'

The last two lines are the accuracy and the report:
  accuracy: 0.97
  report: runs/digits-20260101-120000/report.html
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_run_arguments(parser)
        parser.add_argument(
            "--inventory", type=Path, metavar="FILE", help="keep the plan for these devices with the run (see plan)"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Train, and write the report."""
        check_run_arguments(options)
        from python_server.experiment import load_experiment
        from python_server.train import load_run

        experiment = load_experiment(options.experiment) if options.experiment else load_run(options.resume)
        with terminated_like_interrupted(), dashboard_if_asked(options):
            train_and_report(
                experiment,
                runs=options.runs,
                resume=options.resume,
                as_json=options.json,
                inventory=options.inventory,
            )
        return 0


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``train`` and ``simulate`` take."""
    parser.add_argument("experiment", type=Path, nargs="?", metavar="EXPERIMENT.toml", help="what to do")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run directory")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.add_argument("--dashboard", action="store_true", help="serve a live page of the run while it goes on")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


@contextmanager
def dashboard_if_asked(options: argparse.Namespace) -> Iterator[None]:
    """Serve a dashboard while in the block, and print its address, if the options ask for one."""
    if not options.dashboard:
        yield
        return
    from python_server.dashboard.beside import dashboard_beside

    with dashboard_beside(options.resume.resolve().parent if options.resume else options.runs) as address:
        print(json.dumps({"event": "dashboard", "address": address}) if options.json else f"dashboard: {address}")
        sys.stdout.flush()
        yield


def check_run_arguments(options: argparse.Namespace) -> None:
    """Raise `ExperimentError` unless either an experiment or a run is given."""
    if (options.experiment is None) == (options.resume is None):
        raise ExperimentError("give either an EXPERIMENT.toml, or --resume RUN")


def train_and_report(
    experiment: Experiment, *, runs: Path, resume: Optional[Path], as_json: bool, inventory: Optional[Path] = None
) -> None:
    """Do an experiment, write the report, and print the lines that end ``train`` and ``demo``."""
    from python_server.progress import choose_progress
    from python_server.train import train

    progress = choose_progress(as_json=as_json)
    try:
        result = train(experiment, runs=runs, progress=progress, resume=resume, inventory=inventory)
    finally:
        progress.close()
    report_on(result, as_json=as_json)


def report_on(result: TrainResult, *, as_json: bool) -> None:
    """Write a run's report, and print the lines that end ``train``, ``simulate`` and ``demo``."""
    from python_server.report import write_report
    from python_server.run_reader import RunReader

    page = write_report(result.run)
    accuracy = result.last.accuracy if result.last.accuracy is not None else result.last.client_accuracy
    with RunReader(result.run) as run:
        architectures = {name: each[max(each)] for name, each in run.architectures().items()}
    if as_json:
        found = {"accuracies": architectures} if architectures else {}
        told = {"event": "finished", "run": str(result.run), "accuracy": accuracy, **found, "report": str(page)}
        print(json.dumps(told))
        return
    for name, share in architectures.items():
        print(f"accuracy of {name}: {share:.4f}")
    print("accuracy: not evaluated" if accuracy is None else f"accuracy: {accuracy:.4f}")
    print(f"report: {page}")


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM end a run as cleanly as Ctrl-C does."""

    def interrupt(number: int, frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
