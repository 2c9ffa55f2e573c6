"""``pocketfleet-client calibrate``: how fast this device trains a bundle, and on how much power."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from edge_client.arguments import number, whole
from edge_client.energy.command import add_energy_options
from edge_client.errors import SettingsError

if TYPE_CHECKING:
    from edge_client.trainer import Trainer

__all__ = ["add_calibrate_command", "show_calibration"]


def add_calibrate_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "calibrate",
        help="measure how fast this device trains a bundle, and on how much power",
        description="Time training steps, evaluation and the handling of weights, and measure power, idle and while "
        "training. Nothing is changed, and no server or data is needed. Nothing else should run meanwhile.",
        epilog="examples:\n  pocketfleet-client calibrate cifar.bundle\n"
        "  pocketfleet-client calibrate cifar.bundle --threads 4 --power-threads 1 2 --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what to train, directory or zip")
    parser.add_argument("--threads", type=whole(1), metavar="N", help="threads for training (default: the fastest)")
    parser.add_argument(
        "--power-threads",
        type=whole(1),
        nargs="*",
        default=(),
        metavar="N",
        help="also measure power while training with so many threads",
    )
    add_energy_options(parser)
    parser.add_argument(
        "--seconds",
        type=number(above=0, most=600),
        default=2.0,
        metavar="S",
        help="for each figure (default: %(default)g)",
    )
    parser.add_argument("--trust", type=Path, metavar="KEY.pem", help="public key that must have signed the bundle")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="log details, too")


def show_calibration(options: argparse.Namespace, make_trainer: Optional[Callable[..., Trainer]] = None) -> None:
    """Measure, and print what was found."""
    from edge_client.calibrate import calibrate
    from edge_client.trainer import Trainer

    trusted_key = None
    if options.trust is not None:
        try:
            trusted_key = options.trust.read_bytes()
        except OSError as error:
            raise SettingsError(f"{options.trust}: cannot be read: {error.strerror}") from error
    found = calibrate(
        options.bundle,
        threads=options.threads,
        thread_counts=options.power_threads,
        profile=options.profile,
        source=options.energy,
        seconds=options.seconds,
        trusted_key=trusted_key,
        say=lambda line: print(f"calibrate: {line}", file=sys.stderr, flush=True),
        make_trainer=make_trainer or Trainer,
    )
    print(json.dumps(found.as_json()) if options.json else "\n".join(found.lines()))
