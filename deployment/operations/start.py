"""Have a board's client running, on its current release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deployment.connector import Connector, check, script
from deployment.errors import CommandError, NotThereError
from deployment.inventory import DeviceEntry
from deployment.operations.status import read_status
from deployment.operations.stop import stop_steps
from deployment.service import START_SUPERVISED, UNIT_NAME, unit_text
from deployment.steps import Step

__all__ = ["start"]

_INSTALL_UNIT = """
unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$1
mkdir -p "$(dirname "$unit")"
cat > "$unit.new"
mv -f "$unit.new" "$unit"
systemctl --user daemon-reload
"""
_START_UNIT = """
readlink "$1/current" > "$1/run/release"
systemctl --user enable --now "$2" 2>&1
"""
_LINGER = """
[ "$(loginctl show-user "$(id -un)" --property=Linger --value 2> /dev/null)" = yes ] || loginctl enable-linger 2>&1
"""


def start(connector: Connector, device: DeviceEntry, facts: Mapping[str, str]) -> Iterator[Step]:
    """Yield what is left to do until the current release runs.

    Parameters
    ----------
    facts
        Those of `deployment.facts.read_facts`; ``service`` says whether there is systemd.

    Raises
    ------
    deployment.errors.NotThereError
        Nothing was pushed yet.
    """
    status = read_status(connector, device)
    if not status.release:
        raise NotThereError(
            device.name, "there is no release on it", f"run: pocketfleet fleet push --device {device.name}"
        )
    if status.running and status.running_release == status.release:
        return
    if status.running:
        yield from stop_steps(connector, device, status, why=f"stop the client of release {status.running_release}")
    if facts.get("service") == "systemd":
        unit = unit_text(device.directory)
        yield Step(
            f"install the user service {UNIT_NAME}",
            lambda progress: _done(connector, script(_INSTALL_UNIT, UNIT_NAME), unit.encode()),
        )
        yield Step(
            "let the user's services run without a login (loginctl enable-linger)",
            lambda progress: _linger(connector, device),
        )
        yield Step(
            f"start {UNIT_NAME}",
            lambda progress: _done(connector, script(_START_UNIT, device.directory, UNIT_NAME)),
        )
    else:
        yield Step(
            f"start release {status.release} under a supervisor",
            lambda progress: _done(connector, script(START_SUPERVISED, device.directory)),
        )


def _linger(connector: Connector, device: DeviceEntry) -> int:
    try:
        return _done(connector, script(_LINGER))
    except CommandError as error:
        raise CommandError(
            device.name,
            f"its client would end at logout: {error.what}",
            "run on it, once: sudo loginctl enable-linger $USER",
        ) from None


def _done(connector: Connector, words: list[str], stdin: bytes = b"") -> int:
    check(connector, words, stdin=stdin)
    return 0
