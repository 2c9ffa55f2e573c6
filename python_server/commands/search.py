"""``pocketfleet search``: architectures for devices' budgets."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from python_server.commands.export import input_shape, load_or_build, read_arrays

if TYPE_CHECKING:
    from model_export.architecture_search import Budget, Found, Reach

__all__ = ["Search"]


class Search:
    """Find which channels of a network each budget affords."""

    name = "search"
    help = "find architectures for devices' budgets"
    description = (
        "Remove channels of a network with depthwise convolutions, by weights that are learned on reference data "
        "(DAC), until it fits each budget. Writes the channels that stay, for `pocketfleet export --channels`, and the "
        "narrow model as a .keras file. Called again after an interruption, it goes on."
    )
    examples = """\
examples:
  pocketfleet search mobilenet_v2 --input 32x32x3 --classes 10 --data train.npz \\
      --budget macs=2M,parameters=1M --budget macs=1M -o found
  pocketfleet search model.keras --data train.npz --budget feature_map=12k -o found --dry-run
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("model", metavar="ARCH_OR_KERAS_FILE", help="name of an architecture, or a .keras file")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for what is found")
        parser.add_argument("--input", type=input_shape, metavar="HxWxC", help="input of an architecture")
        parser.add_argument("--classes", type=int, metavar="N", help="classes of an architecture")
        parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the architecture")
        parser.add_argument("--data", type=Path, metavar="FILE.npz", help="reference data: pixels x, labels y")
        parser.add_argument(
            "--budget",
            action="append",
            default=[],
            metavar="LIMITS",
            help="macs, parameters and feature_map (elements) that the network has to stay below, as in "
            "macs=20M,parameters=500k; give it once for each kind of device",
        )
        parser.add_argument("--scale", type=float, metavar="X", help="the model takes pixel * scale + offset")
        parser.add_argument("--offset", type=float, metavar="X", help="see --scale")
        parser.add_argument("--epochs", type=int, default=5, metavar="N", help="of each pass (default: %(default)s)")
        parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: %(default)s")
        parser.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="default: %(default)s")
        parser.add_argument(
            "--entropy-factor", type=float, default=0.1, metavar="X", help="the paper's lambda 1 (default: %(default)s)"
        )
        parser.add_argument(
            "--bound-factor", type=float, default=0.01, metavar="X", help="the paper's lambda 2 (default: %(default)s)"
        )
        parser.add_argument(
            "--threshold",
            type=float,
            default=0.1,
            metavar="X",
            help="of channels that go (default: %(default)s)",
        )
        parser.add_argument(
            "--rate", type=float, default=10.0, metavar="X", help="speed of the weights (default: %(default)s)"
        )
        parser.add_argument("--most-passes", type=int, default=20, metavar="N", help="default: %(default)s")
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
        parser.add_argument("--dry-run", action="store_true", help="only compare the budgets with the model")
        parser.add_argument("--json", action="store_true", help="tell what was found as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Search, and tell what was found."""
        import keras

        from model_export.architecture_search import Budget, SearchOptions, path_of, reach, search
        from model_export.errors import ExportError

        if not options.budget:
            raise ExportError("give at least one --budget, as in --budget macs=20M,parameters=500k")
        budgets = [Budget.parse(text) for text in options.budget]
        settings = SearchOptions(**{field.name: getattr(options, field.name) for field in fields(SearchOptions)})
        if options.data is None and not options.dry_run:
            raise ExportError("the search trains on reference data: give --data FILE.npz with pixels x and labels y")
        arrays = () if options.dry_run else read_arrays(options.data, "--data", "x", "y")
        keras.utils.set_random_seed(options.seed)  # so that an architecture has the same weights when it is resumed
        model, scale, offset = load_or_build(options)
        if options.dry_run:
            _compare(reach(model), budgets)
            return 0
        x, y = arrays
        scale = scale if options.scale is None else options.scale
        offset = offset if options.offset is None else options.offset
        found = search(
            model,
            x * _float32(scale) + _float32(offset),
            y,
            budgets,
            options=settings,
            folder=options.output,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
        if options.json:
            print(json.dumps([_told(one, path_of(options.output, one.budget)) for one in found], indent=2))
        else:
            for one in found:
                print(f"{one.budget}: {one.size}; channels: {path_of(options.output, one.budget)}")
        return 0


def _compare(bounds: Reach, budgets: list[Budget]) -> None:
    print(f"whole model: {bounds.whole}")
    print(f"least:       {bounds.least}")
    for budget in budgets:
        met = "met as it is" if budget.allows(bounds.whole) else "to be searched for"
        print(f"{budget}: {met if budget.allows(bounds.least) else 'cannot be met'}")


def _told(found: Found, path: Path) -> dict[str, Any]:
    return {
        "budget": str(found.budget),
        **asdict(found.size),
        "passes": found.passes,
        "channels": str(path),
        "model": str(path.with_suffix(".keras")),
    }


def _float32(number: float) -> Any:
    import numpy as np

    return np.float32(number)
