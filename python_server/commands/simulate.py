"""``pocketfleet simulate``: do an experiment without devices."""

from __future__ import annotations

import argparse
from pathlib import Path

from python_server.commands.train import report_on, terminated_like_interrupted
from python_server.errors import ExperimentError

__all__ = ["Simulate"]


class Simulate:
    """Simulate."""

    name = "simulate"
    help = "do an experiment without devices"
    description = (
        "Do the experiment of a file with simulated devices: its [[clients]] and those that its [simulation] table "
        "makes up. Strategies, rounds and run directory are those of train; weights and accuracies are computed, times "
        "and energy are modelled (docs/simulation.md)."
    )
    examples = """\
examples:
  pocketfleet simulate digits.toml
  pocketfleet simulate --resume runs/digits-20260101-120000
  pocketfleet simulate digits.toml --json | jq 'select(.event == "round").wall_s'

The last two lines are the accuracy and the report:
  accuracy: 0.97
  report: runs/digits-20260101-120000/report.html
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("experiment", type=Path, nargs="?", metavar="EXPERIMENT.toml", help="what to do")
        parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run directory")
        parser.add_argument(
            "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def run(self, options: argparse.Namespace) -> int:
        """Simulate, and write the report."""
        if (options.experiment is None) == (options.resume is None):
            raise ExperimentError("give either an EXPERIMENT.toml, or --resume RUN")
        from python_server.experiment import load_experiment
        from python_server.progress import choose_progress
        from python_server.simulation.simulate import load_simulation, simulate

        experiment = load_experiment(options.experiment) if options.experiment else load_simulation(options.resume)
        progress = choose_progress(as_json=options.json)
        with terminated_like_interrupted():
            try:
                result = simulate(experiment, runs=options.runs, progress=progress, resume=options.resume)
            finally:
                progress.close()
            report_on(result, as_json=options.json)
        return 0
