"""How fast files reach boards: ours beside scp and rsync, to one board and to eight, and a push that changes nothing.

Boards are OpenSSH servers in network namespaces on this machine (needs root, `ip`, `sshd`, `scp`; rsync where there is
one), so the sender's and the receivers' processors are the same ones: ratios within a run mean something, rates of real
boards are others. Every way takes its turn in each repetition, so that a slow moment of the machine hits all; shown are
medians. After each transfer the files are removed.

    .venv/bin/python benchmarks/deploy_rates.py
    .venv/bin/python benchmarks/deploy_rates.py --megabytes 200 --repetitions 5 --boards 8 --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deployment.fleet import Fleet  # noqa: E402
from deployment.inventory import DeviceEntry, Inventory, load_inventory  # noqa: E402
from deployment.known_hosts import KnownHosts  # noqa: E402
from deployment.operations.push import push  # noqa: E402
from deployment.operations.release_for import releases_for  # noqa: E402
from deployment.ssh import SshConnector  # noqa: E402
from deployment.ssh_login import host_keys  # noqa: E402
from tests.ssh_hosts import SshHost, cabled_host  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100, help="size of the file (default: %(default)s)")
    parser.add_argument("--boards", type=int, default=8, help="how many at once (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--fleet", type=int, default=20, help="devices of the push without changes (default: 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        boards = [stack.enter_context(cabled_host(folder / f"host{n}")) for n in range(options.boards)]
        inventory = trusted(folder, boards, options.fleet)
        big = folder / "big"
        big.write_bytes(os.urandom(options.megabytes * 1_000_000))
        rates = {
            f"{count} board{'s' if count > 1 else ''}": measure(
                big, boards[:count], inventory, options.repetitions, options.megabytes
            )
            for count in (1, options.boards)
        }
        seconds = push_without_changes(inventory, options.repetitions)
    result = {"MB/s, all boards together": rates, f"push to {options.fleet} without changes (s)": seconds}
    if options.json:
        print(json.dumps(result, indent=1))
        return 0
    for count, ways in rates.items():
        for way, rate in ways.items():
            print(f"{count:10} {way:14} {rate:8.1f} MB/s   {rate / ways['scp']:5.2f} x scp")
    print(f"push to {options.fleet} devices without changes: {seconds:.2f} s")
    return 0


def trusted(folder: Path, boards: Sequence[SshHost], fleet: int) -> Inventory:
    """Write an inventory of ``fleet`` devices on these boards, each with a directory of its own, and trust all."""
    (folder / "d.npz").write_bytes(b"data")
    tables = ['[server]\naddress = "http://127.0.0.1:9"\ntrust = "d.npz"']
    for number in range(fleet):
        board = boards[number % len(boards)]
        tables.append(
            f'[[devices]]\nname = "d{number}"\nhost = "{board.host}"\nkey = "{board.key}"\ndata = "d.npz"\n'
            f'python = "{sys.executable}"\ninstall = "none"\ndirectory = "d{number}"'
        )
    (folder / "fleet.toml").write_text("\n".join(tables))
    inventory = load_inventory(folder / "fleet.toml")
    for device in inventory.devices[: len(boards)]:
        for host, key in host_keys(device, inventory.known_hosts):
            KnownHosts(inventory.known_hosts, device.name).trust(host, key)
    return inventory


def measure(
    big: Path, boards: Sequence[SshHost], inventory: Inventory, repetitions: int, megabytes: int
) -> dict[str, float]:
    """Return the median rate of each way, over all boards together."""
    ways: dict[str, Callable[[int], None]] = {
        "ours": lambda n: ours(big, inventory.devices[n], inventory),
        "scp": lambda n: run(["scp", "-q", *ssh_options(boards[n], inventory), str(big), target(boards[n])]),
    }
    if shutil.which("rsync"):
        ways["rsync -W"] = lambda n: run(
            ["rsync", "-W", "-e", " ".join(["ssh", *ssh_options(boards[n], inventory)]), str(big), target(boards[n])]
        )
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repetitions):
        for way, send in ways.items():
            start = time.monotonic()
            with ThreadPoolExecutor(max_workers=len(boards)) as pool:
                list(pool.map(send, range(len(boards))))
            taken[way].append(time.monotonic() - start)
            for board in boards:
                assert (board.home / "up").stat().st_size == big.stat().st_size
                (board.home / "up").unlink()
    return {way: len(boards) * megabytes / statistics.median(seconds) for way, seconds in taken.items()}


def ours(big: Path, device: DeviceEntry, inventory: Inventory) -> None:
    """Connect, send, check, close."""
    connector = SshConnector(device, inventory.known_hosts)
    try:
        assert connector.put(big, "up") == big.stat().st_size
    finally:
        connector.close()


def ssh_options(board: SshHost, inventory: Inventory) -> list[str]:
    """Return what makes ssh use the same key and known hosts."""
    return ["-i", str(board.key), "-o", f"UserKnownHostsFile={inventory.known_hosts}", "-o", "IdentitiesOnly=yes"]


def target(board: SshHost) -> str:
    """Return where scp and rsync put the file."""
    return f"{board.host}:{board.home}/up"


def run(words: Sequence[str]) -> None:
    """Run a command that has to succeed."""
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def push_without_changes(inventory: Inventory, repetitions: int) -> float:
    """Push to every device, then time pushes that find all there; return the median."""
    seconds = []
    for repetition in range(repetitions + 1):
        start = time.monotonic()
        outcomes = Fleet(inventory).each(
            inventory.devices,
            "push",
            lambda session: session.carry_out(
                push(
                    session.connector,
                    session.device,
                    next(releases_for(session.connector, session.device, inventory.server)),
                )
            ),
        )
        assert not any(outcome.error for outcome in outcomes), [outcome.error for outcome in outcomes]
        if repetition:
            assert not any(outcome.report.steps for outcome in outcomes)
            seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    raise SystemExit(main())
