"""``pocketfleet-client meter``: which energy sources this machine has, which one would be taken, and what it reads."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Optional

from device_profiles import load_profile, match
from edge_client.arguments import number
from edge_client.conditions import governor, temperature_c
from edge_client.energy.find import AUTO, KINDS, USB_METER, Candidate, find_meter, survey
from edge_client.energy.meter import SampledMeter
from edge_client.errors import EdgeError

__all__ = ["add_energy_options", "add_meter_command", "show_meter"]

_EPILOG = """\
examples:
  # what a new board has, and what it draws now
  pocketfleet-client meter

  # a longer look at one source, for a script
  pocketfleet-client meter --energy rapl --seconds 30 --json

  # a USB meter (UM24C, UM25C, UM34C) in the supply line, over Bluetooth
  pocketfleet-client meter --energy usb-meter:/dev/rfcomm0
"""


def add_energy_options(command: argparse.ArgumentParser, *, profile: Optional[str] = "generic") -> None:
    """Add ``--profile`` and ``--energy``; a default profile of None means the one that the device tree names."""
    command.add_argument(
        "--profile",
        default=profile,
        metavar="NAME",
        help=f"device profile: which of the device's sensors to read, and a model where there is none "
        f"(default: {profile or 'what the device tree says'})",
    )
    command.add_argument(
        "--energy",
        type=_source,
        default=AUTO,
        metavar="SOURCE",
        help=f"where energy figures come from: {AUTO}, {', '.join(KINDS)} (default: %(default)s; see "
        f"`pocketfleet-client meter`); {USB_METER} with its serial port, as in {USB_METER}:/dev/rfcomm0",
    )


def add_meter_command(commands: Any) -> None:
    """Add ``meter`` to the client's commands."""
    command = commands.add_parser(
        "meter",
        help="show where this device's energy figures would come from",
        description="List the energy sources of this machine, say which one is taken and why, and read it for a while.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_energy_options(command, profile=None)
    command.add_argument(
        "--seconds", type=number(above=0), default=5.0, metavar="S", help="how long to read (default: %(default)g)"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("-v", "--verbose", action="store_true", help="log details, too")


def show_meter(options: argparse.Namespace) -> None:
    """Carry out ``meter``.

    Raises
    ------
    edge_client.errors.SettingsError
        The source that is asked for is not there.
    edge_client.errors.EdgeError
        It is, but gave no reading.
    """
    found = _report(options)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"profile: {found['profile']} ({found['title']})")
    for each in found["sources"]:
        print(f"  {each['kind']:<10} {'yes' if each['available'] else 'no':<4} {each['text']}")
    print(f"taken: {found['taken']} ({found['why']}); {found['method']}, covers: {found['covers']}")
    idle = f", of which idle {found['idle_w']:.3f} W" if found["idle_w"] is not None else ""
    spread = f" ± {found['uncertainty_w']:.3f} W" if found["uncertainty_w"] is not None else ""
    print(f"mean over {found['seconds']:.1f} s: {found['power_w']:.3f} W{spread}{idle}")
    if found["rate_hz"] is not None:
        print(f"readings: {found['rate_hz']:.1f} a second, covering {100 * found['coverage']:.0f} % of the time")
    if found["overhead"] is not None:
        print(f"cost of reading: {100 * found['overhead']:.2f} % of one core")
    for flag in found["flags"]:
        print(f"flag: {flag}")
    for name in ("temperature_c", "governor", "battery_percent"):
        if found[name] not in (None, ""):
            print(f"{name.partition('_')[0]}: {found[name]}")


def _report(options: argparse.Namespace) -> dict[str, Any]:
    from edge_client.power_supply import battery_facts

    profile = options.profile or _profile_here()
    candidates = survey(profile)
    for each in candidates:
        if each.source is not None:
            each.source.close()
    meter = find_meter(profile, source=options.energy)
    try:
        figures = _watch(meter, options.seconds, progress=sys.stderr.isatty() and not options.json)
    finally:
        meter.close()
    return {
        "profile": profile,
        "title": load_profile(profile).title,
        "sources": [
            {
                "kind": each.kind,
                # A USB meter is found only by its name, so by the meter that was asked for.
                "available": each.source is not None or each.kind == meter.about.kind,
                "text": _title(each, meter),
            }
            for each in candidates
        ],
        "taken": meter.about.kind,
        "why": meter.why,
        **figures,
        "temperature_c": temperature_c(),
        "governor": governor(),
        "battery_percent": battery_facts().get("battery-percent"),
    }


def _title(candidate: Candidate, meter: SampledMeter) -> str:
    if candidate.source is not None:
        return candidate.source.about.title
    return meter.about.title if candidate.kind == meter.about.kind else candidate.problem


def _watch(meter: SampledMeter, seconds: float, *, progress: bool) -> dict[str, Any]:
    """Read a meter for a while, and return what came of it."""
    start = meter.mark()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if progress:
            print(f"\rreading {meter.about.kind}: {left:.0f} s ", end="", file=sys.stderr, flush=True)
        time.sleep(min(left, 1.0))
    if progress:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    stop = meter.mark()
    energy = meter.between(start, stop)
    if energy is None:
        raise EdgeError(f"{meter.about.kind}: no reading in {seconds:g} s")
    covered = (stop - start) * (1.0 if energy.coverage is None else energy.coverage)

    def watts(joules: Optional[float]) -> Optional[float]:
        return joules / covered if joules is not None and covered > 0 else None

    return {
        "method": energy.method,
        "covers": energy.covers,
        "source": energy.source,
        "seconds": stop - start,
        "energy_j": energy.gross_j,
        "power_w": watts(energy.gross_j) or 0.0,
        "idle_w": watts(energy.idle_j),
        "uncertainty_w": watts(energy.uncertainty_j),
        "rate_hz": energy.rate_hz,
        "coverage": energy.coverage,
        "overhead": meter.sampler.overhead,
        "flags": list(energy.flags),
    }


def _profile_here() -> str:
    try:
        compatible = Path("/proc/device-tree/compatible").read_text(encoding="ascii", errors="replace")
    except OSError:
        compatible = ""
    return match({"device_tree_compatible": compatible}).name


def _source(text: str) -> str:
    kind, colon, _ = text.partition(":")
    if kind not in (AUTO, *KINDS) or (colon and kind != USB_METER):
        raise argparse.ArgumentTypeError(f"{text}: there are {AUTO}, {', '.join(KINDS)}; {USB_METER} takes a port")
    return text
