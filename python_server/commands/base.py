"""What a command is."""

from __future__ import annotations

import argparse
from typing import Protocol

__all__ = ["Command"]


class Command(Protocol):
    """One command of the command line.

    Attributes
    ----------
    name
        The word on the command line.
    help
        A few words for the list of commands.
    description, examples
        For the command's own --help.
    """

    name: str
    help: str
    description: str
    examples: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; return the exit status. What goes wrong is raised."""
