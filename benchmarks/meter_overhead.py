"""What reading an energy source ten times a second costs, and what the sources of this machine say of a known load.

Part one reads each kind of source from a built tree (the boards' own files are not here), or from a stand-in for the
board's tool, in the sampler's thread, as a client does. The figure is the share of one core: the thread's processor
time, and that of the processes that a source starts, over wall time. Not in it: what the kernel's driver and the bus
take on a real board, which mostly wait.

Part two keeps one core busy for a while and asks every source that this machine really has.

    .venv/bin/python benchmarks/meter_overhead.py
    .venv/bin/python benchmarks/meter_overhead.py --seconds 30 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge_client.energy import SampledMeter, find_meter, survey  # noqa: E402 (after the path to it)
from edge_client.energy.battery_test import LAPTOP  # noqa: E402
from edge_client.energy.ina2xx_test import PI_4  # noqa: E402
from edge_client.energy.ina3221_test import AGX_ORIN, NANO, ORIN_NX, XAVIER_NEW  # noqa: E402
from edge_client.energy.pmic_test import ANSWER  # noqa: E402
from edge_client.energy.rapl_test import MACHINE  # noqa: E402
from edge_client.energy.rig_test import Tree, write_tree  # noqa: E402
from edge_client.energy.tegrastats_test import NANO as NANO_LINE  # noqa: E402

TREES: dict[str, tuple[str, Tree]] = {
    "INA3221, Jetson Nano (R32 layout, 1 rail)": ("ina3221", NANO),
    "INA3221, Orin NX (hwmon, 1 rail)": ("ina3221", ORIN_NX),
    "INA3221, AGX Orin (hwmon, 3 rails)": ("ina3221", AGX_ORIN),
    "INA3221, AGX Xavier (hwmon, 6 rails)": ("ina3221", XAVIER_NEW),
    "INA219 (hwmon)": ("ina2xx", PI_4),
    "RAPL (2 packages, memory)": ("rapl", MACHINE),
    "battery gauge (2 batteries)": ("battery", LAPTOP),
}
TOOLS = {
    "tegrastats (stand-in), 2 Hz": ("tegrastats", f'while :; do echo "{NANO_LINE}"; sleep 0.5; done'),
    "vcgencmd (stand-in), 1 Hz": ("pmic", f"cat <<'END'\n{ANSWER}END"),
}
NAMES = {"tegrastats": "tegrastats", "pmic": "vcgencmd"}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="how long to read each source (default: %(default)g)"
    )
    parser.add_argument("--load", type=float, default=5.0, help="seconds of the known load (default: %(default)g)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    costs = {}
    for title, (kind, tree) in TREES.items():
        with tempfile.TemporaryDirectory() as folder:
            meter = find_meter(source=kind, root=write_tree(Path(folder), tree))
            # A gauge is read once a second; at ten it shows its limit.
            costs[title] = cost(SampledMeter(meter.sampler.source, rate_hz=10.0), options.seconds)
    for title, (kind, script) in TOOLS.items():
        with tempfile.TemporaryDirectory() as folder:
            tool = Path(folder) / "usr/bin" / NAMES[kind]
            tool.parent.mkdir(parents=True)
            tool.write_text(f"#!/bin/sh\n{script}\n")
            tool.chmod(0o755)
            costs[title] = cost(find_meter(source=kind, root=Path(folder)), options.seconds)
    costs["model (read where phases begin and end; here ten times a second)"] = cost(
        SampledMeter(find_meter(source="model").sampler.source, rate_hz=10.0), options.seconds
    )
    load = known_load(options.load)
    if options.json:
        print(json.dumps({"share_of_one_core": costs, "known_load": load}, indent=2))
        return 0
    for title, share in costs.items():
        print(f"{title}: {100 * share:.3f} % of one core")
    print(f"\none core busy for {options.load:g} s, by every source of this machine:")
    for each in load:
        figure = (
            f"{each['energy_j']:.2f} J in {each['seconds']:.2f} s" if each["energy_j"] is not None else each["problem"]
        )
        print(f"  {each['kind']}: {figure}")
    return 0


def cost(meter: SampledMeter, seconds: float) -> float:
    """Return the share of one core that reading has taken."""
    start = meter.mark()
    time.sleep(seconds)
    energy = meter.between(start, meter.mark())
    share = meter.sampler.overhead
    meter.close()
    assert share is not None
    assert energy is not None
    assert energy.coverage is not None
    assert energy.coverage > 0.9, f"{meter.about.title}: {energy}"
    return share


def known_load(seconds: float) -> list[dict[str, Any]]:
    """Keep one core busy, and return what each source of this machine says of it."""
    candidates = survey()
    meters = [(each, SampledMeter(each.source)) for each in candidates if each.source is not None]
    starts = [meter.mark() for _, meter in meters]
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(10_000))
    found = []
    for (each, meter), start in zip(meters, starts):
        stop = meter.mark()
        energy = meter.between(start, stop)
        meter.close()
        joules = energy.gross_j if energy is not None else None
        found.append({"kind": each.kind, "energy_j": joules, "seconds": stop - start, "problem": "no reading"})
    missing = [each for each in candidates if each.source is None]
    return found + [{"kind": each.kind, "energy_j": None, "seconds": 0.0, "problem": each.problem} for each in missing]


if __name__ == "__main__":
    raise SystemExit(main())
