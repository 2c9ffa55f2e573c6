"""``pocketfleet ticket``: let devices enrol themselves that nobody can walk to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from python_server.errors import ExperimentError
from python_server.experiment import load_experiment
from python_server.identity import Identity
from python_server.tickets import Tickets

__all__ = ["Ticket"]


class Ticket:
    """Issue a ticket."""

    name = "ticket"
    help = "let phones of a test farm enrol themselves"
    description = (
        "Print a ticket with which so many devices may enrol themselves while the experiment runs. It is a secret: "
        "whoever has it can take part. A run that is going on honours it at once."
    )
    examples = """\
examples:
  pocketfleet ticket digits.toml --prefix night --devices 5
  export FARM_TICKET=$(pocketfleet ticket digits.toml --prefix night --devices 5 --hours 3)
  pocketfleet farm run farm.toml          # with: ticket = { env = "FARM_TICKET" }
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.toml", help="which experiment")
        parser.add_argument("--prefix", required=True, metavar="NAME", help="what the devices' names start with")
        parser.add_argument("--devices", type=int, required=True, metavar="N", help="how many may use it")
        parser.add_argument("--hours", type=float, default=3.0, metavar="H", help="until it expires (%(default)g)")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Print it."""
        server = load_experiment(options.experiment).server
        if not (server.tls and server.enrolled_only):
            raise ExperimentError("tickets are for experiments with server.tls and server.enrolled_only")
        ticket = Tickets(Identity(server.identity)).issue(options.prefix, options.devices, options.hours)
        print(json.dumps({"ticket": ticket}) if options.json else ticket)
        return 0
