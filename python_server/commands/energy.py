"""``pocketfleet energy``: the joules of a run, and power that was recorded beside it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from edge_client.arguments import number
from python_server.commands import energy_actions as do

__all__ = ["Energy"]

_FORMATS = ("monsoon", "otii", "joulescope", "perfetto", "perfetto-battery", "csv")


class Energy:
    """Show a run's energy; attach a recording to it."""

    name = "energy"
    help = "show a run's joules, attach power recorded beside it"
    description = (
        "Show what each device used in each phase and where the figures come from, or bring in power that an "
        "instrument or a Perfetto trace recorded. See docs/energy_traces.md."
    )
    examples = """\
examples:
  pocketfleet energy show runs/digits-20260101-120000
  pocketfleet energy show runs/digits-20260101-120000 --json
  pocketfleet energy attach runs/digits-20260101-120000 --device pi-21 bench.csv --dry-run
  pocketfleet energy attach runs/digits-20260101-120000 --device pixel-8 trace.perfetto-trace
  pocketfleet energy attach RUN --device pi-21 log.csv --column time=t:ms --column amps=I:mA --volts 5.1
  pocketfleet energy detach RUN --device pi-21
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the actions and their arguments."""
        actions = parser.add_subparsers(metavar="ACTION", required=True)
        show = _action(actions, "show", "print joules by device and phase", do.show)
        show.add_argument("--rounds", action="store_true", help="every round by itself")
        show.add_argument("--json", action="store_true", help="print every figure as JSON")
        attach = _action(actions, "attach", "add what a recording of a device's power says", do.attach_trace)
        attach.add_argument("file", type=Path, metavar="FILE", help="the recording")
        attach.add_argument("--device", required=True, metavar="NAME", help="whose power it is: a name or an id")
        attach.add_argument("--format", choices=_FORMATS, default="", help="default: what the file looks like")
        attach.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="QUANTITY=[-]NAME[:UNIT]",
            help="which CSV column holds time, watts, amps, volts or joules; may be given several times",
        )
        attach.add_argument(
            "--volts", type=number(), metavar="V", help="the supply's voltage, if only the current is there"
        )
        attach.add_argument(
            "--rail",
            action="append",
            default=[],
            metavar="NAME",
            help="a power rail to count (default: those of the device's profile, else all)",
        )
        attach.add_argument(
            "--covers",
            choices=("device", "board", "module", "processor", "parts"),
            help="what the instrument feeds (default: the device; of rails, parts)",
        )
        clock = attach.add_mutually_exclusive_group()
        clock.add_argument("--offset", type=number(), metavar="S", help="seconds to add to its times to get Unix time")
        clock.add_argument(
            "--marker-at",
            type=number(),
            metavar="UNIX",
            help="find the marker that `python -m edge_client.marker` played at this time "
            "(default: times as they are if they are Unix times, else find the device's training)",
        )
        attach.add_argument("--idle-w", type=number(), metavar="W", help="idle power (default: before the first round)")
        attach.add_argument("--partial", action="store_true", help="accept a trace that misses some rounds")
        attach.add_argument("--dry-run", action="store_true", help="print what it would add")
        attach.add_argument("--json", action="store_true", help="print it as JSON")
        detach = _action(actions, "detach", "remove what recordings of a device added", do.detach)
        detach.add_argument("--device", required=True, metavar="NAME", help="a name or an id")
        detach.add_argument(
            "file", nargs="?", default="", metavar="FILE", help="only this recording, by its file's name"
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
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=Energy.examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.set_defaults(action=action)
    return parser
