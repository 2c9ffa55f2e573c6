"""The commands of ``pocketfleet``, one a file. Each imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

from python_server.commands.base import Command
from python_server.commands.dashboard import Dashboard
from python_server.commands.demo import Demo
from python_server.commands.energy import Energy
from python_server.commands.enrol import Enrol
from python_server.commands.export import Export
from python_server.commands.farm import Farm
from python_server.commands.fleet import Fleet
from python_server.commands.inspect import Inspect
from python_server.commands.invite import Invite
from python_server.commands.plan import Plan
from python_server.commands.report import Report
from python_server.commands.runs import Runs
from python_server.commands.search import Search
from python_server.commands.simulate import Simulate
from python_server.commands.split import Split
from python_server.commands.ticket import Ticket
from python_server.commands.train import Train

__all__ = ["COMMANDS", "Command"]

COMMANDS: tuple[Command, ...] = (
    Demo(),
    Export(),
    Search(),
    Inspect(),
    Split(),
    Enrol(),
    Invite(),
    Ticket(),
    Fleet(),
    Farm(),
    Plan(),
    Train(),
    Simulate(),
    Dashboard(),
    Report(),
    Energy(),
    Runs(),
)
