"""``pocketfleet enrol``: let a device take part."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from python_server.errors import IdentityError
from python_server.experiment import load_experiment
from python_server.identity import Identity

__all__ = ["Enrol"]


class Enrol:
    """Enrol a device."""

    name = "enrol"
    help = "let a device take part"
    description = (
        "Keep a device's public key in the server's identity directory, so that it may take part in runs. The device "
        "itself needs a copy of ca.pem from the same directory. A run that is going on takes notice."
    )
    examples = """\
examples:
  pocketfleet-client key --state ~/.pocketfleet > board-3.pem      # on the device
  pocketfleet enrol board-3.pem --name board-3                     # on the server
  pocketfleet enrol board-3.pem --name board-3 --experiment digits.toml
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("key", metavar="KEY.pem", help="the device's public key; - reads standard input")
        parser.add_argument("--name", required=True, help="what to call the device")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--identity", type=Path, metavar="DIR", help="identity directory (default: identity)")
        where.add_argument("--experiment", type=Path, metavar="FILE", help="take the identity of this experiment")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Enrol, and tell the device's id."""
        try:
            key = sys.stdin.buffer.read() if options.key == "-" else Path(options.key).read_bytes()
        except OSError as error:
            raise IdentityError(f"{options.key}: {(error.strerror or str(error)).lower()}") from None
        directory = options.identity or Path("identity")
        if options.experiment:
            directory = load_experiment(options.experiment).server.identity
        identity = Identity(directory)
        device = identity.enrol(key, options.name)
        authority = identity.certificates(["localhost"]).ca
        if options.json:
            print(json.dumps({"name": options.name, "device": device, "ca": str(authority)}))
        else:
            print(f"enrolled {options.name} ({device}); give the device {authority}")
        return 0
