"""How a board is doing."""

from __future__ import annotations

from dataclasses import dataclass

from deployment.connector import Connector, check, script
from deployment.inventory import DeviceEntry
from deployment.service import RUNNING, UNIT_NAME

__all__ = ["Status", "read_status"]

_ASK = (
    "root=$1"
    + RUNNING
    + r"""
[ ! -L "$root/current" ] || echo "release=$(basename "$(readlink "$root/current")")"
if [ -n "$pid" ]; then echo running=supervisor
elif [ -d /run/systemd/system ] && systemctl --user is-active --quiet "$2" 2> /dev/null; then echo running=systemd; fi
[ ! -r "$root/run/release" ] || echo "running_release=$(basename "$(cat "$root/run/release")")"
[ ! -r "$root/logs/client.log" ] || echo "last=$(tail -n 1 "$root/logs/client.log" | cut -c 1-300)"
hot=
for zone in /sys/class/thermal/thermal_zone*/temp; do
  [ ! -r "$zone" ] || { read -r t < "$zone" && [ "$t" -gt "${hot:-0}" ] && hot=$t; } 2> /dev/null || true
done
[ -z "$hot" ] || echo "hottest=$hot"
for supply in /sys/class/power_supply/*/capacity; do [ ! -r "$supply" ] || echo "battery=$(cat "$supply")"; done
path=$root
while [ ! -e "$path" ]; do path=$(dirname "$path"); done
echo "free_kib=$(df -Pk "$path" | tail -n 1 | awk '{ print $4 }')"
"""
)


@dataclass(frozen=True)
class Status:
    """A board's state.

    Attributes
    ----------
    release
        The one in use; empty: none.
    running
        What keeps the client running: ``systemd`` or ``supervisor``; empty: it does not run.
    running_release
        The one that it was started with; another than ``release`` after a push without a start.
    last_line
        Of the client's log.
    hottest_c
        Of the thermal zones, in degrees Celsius; None: it has none.
    battery_percent
        None: it has none.
    free_bytes
        Of its storage.
    """

    release: str
    running: str
    running_release: str
    last_line: str
    hottest_c: float | None
    battery_percent: int | None
    free_bytes: int


def read_status(connector: Connector, device: DeviceEntry) -> Status:
    """Ask a board how it is doing."""
    told: dict[str, str] = {}
    for line in check(connector, script(_ASK, device.directory, UNIT_NAME)).text.splitlines():
        name, separator, value = line.partition("=")
        if separator:
            told.setdefault(name, value.strip())
    hottest, battery = told.get("hottest", ""), told.get("battery", "")
    return Status(
        release=told.get("release", ""),
        running=told.get("running", ""),
        running_release=told.get("running_release", "") if "running" in told else "",
        last_line=told.get("last", ""),
        hottest_c=int(hottest) / 1000 if hottest.lstrip("-").isdecimal() else None,
        battery_percent=int(battery) if battery.isdecimal() else None,
        free_bytes=int(told.get("free_kib", "0")) * 1024,
    )
