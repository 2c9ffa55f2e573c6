"""``pocketfleet invite``: what a phone has to know before it can take part, in one file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from model_export.files import write_atomically
from python_server.errors import ExperimentError
from python_server.experiment import Experiment, load_experiment
from python_server.identity import Identity, host_names
from python_server.listening import is_loopback

__all__ = ["Invite", "invitation"]


class Invite:
    """Write an invitation."""

    name = "invite"
    help = "write the file that an Android phone opens to join"
    description = (
        "Write an invitation: the server's address, the certificate authority to trust, and the public key that signs "
        "bundles. Nothing in it is secret, but whoever can change it on its way decides whom the phone trusts. The "
        "phone shows its own public key, which `pocketfleet enrol` then lets in."
    )
    examples = """\
examples:
  pocketfleet invite digits.toml --address 192.168.1.10
  pocketfleet invite digits.toml --address fleet.example -o phone.json
  adb push invitation.json /sdcard/Download/
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.toml", help="which experiment")
        parser.add_argument(
            "--address", required=True, metavar="HOST", help="name or address under which phones reach this host"
        )
        parser.add_argument(
            "-o", "--output", type=Path, default=Path("invitation.json"), metavar="FILE", help="default: %(default)s"
        )
        parser.add_argument("--json", action="store_true", help="print the invitation instead of writing a file")

    def run(self, options: argparse.Namespace) -> int:
        """Write it."""
        experiment = load_experiment(options.experiment)
        experiment.check_files()
        text = json.dumps(invitation(experiment, options.address), indent=2)
        if options.json:
            print(text)
            return 0
        try:
            write_atomically(options.output, text.encode())
        except OSError as error:
            raise ExperimentError(f"{options.output}: cannot be written: {error.strerror}") from error
        print(f"wrote {options.output}: open it on the phone, then enrol the key that the app shows")
        return 0


def invitation(experiment: Experiment, address: str) -> dict[str, str]:
    """Return an invitation: ``server`` (``HOST:PORT``), ``ca`` and ``trust`` (both PEM).

    Raises
    ------
    ExperimentError
        Devices could not reach or trust this experiment's server.
    """
    server, trusted = experiment.server, experiment.model.trusted_key
    if trusted is None:
        raise ExperimentError("model.trusted_key is not set: a phone takes only bundles signed by a key that it knows")
    if not server.tls:
        raise ExperimentError("server.tls is off: a phone talks to servers with TLS only")
    if server.port == 0:
        raise ExperimentError("server.port is 0, which is another port in every run; choose one")
    if is_loopback(server.host) and not is_loopback(address):
        raise ExperimentError(f"server.host is {server.host}, which only this host reaches; set it to 0.0.0.0")
    names = [*host_names(server.names), server.host]
    if address not in names:
        raise ExperimentError(
            f"the server's certificate would not be valid for {address}; add it to server.names in the experiment"
        )
    authority = Identity(server.identity).certificates(host_names(server.names)).ca
    host = f"[{address}]" if ":" in address else address
    return {"server": f"{host}:{server.port}", "ca": authority.read_text("ascii"), "trust": trusted.read_text("ascii")}
