"""``pocketfleet inspect``: what is in a bundle."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["Inspect"]


class Inspect:
    """Show a bundle."""

    name = "inspect"
    help = "check a bundle and show what is in it"
    description = "Check every file of a bundle against its manifest, and show layers, signatures, ops and sizes."
    examples = """\
examples:
  pocketfleet inspect cnn.bundle
  pocketfleet inspect cnn.bundle --json | jq .totals
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("bundle", type=Path, metavar="DIR", help="bundle, a directory or a zip")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Check and show."""
        from model_export import Bundle, describe, render

        description = describe(Bundle.load(options.bundle))
        print(json.dumps(description, indent=2) if options.json else render(description))
        return 0
