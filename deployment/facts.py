"""What a board is: asked in one command, kept with every result.

Nothing here needs more than a POSIX shell; what a board does not tell is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from deployment.connector import Connector, check, script
from deployment.runtimes import Platform

__all__ = ["platform", "read_facts"]

_PLATFORM = r"""
python=$1
say() { [ -z "$2" ] || printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')"; }
first() { [ ! -r "$1" ] || tr -d '\000' < "$1" 2> /dev/null | head -n 1; }
say machine "$(uname -m)"
say glibc "$(getconf GNU_LIBC_VERSION 2> /dev/null | sed 's/^glibc //')"
say jetson_linux "$(first /etc/nv_tegra_release)"
"$python" -c '
import struct, sys
print("python=%d.%d" % sys.version_info[:2])
print("pointer_bits=%d" % (8 * struct.calcsize("P")))' 2> /dev/null || true
"""
_REST = r"""
say kernel "$(uname -r)"
say host_name "$(uname -n)"
say system "$(. /etc/os-release 2> /dev/null && printf %s "${PRETTY_NAME:-}")"
say board "$(first /proc/device-tree/model)"
[ ! -r /proc/device-tree/compatible ] ||
  say device_tree_compatible "$(tr '\000' '\n' < /proc/device-tree/compatible)"
say cores "$(grep -c '^processor' /proc/cpuinfo 2> /dev/null)"
say memory_kib "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo 2> /dev/null)"
say free_kib "$(df -Pk . | tail -n 1 | awk '{ print $4 }')"
say boot_id "$(first /proc/sys/kernel/random/boot_id)"
say clock_s "$(date +%s)"
say governor "$(cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2> /dev/null | sort -u)"
for zone in /sys/class/thermal/thermal_zone*; do
  [ ! -r "$zone/temp" ] || say "thermal.$(first "$zone/type")" "$(cat "$zone/temp" 2> /dev/null)"
done
for supply in /sys/class/power_supply/*; do
  [ ! -r "$supply/capacity" ] || say "battery.${supply##*/}" "$(first "$supply/capacity")% $(first "$supply/status")"
done
say energy "$(
  cat /sys/class/hwmon/hwmon*/name 2> /dev/null | grep -E 'ina3221|ina219|ina226' | sort -u
  for rails in /sys/bus/i2c/drivers/ina3221x/*/iio:device*; do [ ! -e "$rails" ] || echo ina3221x; done | sort -u
  [ ! -e /sys/class/powercap/intel-rapl:0/energy_uj ] || echo rapl
  ! vcgencmd pmic_read_adc > /dev/null 2>&1 || echo pmic
)"
[ ! -d /run/systemd/system ] || ! systemctl --user show-environment > /dev/null 2>&1 || say service systemd
true
"""
_JETPACKS = {32: 4, 34: 5, 35: 5, 36: 6}
"""Major versions of JetPack by the release of Jetson Linux in ``/etc/nv_tegra_release``."""


def read_facts(connector: Connector, python: str = "python3", *, only_platform: bool = False) -> dict[str, str]:
    """Ask a board for its facts.

    Parameters
    ----------
    python
        The interpreter to ask for.
    only_platform
        Just what `platform` needs: an old board takes a moment for the rest.

    Returns
    -------
    dict
        Text by name: ``machine``, ``kernel``, ``system``, ``board``, ``device_tree_compatible`` (entries separated by
        line ends), ``cores``, ``memory_kib``, ``free_kib``, ``glibc``, ``python``, ``pointer_bits``, ``governor``,
        ``thermal.ZONE`` (thousandths of a degree), ``battery.NAME``, ``energy`` (sensors), ``service``, ... as far as
        it tells them.
    """
    facts: dict[str, str] = {}
    for line in check(connector, script(_PLATFORM if only_platform else _PLATFORM + _REST, python)).text.splitlines():
        name, separator, value = line.partition("=")
        if separator:
            facts[name] = value.strip()
    if "device_tree_compatible" in facts:
        facts["device_tree_compatible"] = "\n".join(facts["device_tree_compatible"].split())
    return facts


def platform(facts: Mapping[str, str]) -> Platform:
    """Return what decides which wheels fit."""
    release = re.search(r"R(\d+)", facts.get("jetson_linux", ""))
    return Platform(
        machine=facts.get("machine", ""),
        python=_version(facts.get("python", "")),
        glibc=_version(facts.get("glibc", "")),
        pointer_bits=int(facts.get("pointer_bits", "64")),
        jetpack=_JETPACKS.get(int(release[1]), 0) if release else 0,
    )


def _version(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None
