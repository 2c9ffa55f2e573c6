"""How fast a file gets onto a device by ADB: Google's ``adb push``, and our connector with and without its checks.

The device is Debian's own ``adbd`` behind a virtual cable (``scripts/adbd_root``; needs root and the ``adb`` program),
so there is no radio and no flash in it: what is compared is the protocol's work on this machine. The ways take turns;
trust ratios.

    python -m benchmarks.adb_rates --megabytes 50 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable

from deployment.adb import AdbConnector
from deployment.connector import no_progress
from tests.real_adbd import RealAdbd, cabled_adbd


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, metavar="N", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cabled_adbd(Path(folder)) as adbd:
        source = Path(folder) / "file"
        source.write_bytes(os.urandom(1_000_000) * options.megabytes)
        times = _measure(adbd, Path(folder), source, options.rounds)
    print("| way | median s | MB/s | slowest, fastest s |\n|---|---|---|---|")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        rate = options.megabytes / median
        print(f"| {name} | {median:.2f} | {rate:.0f} | {max(seconds):.2f}, {min(seconds):.2f} |")


def _measure(adbd: RealAdbd, folder: Path, source: Path, rounds: int) -> dict[str, list[float]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    os.environ["ANDROID_ADB_SERVER_PORT"] = port
    serial = f"{adbd.host}:{adbd.port}"
    adb = ["adb", "-P", port]
    subprocess.run([*adb, "connect", serial], check=True, capture_output=True)
    try:
        direct = AdbConnector("device", host=adbd.host, key=folder / "key")
        through = AdbConnector("device", serial=serial)
        for connector in (direct, through):
            connector.run(["true"])

        def feed() -> None:
            with source.open("rb") as file:
                words = ["sh", "-c", "cat > unchecked"]
                direct.feed(words, file, 0, source.stat().st_size, no_progress, wait_s=60)

        ways: dict[str, Callable[[], object]] = {
            "adb push": lambda: subprocess.run(
                [*adb, "-s", serial, "push", str(source), "/data/local/tmp/pushed"], check=True, capture_output=True
            ),
            "connector, bytes alone": feed,
            "connector, with its checks": lambda: direct.put(source, "direct"),
            "connector, through adb's server": lambda: through.put(source, "through"),
            "one sha256 on the device": lambda: direct.sha256("pushed"),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            direct.run(["rm", "-f", "direct", "through"])
            for name, way in ways.items():
                begun = time.monotonic()
                way()
                times[name].append(time.monotonic() - begun)
        direct.close()
        through.close()
    finally:
        subprocess.run([*adb, "kill-server"], check=True, capture_output=True)
    return times


if __name__ == "__main__":
    main()
