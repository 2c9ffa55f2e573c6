"""What an Android device says of itself: kind, system, storage, battery, heat. Nothing that names a person."""

from __future__ import annotations

import re

from deployment.connector import Connector, check, script
from device_profiles import match

__all__ = ["android_facts", "is_android"]

_MARK = "--- "
# Every part may be missing: older systems lack services, and some makers forbid files.
_ASK = f"""
part() {{ echo "{_MARK}$1"; shift; "$@" 2> /dev/null || true; }}
part properties getprop
part memory head -n 1 /proc/meminfo
part cores ls /sys/devices/system/cpu
part storage stat -f -c '%a %S' /data/local/tmp
part battery dumpsys battery
part thermal dumpsys thermalservice
part governors cat /sys/devices/system/cpu/cpufreq/policy*/scaling_governor
"""


def is_android(connector: Connector) -> bool:
    """Whether a device is an Android device, and not a board with ``adbd``."""
    return connector.run(["getprop", "ro.build.version.sdk"]).text.isdecimal()


def android_facts(connector: Connector) -> dict[str, str | int | float]:
    """Ask an Android device for its facts; those that it does not give are left out.

    Returns
    -------
    ``ro.product.model``, ``ro.product.device`` (with which a profile is matched), ``profile``, ``system``, ``sdk``,
    ``manufacturer``, ``build``, ``abis``, ``cores``, ``memory_bytes``, ``free_bytes``, ``battery_percent``,
    ``battery_temperature_c``, ``plugged``, ``thermal_status`` (0: none, 1: light, ... 6: shutdown; Android 10 and
    later), ``governors``.
    """
    parts = _parts(check(connector, script(_ASK)).text)
    properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]\r?$", parts.get("properties", ""), re.MULTILINE))
    facts: dict[str, str | int | float] = {}
    for name, source in (
        ("ro.product.model", "ro.product.model"),
        ("ro.product.device", "ro.product.device"),
        ("manufacturer", "ro.product.manufacturer"),
        ("build", "ro.build.fingerprint"),
        ("abis", "ro.product.cpu.abilist"),
    ):
        if properties.get(source):
            facts[name] = properties[source]
    if (sdk := properties.get("ro.build.version.sdk", "")).isdecimal():
        facts["sdk"] = int(sdk)
        facts["system"] = f"Android {properties.get('ro.build.version.release', '?')} (API {sdk})"
    facts["profile"] = match({key: str(value) for key, value in facts.items()}).name
    facts.update(_hardware(parts))
    facts.update(_battery(parts.get("battery", "")))
    if found := re.search(r"Thermal Status: (\d+)", parts.get("thermal", "")):
        facts["thermal_status"] = int(found[1])
    return facts


def _parts(text: str) -> dict[str, str]:
    found = re.split(rf"^{_MARK}(\w+)\r?$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], (part.strip() for part in found[2::2])))


def _hardware(parts: dict[str, str]) -> dict[str, str | int | float]:
    facts: dict[str, str | int | float] = {}
    if found := re.search(r"MemTotal:\s+(\d+) kB", parts.get("memory", "")):
        facts["memory_bytes"] = int(found[1]) * 1024
    if cores := len(re.findall(r"\bcpu\d+\b", parts.get("cores", ""))):
        facts["cores"] = cores
    if found := re.fullmatch(r"(\d+) (\d+)", parts.get("storage", "")):
        facts["free_bytes"] = int(found[1]) * int(found[2])
    if governors := sorted(set(parts.get("governors", "").split())):
        facts["governors"] = " ".join(governors)
    return facts


def _battery(text: str) -> dict[str, str | int | float]:
    said = dict(re.findall(r"^\s*([\w ]+): (\S+)\s*$", text, re.MULTILINE))
    facts: dict[str, str | int | float] = {}
    if (level := said.get("level", "")).isdecimal():
        facts["battery_percent"] = int(level)
    if (tenths := said.get("temperature", "")).isdecimal():
        facts["battery_temperature_c"] = int(tenths) / 10
    powered = [kind for kind in ("AC", "USB", "Wireless", "Dock") if said.get(f"{kind} powered") == "true"]
    if said:
        facts["plugged"] = " ".join(powered) or "no"
    return facts
