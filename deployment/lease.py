"""Who is working on a device: two people, or two programs, must not push to it at once.

A lease is a directory on the device, since making one is atomic everywhere. It ends by itself: its time is the device's
uptime, which no wrong clock changes, and a restart of the device voids it.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import uuid
from types import TracebackType

from deployment.connector import Connector, check, script
from deployment.errors import BusyError

__all__ = ["LEASE_S", "Lease"]

LEASE_S = 120
"""How long a lease outlives a holder that is gone."""
_BUSY = 8

_TAKE = f"""
root=$1 token=$2 holder=$3 lasts=$4 over=$5
mkdir -p "$root"
read -r now _ < /proc/uptime
now=${{now%.*}}
boot=$(cat /proc/sys/kernel/random/boot_id)
if ! mkdir "$root/lease" 2> /dev/null; then
  [ -d "$root/lease" ] || mkdir "$root/lease"  # says why it cannot
  {{ read -r until_s; read -r at; read -r whose; read -r held; }} 2> /dev/null < "$root/lease/holder" ||
    {{ until_s=$((now + 5)) at=$boot whose=somebody held=; sleep 1; }}
  if [ "$held" != "$token" ] && [ "$over" != yes ] && [ "$at" = "$boot" ] && [ "$until_s" -gt "$now" ]; then
    echo "$whose $((until_s - now))" >&2
    exit {_BUSY}
  fi
  # Of several that find it void, one can rename it.
  if [ "$held" != "$token" ]; then
    mv "$root/lease" "$root/lease.$token"
    rm -rf "$root/lease.$token"
    mkdir "$root/lease"
  fi
fi
printf '%s\\n%s\\n%s\\n%s\\n' "$((now + lasts))" "$boot" "$holder" "$token" > "$root/lease/holder.new"
mv -f "$root/lease/holder.new" "$root/lease/holder"
"""
_GIVE_BACK = """
if [ -r "$1/lease/holder" ] && [ "$(sed -n 4p "$1/lease/holder")" = "$2" ]; then rm -rf "$1/lease"; fi
"""


class Lease:
    """Holds a device while the block runs.

    Parameters
    ----------
    connector, directory
        The device, and our directory on it.
    take_over
        Take it from whoever holds it.

    Raises
    ------
    deployment.errors.BusyError
        Somebody else holds it.
    """

    def __init__(self, connector: Connector, directory: str, *, take_over: bool = False) -> None:
        self._connector = connector
        self._directory = directory
        self._take_over = take_over
        self._token = uuid.uuid4().hex
        self._taken_at = 0.0
        self._last_for_s = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Lease:
        self._take(LEASE_S, self._take_over)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Over a broken link nothing can be given back; then it ends by itself.
        try:
            self._connector.run(script(_GIVE_BACK, self._directory, self._token), timeout_s=20)
        except Exception:
            if error is None:
                raise

    def keep_for(self, seconds: float) -> None:
        """Make sure that it lasts so many seconds more."""
        left = self._taken_at + self._last_for_s - time.monotonic()
        if left < seconds:
            self._take(int(seconds) + LEASE_S, False)

    def _take(self, seconds: int, take_over: bool) -> None:
        holder = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"
        words = script(_TAKE, self._directory, self._token, holder, str(seconds), "yes" if take_over else "no")
        completed = self._connector.run(words)
        if completed.status == _BUSY:
            whose, _, left = completed.complaint.rpartition(" ")
            raise BusyError(
                self._connector.name,
                f"{whose} is working on it",
                f"wait, or take it over with --take-over; if nobody is there any more, it is free in {left} s",
            )
        if completed.status != 0:
            check(self._connector, words)
        self._taken_at, self._last_for_s = time.monotonic(), seconds
