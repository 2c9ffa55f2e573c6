"""``pocketfleet runs``: the runs there are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from python_server.errors import StoreError
from python_server.run_reader import RunReader
from python_server.store import DATABASE

__all__ = ["Runs"]


class Runs:
    """List runs."""

    name = "runs"
    help = "list the runs there are"
    description = "List the runs in a directory: how far they are, and how good."
    examples = """\
examples:
  pocketfleet runs
  pocketfleet runs experiments/runs --json | jq '.[] | select(.status != "finished")'
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("directory", type=Path, nargs="?", default=Path("runs"), help="default: runs")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """List them, oldest first."""
        if not options.directory.is_dir():
            raise StoreError(f"there is no directory {options.directory}; runs are made by `pocketfleet train`")
        runs = [
            _describe(path.parent)
            for path in sorted(options.directory.glob(f"*/{DATABASE}"), key=lambda file: file.parent.name)
        ]
        if options.json:
            print(json.dumps(runs, indent=2))
            return 0
        for run in runs:
            accuracy = "" if run["accuracy"] is None else f"  accuracy {run['accuracy']:.4f}"
            print(f"{run['run']}  {run['status']:<11}  round {run['round']} of {run['rounds']}{accuracy}")
        return 0


def _describe(path: Path) -> dict[str, Any]:
    try:
        with RunReader(path) as reader:
            last = reader.last_round()
            return {
                "run": str(path),
                "name": reader.meta.get("name"),
                "status": reader.status,
                "round": last.round if last else None,
                "rounds": int(reader.meta.get("rounds", 0)),
                "accuracy": last.accuracy if last else None,
                "loss": last.loss if last else None,
            }
    except StoreError as error:
        return {
            "run": str(path),
            "status": "unreadable",
            "round": None,
            "rounds": 0,
            "accuracy": None,
            "loss": str(error),
        }
