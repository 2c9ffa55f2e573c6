"""``pocketfleet dashboard``: runs in the browser, as they go."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from python_server.commands.train import terminated_like_interrupted

__all__ = ["Dashboard"]


class Dashboard:
    """Serve a live page."""

    name = "dashboard"
    help = "follow runs live in a browser, start and stop them"
    description = (
        "Serve a page on this machine that shows runs as they go: rounds, devices, energy by phase, logs; and that "
        "starts, stops and resumes them. It shows runs, and starts experiment files, below one folder. Only who has "
        "the printed address, with its token, gets in. Ctrl-C ends it, and the runs that were started from the page."
    )
    examples = """\
examples:
  pocketfleet dashboard                                  # runs and experiments below this folder
  pocketfleet dashboard runs/digits-20260101-120000      # one run
  pocketfleet dashboard --port 8090 --json | jq -r .dashboard
  pocketfleet train digits.toml --dashboard              # a dashboard for as long as the run takes

From another computer, an SSH tunnel is the simplest way: ssh -L 8090:localhost:8090 SERVER
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "folder", type=Path, nargs="?", default=Path(), metavar="FOLDER_OR_RUN", help="default: this folder"
        )
        parser.add_argument("--port", type=_port, default=0, metavar="N", help="default: 0, any free one")
        parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
        parser.add_argument("--certificate", type=Path, metavar="PEM", help="serve with TLS, with --key")
        parser.add_argument("--key", type=Path, metavar="PEM", help="the certificate's private key")
        parser.add_argument(
            "--insecure-network",
            action="store_true",
            help="listen on a --host that others reach without TLS: they can read the token on the way",
        )
        parser.add_argument("--json", action="store_true", help="print the address as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Serve until Ctrl-C."""
        from python_server.dashboard import DashboardSettings, serve

        settings = DashboardSettings(
            options.folder,
            host=options.host,
            port=options.port,
            certificate=options.certificate,
            key=options.key,
            insecure_network=options.insecure_network,
        )

        def ready(address: str) -> None:
            print(json.dumps({"dashboard": address}) if options.json else f"dashboard: {address}", flush=True)
            if sys.stderr.isatty():
                print("Open it in a browser; Ctrl-C ends it.", file=sys.stderr)

        try:
            with terminated_like_interrupted():
                serve(settings, ready=ready)
        except KeyboardInterrupt:
            return 0  # there is no other way to end it
        return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number up to 65535")
    return int(text)
