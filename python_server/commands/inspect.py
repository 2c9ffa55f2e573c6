"""``pocketfleet inspect``: what is in a bundle."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_client.arguments import number

__all__ = ["Inspect"]


class Inspect:
    """Show a bundle."""

    name = "inspect"
    help = "check a bundle and show what is in it"
    description = (
        "Check every file of a bundle against its manifest, and show layers, signatures, costs of training steps, ops "
        "and sizes, with a picture of where parameters, MACs and activations sit. With --memory or --step: which part "
        "of the network a device can train."
    )
    examples = """\
examples:
  pocketfleet inspect cnn.bundle
  pocketfleet inspect cnn.bundle --memory 50 --step 100 --times-slower 4
  pocketfleet inspect half.bundle --whole cnn.bundle
  pocketfleet inspect cnn.bundle --html cnn.html --svg cnn.svg
  pocketfleet inspect cnn.bundle --json | jq .totals
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("bundle", type=Path, metavar="DIR", help="bundle, a directory or a zip")
        parser.add_argument("--whole", type=Path, metavar="DIR", help="the bundle that it is a part of: compare widths")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the picture and all figures")
        parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture alone")
        parser.add_argument(
            "--memory", type=number(above=0), metavar="MB", help="memory that a device has for training"
        )
        parser.add_argument(
            "--step", type=number(above=0), metavar="MS", help="time that a training step may take on it"
        )
        parser.add_argument(
            "--times-slower",
            type=number(above=0),
            default=1.0,
            metavar="X",
            help="how many times slower it is than the machine that exported (default: 1)",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Check and show."""
        from model_export import Bundle, describe, render
        from model_export.files import write_atomically
        from python_server.bundle_picture import bundle_page, bundle_svg

        bundle = Bundle.load(options.bundle)
        description = describe(bundle, Bundle.load(options.whole) if options.whole else None)
        asked = options.memory is not None or options.step is not None
        if asked:
            cut = bundle.manifest.cut_for(
                memory_mb=options.memory, step_ms=options.step, times_slower=options.times_slower
            )
            description["fitting"] = {"cut": cut, "signature": bundle.manifest.training_signature(cut)}
        for path, draw in ((options.html, bundle_page), (options.svg, bundle_svg)):
            if path is not None:
                write_atomically(path, draw(description).encode())
        if options.json:
            print(json.dumps(description, indent=2))
        elif asked:
            print(f"cut: {cut}" if cut else f"cut: none needed, {description['fitting']['signature']} fits")
        else:
            print(render(description))
        return 0
