"""The Java client beside the Python client: start, a signed empty poll, and memory with a large model.

Both toy clients (they add one to every weight) run on loopback against the same real SuperLink, without TLS, one after
the other. A poll is one ``pull-messages`` without work over a kept connection, timed in the client from before
the request is made to after the answer is read. The start runs from the process's start to the server's
knowing it, with the key and the state of an earlier start. Memory is the highest resident set (VmHWM) after three
rounds of a model of the given size, each way.

    .venv/bin/python benchmarks/java_poll.py
    .venv/bin/python benchmarks/java_poll.py --polls 300 --starts 5 --megabytes 14 --json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.java_client import toy_command  # noqa: E402 (after the path to it)
from tests.superlink import SuperLink, until  # noqa: E402
from tests.toy_server import Exchange, Toy  # noqa: E402

TIMED_TOY = """
import logging, time
from edge_client.transport.connection import Connection
from tests.toy_client import main

call = Connection.call

def timed(self, name, *arguments, **options):
    start = time.perf_counter()
    answer = call(self, name, *arguments, **options)
    logging.debug("event=called call=%s status=200 ms=%.1f", name, 1000 * (time.perf_counter() - start))
    return answer

Connection.call = timed
raise SystemExit(main())
"""
_POLL = re.compile(r"event=called call=pull-messages status=200 ms=([0-9.]+)")
_CONNECTED = re.compile(r"^(\S+ \S+) INFO event=connected", re.MULTILINE)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=200, help="polls to time (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="starts to time (default: %(default)s)")
    parser.add_argument("--megabytes", type=float, default=14.0, help="size of the model (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    toys = {
        "java": Toy(toy_command(), 137),
        "python": Toy([sys.executable, "-c", TIMED_TOY], -9),
    }
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, SuperLink(Path(folder) / "superlink") as superlink:
        for name, toy in toys.items():
            state = Path(folder) / name
            start_s = [_start_s(toy, superlink, state) for _ in range(options.starts + 1)][1:]
            poll_ms = _poll_ms(toy, superlink, state, options.polls)
            figures[name] = {
                "start-s": statistics.median(start_s),
                "poll-ms": statistics.median(poll_ms),
                "poll-p90-ms": statistics.quantiles(poll_ms, n=10)[-1],
                "peak-mib": _peak_mib(toy, superlink, state, options.megabytes),
            }
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{'':8}{'start s':>10}{'poll ms':>10}{'p90 ms':>10}{'peak MiB':>10}")
    for name, each in figures.items():
        print(
            f"{name:8}{each['start-s']:10.2f}{each['poll-ms']:10.1f}{each['poll-p90-ms']:10.1f}{each['peak-mib']:10.0f}"
        )
    return 0


def _start_s(toy: Toy, superlink: SuperLink, state: Path) -> float:
    log = state.with_name(f"{state.name}.log")
    known = len(_CONNECTED.findall(log.read_text())) if log.exists() else 0
    started = time.time()
    with toy(superlink, state) as client:
        until(lambda: len(_CONNECTED.findall(client.output)) > known, what="the connection")
        at = datetime.strptime(_CONNECTED.findall(client.output)[-1], "%Y-%m-%d %H:%M:%S,%f")
    return at.timestamp() - started


def _poll_ms(toy: Toy, superlink: SuperLink, state: Path, polls: int) -> list[float]:
    """Time polls after the first fifty, when what is to be compiled is."""
    with toy(superlink, state, "--poll-longest=0.05") as client:
        before = len(_POLL.findall(client.output))
        until(lambda: len(_POLL.findall(client.output)) >= before + polls + 50, within_s=120, what="enough polls")
        return [float(ms) for ms in _POLL.findall(client.output)[before + 50 :]]


def _peak_mib(toy: Toy, superlink: SuperLink, state: Path, megabytes: float) -> float:
    exchange = Exchange(superlink, state.parent, rounds=3, sizes={"dense/kernel": int(megabytes * 1e6 / 4)})
    with toy(superlink, state) as client:
        exchange.wait()
        status = Path(f"/proc/{client.popen.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
