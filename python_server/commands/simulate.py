"""``pocketfleet simulate``: do an experiment without devices."""

from __future__ import annotations

import argparse

from python_server.commands.train import (
    add_run_arguments,
    check_run_arguments,
    dashboard_if_asked,
    report_on,
    terminated_like_interrupted,
)

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
        add_run_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Simulate, and write the report."""
        check_run_arguments(options)
        from python_server.experiment import load_experiment
        from python_server.progress import choose_progress
        from python_server.simulation.simulate import load_simulation, simulate

        experiment = load_experiment(options.experiment) if options.experiment else load_simulation(options.resume)
        progress = choose_progress(as_json=options.json)
        with terminated_like_interrupted(), dashboard_if_asked(options):
            try:
                result = simulate(experiment, runs=options.runs, progress=progress, resume=options.resume)
            finally:
                progress.close()
            report_on(result, as_json=options.json)
        return 0
