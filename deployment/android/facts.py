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


def android_facts(connector: Connector) -> dict[str, str]:
    """Ask an Android device for its facts; those that it does not give are left out.

    Returns
    -------
    dict
        Text by name, as `deployment.facts.read_facts` calls it where it is the same: ``board``, ``system``,
        ``machine``, ``cores``, ``memory_kib``, ``free_kib``, ``governor``, ``battery.battery``, ``thermal.battery``
        (thousandths of a degree), ``energy``. Also ``ro.product.model``, ``ro.product.device``, ``sdk``, ``abis``,
        ``build``, ``profile`` and ``thermal_status`` (0: none, 1: light, ... 6: shutdown; Android 10 and later).
    """
    parts = _parts(check(connector, script(_ASK)).text)
    properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]\r?$", parts.get("properties", ""), re.MULTILINE))
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    sdk, abis = properties.get("ro.build.version.sdk", ""), properties.get("ro.product.cpu.abilist", "")
    facts = {
        "board": f"{maker} {model}".strip(),
        "ro.product.model": model,
        "ro.product.device": properties.get("ro.product.device", ""),
        "system": f"Android {properties.get('ro.build.version.release', '?')} (API {sdk})" if sdk else "",
        "sdk": sdk,
        "machine": abis.partition(",")[0],
        "abis": abis,
        "build": properties.get("ro.build.fingerprint", ""),
        **_hardware(parts),
        **_battery(parts.get("battery", "")),
    }
    facts["profile"] = match(facts).name
    if found := re.search(r"Thermal Status: (\d+)", parts.get("thermal", "")):
        facts["thermal_status"] = found[1]
    return {name: value for name, value in facts.items() if value}


def _parts(text: str) -> dict[str, str]:
    found = re.split(rf"^{_MARK}(\w+)\r?$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], (part.strip() for part in found[2::2])))


def _hardware(parts: dict[str, str]) -> dict[str, str]:
    facts = {"governor": " ".join(sorted(set(parts.get("governors", "").split())))}
    if found := re.search(r"MemTotal:\s+(\d+) kB", parts.get("memory", "")):
        facts["memory_kib"] = found[1]
    if cores := len(re.findall(r"\bcpu\d+\b", parts.get("cores", ""))):
        facts["cores"] = str(cores)
    if found := re.fullmatch(r"(\d+) (\d+)", parts.get("storage", "")):
        facts["free_kib"] = str(int(found[1]) * int(found[2]) // 1024)
    return facts


_STATES = {"2": "Charging", "3": "Discharging", "4": "Not charging", "5": "Full"}
"""``BatteryManager.BATTERY_STATUS_...`` in the kernel's words."""


def _battery(text: str) -> dict[str, str]:
    said = dict(re.findall(r"^\s*([\w ]+): (\S+)\s*$", text, re.MULTILINE))
    facts: dict[str, str] = {}
    if (level := said.get("level", "")).isdecimal():
        facts["battery.battery"] = f"{level}% {_STATES.get(said.get('status', ''), 'Unknown')}"
        facts["energy"] = "battery"
    if (tenths := said.get("temperature", "")).isdecimal():
        facts["thermal.battery"] = str(int(tenths) * 100)
    return facts
