"""Leave a board as it was found."""

from __future__ import annotations

from collections.abc import Iterator

from deployment.connector import Connector, check, script
from deployment.inventory import DeviceEntry
from deployment.operations.status import read_status
from deployment.operations.stop import stop_steps
from deployment.service import UNIT_NAME
from deployment.steps import Step

__all__ = ["uninstall"]

_LOOK = """
if [ -d "$1/blobs" ]; then echo ours
elif [ -d "$1/state" ]; then echo state; fi
"""
# By name, and never the directory as a whole unless that leaves it empty: somebody may have named their own.
_REMOVE = """
root=$1
rm -rf "$root"/releases "$root"/environments "$root"/logs "$root"/run
rm -f "$root"/current "$root"/previous "$root"/current.new "$root"/previous.new
[ "$2" = keep ] || rm -rf "$root/state"
rm -rf "$root"/blobs  # at last: by it we know that the rest is ours
"""
_REMOVE_UNIT = """
unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$1
[ ! -e "$unit" ] || { rm -f "$unit" && systemctl --user daemon-reload; }
"""


def uninstall(connector: Connector, device: DeviceEntry, *, forget_key: bool = False) -> Iterator[Step]:
    """Yield what is left to do until nothing of ours is on a board.

    Parameters
    ----------
    forget_key
        Remove the client's key and unfinished work, too: the device has to be enrolled anew.
    """
    status = read_status(connector, device)
    if status.running:
        yield from stop_steps(connector, device, status, why="stop the client")
    found = check(connector, script(_LOOK, device.directory)).text
    if found == "ours" or (found == "state" and forget_key):
        what = "everything, the client's key too" if forget_key else "everything but the client's key (state/)"
        keep = "forget" if forget_key else "keep"
        yield Step(
            f"remove {what} from {device.directory}",
            lambda progress: _done(connector, script(_REMOVE, device.directory, keep)),
        )
        yield Step("remove the service", lambda progress: _done(connector, script(_REMOVE_UNIT, UNIT_NAME)))


def _done(connector: Connector, words: list[str]) -> int:
    check(connector, words, timeout_s=600)
    return 0
