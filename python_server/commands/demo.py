"""``pocketfleet demo``: everything once, on this machine, in about a minute."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from python_server.commands.train import terminated_like_interrupted, train_and_report

__all__ = ["Demo"]


class Demo:
    """Show that it works."""

    name = "demo"
    help = "train on real digits with client processes on this machine"
    description = (
        "Export a small CNN, start a Flower server and client processes of different speed, three in Python and, if "
        "its jar is given, one in Java, train on scikit-learn's digits, and write the report. Its files are a good "
        "start for an experiment of your own."
    )
    examples = """\
examples:
  pocketfleet demo
  pocketfleet demo --rounds 10 -o my-first-fleet
  pocketfleet demo --java-client "$(android_app/build_client)"
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
        parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
        parser.add_argument(
            "--java-client", type=Path, metavar="JAR", help="let the Java client take part (android_app/build_client)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def run(self, options: argparse.Namespace) -> int:
        """Prepare, train, report."""
        from python_server.demo import prepare_demo
        from python_server.experiment import load_experiment

        with terminated_like_interrupted():
            file = prepare_demo(
                options.output,
                rounds=options.rounds,
                java_client=options.java_client.resolve() if options.java_client else None,
                progress=lambda stage: print(f"{stage} ...", file=sys.stderr, flush=True),
            )
            train_and_report(load_experiment(file), runs=options.output / "runs", resume=None, as_json=options.json)
        return 0
