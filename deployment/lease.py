"""Who is working on a device: two people, or two programs, must not push to it at once.

A lease is a directory on the device, since making one is atomic everywhere. It ends by itself: its time is the device's
uptime, which no wrong clock changes, and a restart of the device voids it. One that a dead process of this host left
behind is taken over at once.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import time
import uuid
from pathlib import Path
from types import TracebackType

from deployment.connector import Connector, failure, script
from deployment.errors import BusyError, DeployError

__all__ = ["LEASE_S", "Lease"]

LEASE_S = 120
"""How long a lease outlives a holder that is gone."""
_BUSY = 8

# The file: until when (uptime), the device's boot, whose it is for people, the token, the holder's host and process.
_TAKE = f"""
root=$1 token=$2 whose=$3 origin=$4 lasts=$5 over=$6
mkdir -p "$root"
read -r now _ < /proc/uptime
now=${{now%.*}}
boot=$(cat /proc/sys/kernel/random/boot_id 2> /dev/null || getprop ro.boottime.init 2> /dev/null || echo unknown)
if ! mkdir "$root/lease" 2> /dev/null; then
  [ -d "$root/lease" ] || mkdir "$root/lease"  # says why it cannot
  {{ read -r until_s; read -r at; read -r holder; read -r held; read -r from; }} 2> /dev/null < "$root/lease/holder" ||
    {{ sleep 1; until_s=$((now + 5)) at=$boot holder=somebody held= from=; }}
  if [ "$held" != "$token" ]; then
    if [ "$over" != "$held" ] && [ "$over" != all ] && [ "$at" = "$boot" ] && [ "$until_s" -gt "$now" ]; then
      printf '%s\\n%s\\n%s\\n%s\\n' "$held" "$from" "$((until_s - now))" "$holder"
      exit {_BUSY}
    fi
    # Of several that find it void, one can rename it.
    mv "$root/lease" "$root/lease.$token"
    rm -rf "$root/lease.$token"
    mkdir "$root/lease"
  fi
fi
printf '%s\\n' "$((now + lasts))" "$boot" "$whose" "$token" "$origin" > "$root/lease/holder.new"
mv -f "$root/lease/holder.new" "$root/lease/holder"
"""
_GIVE_BACK = """
if [ -r "$1/lease/holder" ] && [ "$(sed -n 4p "$1/lease/holder")" = "$2" ]; then
  rm -rf "$1/lease"
  rmdir "$1" 2> /dev/null || true  # after an uninstall
fi
"""


class Lease:
    """Holds a device while the block runs.

    Parameters
    ----------
    connector, directory
        The device, and our directory on it.
    token
        Who we are: with the same token it is ours still, after a link broke.
    take_over
        Take it from whoever holds it.

    Raises
    ------
    deployment.errors.BusyError
        Somebody else holds it.
    """

    def __init__(self, connector: Connector, directory: str, *, token: str = "", take_over: bool = False) -> None:
        self._connector = connector
        self._directory = directory
        self._take_over = "all" if take_over else "-"
        self._token = token or uuid.uuid4().hex
        self._ends = 0.0

    def __enter__(self) -> Lease:
        self._take(LEASE_S, self._take_over)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where it cannot be given back, over a broken link say, it ends by itself. What was done is done.
        with contextlib.suppress(DeployError):
            self._connector.run(script(_GIVE_BACK, self._directory, self._token))

    def keep_for(self, seconds: float) -> None:
        """Make sure that it lasts so many seconds more."""
        if self._ends - time.monotonic() < seconds:
            self._take(int(seconds) + LEASE_S, "-")

    def _take(self, seconds: int, take_over: str) -> None:
        whose = f"{getpass.getuser()}@{socket.gethostname()}"
        words = [self._directory, self._token, whose, _origin(os.getpid()), str(seconds)]
        completed = self._connector.run(script(_TAKE, *words, take_over))
        if completed.status == _BUSY:
            held, origin, left, holder = completed.stdout.decode("utf-8", "replace").split("\n")[:4]
            if _is_dead(origin):
                completed = self._connector.run(script(_TAKE, *words, held))
            else:
                raise BusyError(
                    self._connector.name,
                    f"{holder} is working on it",
                    f"wait, or take it over with --take-over; if nobody is there any more, it is free in {left} s",
                )
        if completed.status != 0:
            raise failure(self._connector.name, completed, ["reserving", self._directory])
        self._ends = time.monotonic() + seconds


def _origin(process: int) -> str:
    """Name a process of this host so that no other host, and no later start of this one, takes it for its own."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}:{boot}:{process}"


def _is_dead(origin: str) -> bool:
    process = origin.rpartition(":")[2]
    if not process.isdecimal() or origin != _origin(int(process)):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
