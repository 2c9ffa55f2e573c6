"""``pocketfleet report``: a run as one page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["Report"]


class Report:
    """Write a report."""

    name = "report"
    help = "write a run's report"
    description = (
        "Write one self-contained HTML page about a run, finished or going on: accuracy, round time split by phase, "
        "energy per device with its source, bytes moved. The same figures go beside it as CSV and JSON."
    )
    examples = """\
examples:
  pocketfleet report runs/digits-20260101-120000
  pocketfleet report runs/digits-20260101-120000 -o report.html
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="HTML file (default: in the run directory)"
        )
        parser.add_argument("--json", action="store_true", help="print the path as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Write it, and tell where."""
        from python_server.report import write_report

        page = write_report(options.run, options.output)
        print(json.dumps({"report": str(page)}) if options.json else f"report: {page}")
        return 0
