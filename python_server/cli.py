"""The ``pocketfleet`` command line: finds the command, and turns every failure into one clear line.

Exit status: 0 done, 1 failed (the line says why), 2 used wrongly.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from typing import Optional

from python_server.commands import COMMANDS, Command
from python_server.errors import ServerError

__all__ = ["main"]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after the program's name; None takes the process's own.

    Returns
    -------
    int
        The exit status.
    """
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted", options.debug)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone, and so is the need to tell
        return 1
    except Exception as error:
        return _fail(_explain(error), options.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pocketfleet",
        description="Federated training on real phones and boards.",
        epilog="Each command explains itself with --help. A first run: pocketfleet demo",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="on failure, show where in the program it happened")
        sub.set_defaults(command=command)
    return parser


def _explain(error: Exception) -> str:
    """Return one line; errors that nobody foresaw say so."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and not isinstance(error, ServerError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror
    if isinstance(error, (ServerError, ImportError)) or _is_ours(error):
        return text
    return f"unexpected {type(error).__name__}: {text}; run it again with --debug for the details"


def _is_ours(error: Exception) -> bool:
    """Tell whether the error is of one of the packages' own trees, whose texts are meant for people."""
    packages = ("model_export.", "edge_client.", "device_profiles", "deployment")
    return any(kind.__module__.startswith(packages) for kind in type(error).__mro__)


def _fail(line: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"pocketfleet: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
