"""``pocketfleet fleet``: devices of one's own, from a laptop."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from python_server.commands import fleet_actions as do

__all__ = ["Fleet"]


class Fleet:
    """Put the client on boards, start it, look after it."""

    name = "fleet"
    help = "put the client on devices, start it, fetch what it wrote"
    description = (
        "Work on the devices of an inventory, many at once: one that fails does not stop the others, and doing it "
        "again goes on where it stopped. --dry-run prints what would be done. See docs/deploy.md."
    )
    examples = """\
examples:
  pocketfleet fleet discover 192.168.1.21 192.168.1.22 --user pi     # begin an inventory
  pocketfleet fleet discover --adb                                   # phones on USB
  pocketfleet fleet trust pi-21                                      # after comparing the fingerprint
  pocketfleet fleet probe
  pocketfleet fleet push --dry-run
  pocketfleet fleet push --group pis
  pocketfleet fleet calibrate cifar.bundle --group pis
  pocketfleet fleet enrol --experiment digits.toml
  pocketfleet fleet start
  pocketfleet fleet status --json | jq '.[] | select(.value.running == "")'
  pocketfleet fleet logs pi-21 -n 50
  pocketfleet fleet collect -o results
  pocketfleet fleet stop --inventory lab.toml
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the actions and their arguments."""
        actions = parser.add_subparsers(metavar="ACTION", required=True)
        _action(actions, "list", "print the inventory; asks no device", do.list_devices)
        discover = _action(actions, "discover", "add hosts that answer to the inventory", do.discover, devices=False)
        discover.add_argument("hosts", nargs="*", metavar="HOST[:PORT]", help="where to look")
        discover.add_argument(
            "--adb", action="store_true", help="look for phones: on USB, known to adb, and on these hosts"
        )
        discover.add_argument("--user", default="", help="who to log in as (default: you)")
        discover.add_argument("--key", type=Path, metavar="FILE", help="private key to log in with")
        discover.add_argument("--group", default="", metavar="NAME", help="group to put them in")
        trust = _action(actions, "trust", "trust a device's host key, after asking", do.trust)
        trust.add_argument("--yes", action="store_true", help="do not ask: you have compared the fingerprint already")
        _action(actions, "probe", "ask devices what they are", do.probe)
        push = _action(actions, "push", "put client, bundle and data on devices", do.push, changes=True)
        push.add_argument("--rollback", action="store_true", help="go back to the release before")
        calibrate = _action(
            actions,
            "calibrate",
            "have devices measure how fast they train a bundle",
            do.calibrate,
            "BUNDLE",
            changes=True,
        )
        calibrate.add_argument(
            "--power-threads",
            type=_positive,
            nargs="+",
            default=(),
            metavar="N",
            help="also measure power while training with so many threads",
        )
        calibrate.add_argument(
            "--seconds", type=float, default=2.0, metavar="S", help="for each figure (default: %(default)g)"
        )
        enrol = _action(actions, "enrol", "let devices take part in runs", do.enrol)
        where = enrol.add_mutually_exclusive_group()
        where.add_argument("--identity", type=Path, metavar="DIR", help="identity directory (default: identity)")
        where.add_argument("--experiment", type=Path, metavar="FILE", help="take the identity of this experiment")
        _action(actions, "start", "start the client, on the newest release", do.start, changes=True)
        _action(actions, "stop", "stop the client", do.stop, changes=True)
        _action(actions, "status", "ask devices how they are", do.status)
        logs = _action(actions, "logs", "print the end of the client's log", do.logs)
        logs.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="default: %(default)s")
        collect = _action(actions, "collect", "fetch logs, and the state that devices are in", do.collect, dry_run=True)
        collect.add_argument(
            "-o", "--output", type=Path, default=Path("collected"), metavar="DIR", help="default: %(default)s"
        )
        uninstall = _action(actions, "uninstall", "remove what was put on devices", do.uninstall, changes=True)
        uninstall.add_argument(
            "--forget-key", action="store_true", help="the client's key, too: the device has to be enrolled anew"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Do one of them."""
        action: Callable[[argparse.Namespace], int] = options.action
        return action(options)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    action: Callable[[argparse.Namespace], int],
    file: str = "",
    *,
    devices: bool = True,
    changes: bool = False,
    dry_run: bool = False,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=Fleet.examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(action=action, dry_run=False, take_over=False)
    parser.add_argument(
        "--inventory", type=Path, default=Path("fleet.toml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    if file:
        parser.add_argument(file.lower(), type=Path, metavar=file, help="directory or zip")
    if devices:
        parser.add_argument("names", nargs="*", metavar="NAME", help="which devices (default: all)")
        parser.add_argument("--device", action="append", default=[], metavar="NAME", help="the same, one at a time")
        parser.add_argument("--group", action="append", default=[], metavar="NAME", help="those of a group")
        parser.add_argument("--jobs", type=_positive, default=16, metavar="N", help="at once (default: %(default)s)")
    if changes or dry_run:
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")
    if changes:
        parser.add_argument("--take-over", action="store_true", help="take devices from whoever is working on them")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
