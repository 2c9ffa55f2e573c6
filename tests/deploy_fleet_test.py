"""From a laptop to boards and back: `pocketfleet fleet` against real SSH servers at the other end of virtual cables.

Two boards and three rounds; with the environment variable ``POCKETFLEET_FULL_FLEET=1`` eight and five: one of them is
an arm64 Debian under an emulator, and two install the client offline from wheels. That took 18 minutes on two cores
that others kept busy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployment.fleet import Fleet, Session, Watcher
from deployment.inventory import load_inventory
from deployment.operations.push import push
from deployment.operations.release_for import releases_for
from python_server.cli import main
from python_server.identity import Identity, host_names
from python_server.run_reader import RunReader
from tests.arm64_host import Arm64Host, arm64_host
from tests.server_train_test import started
from tests.ssh_hosts import SshHost, cabled_host
from tests.superlink import free_port

FULL = bool(os.environ.get("POCKETFLEET_FULL_FLEET"))
BOARDS, ROUNDS = (8, 5) if FULL else (2, 3)
DEADLINE_S = 600 if FULL else 300


@pytest.fixture(name="boards")
def make_boards(tmp_path: Path) -> Iterator[list[SshHost]]:
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(cabled_host(tmp_path / f"host{number}")) for number in range(BOARDS - FULL)]
        if FULL:
            hosts.append(stack.enter_context(arm64_host(tmp_path / f"host{BOARDS - 1}")))
        yield hosts


def installation(board: SshHost, number: int) -> str:
    """Say in the inventory where a board's client comes from."""
    if isinstance(board, Arm64Host):
        # The other runtime's arm64 wheels train on processors, but crash in the emulator.
        return 'runtime = "tflite-runtime"'
    if FULL and number == 1:
        return f'python = "{Path(sys.executable).resolve()}"'
    return f'python = "{sys.executable}"\ninstall = "none"'


@pytest.fixture(name="lab")
def make_lab(
    tmp_path: Path, boards: list[SshHost], digits: Any, digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make a folder with an experiment and an inventory, and work in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    port = free_port()
    digits.save_test(tmp_path / "test.npz")
    Identity(tmp_path / "identity").certificates(host_names())
    (tmp_path / "e.toml").write_text(f"""
name = "digits"
rounds = {ROUNDS}
model = {{ bundle = "{digits_bundle}" }}
data = {{ test = "test.npz" }}
train = {{ epochs = 2, learning_rate = 0.05 }}
[server]
host = "0.0.0.0"
port = {port}
identity = "identity"
start_clients = {BOARDS}
min_clients = {BOARDS}
start_deadline_s = {DEADLINE_S}
round_deadline_s = {DEADLINE_S}
""")
    tables = [
        f'[server]\naddress = "https://{boards[0].gateway}:{port}"\nca = "identity/ca.pem"\nbundle = "{digits_bundle}"'
    ]
    for number, board in enumerate(boards):
        digits.save(tmp_path / f"{number}.npz", slice(200 * number, 200 * number + 200))
        tables.append(
            f'[[devices]]\nname = "board-{number}"\nhost = "{board.host}"\nkey = "{board.key}"\n'
            f'data = "{number}.npz"\nthreads = 1\n{installation(board, number)}'
        )
    (tmp_path / "fleet.toml").write_text("\n\n".join(tables) + "\n")
    assert main(["fleet", "trust", "--yes"]) == 0
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return result


def test_boards_are_pushed_to_started_trained_and_left_as_they_were(
    lab: Path, boards: list[SshHost], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"board-{number}" for number in range(BOARDS)]
    with contextlib.ExitStack() as cuts:
        # Those that install from wheels have something to cut.
        pushed_cuts = [cuts.enter_context(Cut(board)) for board in (boards[1], boards[-1]) if FULL]
        assert main(["fleet", "push", "--json"]) == 0
    assert all(cut.made for cut in pushed_cuts)
    capsys.readouterr()
    assert main(["fleet", "push", "--json"]) == 0
    assert [(each["steps"], each["moved_bytes"]) for each in told(capsys)] == [(0, 0)] * BOARDS
    assert main(["fleet", "enrol", "--experiment", "e.toml"]) == 0
    assert main(["fleet", "start"]) == 0
    try:
        with started(lab, "train", "e.toml") as server:
            assert server.stdout is not None
            # The client notices nothing, or tries again; the round waits.
            to_pull = {"round 1:": boards[0], **({"round 2:": boards[-1], "round 3:": boards[1]} if FULL else {})}
            for line in server.stdout:
                if board := to_pull.pop(line[:8], None):
                    board.pull_cable()
                    threading.Timer(10 if FULL else 1, board.plug_cable).start()
                if line.startswith("accuracy:"):
                    break
            server.wait(120)
        assert not to_pull
        (run,) = (lab / "runs").iterdir()
        with RunReader(run) as reader:
            assert [row.used for row in reader.rounds()][1:] == [BOARDS] * ROUNDS
            assert sorted({row.name for row in reader.device_rounds()}) == names
            facts = {row.name: row.facts for row in reader.devices()}
        if FULL:
            assert facts[names[-1]]["machine"] == "aarch64"
            assert str(facts[names[-1]]["runtime"]).startswith("tflite-runtime")
        capsys.readouterr()
        assert main(["fleet", "status", "--json"]) == 0
        assert [each["value"]["running"] for each in told(capsys)] == ["supervisor"] * BOARDS
        assert main(["fleet", "collect", "-o", "results"]) == 0
        for name in names:
            assert "event=" in (lab / "results" / name / "client.log").read_text()
    finally:
        assert main(["fleet", "stop"]) == 0
    assert main(["fleet", "uninstall", "--forget-key"]) == 0
    for board in boards:
        assert not list(board.home.iterdir())


class Cut:
    """Pulls a board's cable for ten seconds when something large is on its way to it."""

    def __init__(self, board: SshHost) -> None:
        self._board = board
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.made = False

    def __enter__(self) -> Cut:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            if any(part.stat().st_size > 1_000_000 for part in self._board.home.glob(".pocketfleet/blobs/*.part")):
                self._board.pull_cable()
                self.made = True
                self._over.wait(10)
                self._board.plug_cable()
                return


class Scissors(Watcher):
    """Pulls a cable in mid-file, and plugs it again once that was noticed."""

    def __init__(self, board: SshHost) -> None:
        self._board = board
        self.cut = 0

    def moved(self, device: str, done: int, total: int) -> None:
        if device == "board-0" and not self.cut and total > 10_000_000 and done > total // 3:
            self.cut += 1
            self._board.pull_cable()

    def trouble(self, device: str, text: str) -> None:
        self._board.plug_cable()


def test_a_cable_pulled_in_mid_push_costs_no_more_than_what_was_on_it(
    lab: Path, boards: list[SshHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployment.ssh_login.DEAD_S", 3)
    monkeypatch.setattr("deployment.fleet._WAIT_S", 0.3)
    large = lab / "large.npz"
    large.write_bytes(os.urandom(24_000_000))
    inventory = load_inventory(lab / "fleet.toml")
    devices = [dataclasses.replace(device, test_data=large) for device in inventory.devices]
    scissors = Scissors(boards[0])

    def work(session: Session) -> int:
        device = dataclasses.replace(session.device, install="none", python="python3")
        release = next(releases_for(session.connector, device, inventory.server))
        session.carry_out(push(session.connector, session.device, release))
        return sum(part.size_bytes for part in release.blobs)

    outcomes = Fleet(inventory, watcher=scissors).each(devices, "push", work)
    assert scissors.cut == 1
    assert [outcome.error for outcome in outcomes] == [""] * BOARDS
    assert [outcome.report.moved_bytes for outcome in outcomes[1:]] == [outcome.value for outcome in outcomes[1:]]
    # The try that broke off is not in the count; the one that completed began where the file stood.
    assert 0 < outcomes[0].report.moved_bytes < outcomes[0].value - 4_000_000
    for board, device in zip(boards, devices):
        assert (board.home / device.directory / "current/test_data.npz").read_bytes() == large.read_bytes()


def test_a_killed_push_is_completed_by_the_next_one(lab: Path) -> None:
    (lab / "large.npz").write_bytes(os.urandom(24_000_000))
    text = (lab / "fleet.toml").read_text().replace('data = "0.npz"', 'data = "0.npz"\ntest_data = "large.npz"')
    (lab / "fleet.toml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    killed = subprocess.run([sys.executable, "-c", KILLED, "fleet", "push", "board-0"], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(lab.glob("host0/home/.pocketfleet/blobs/*.part"))
    assert main(["fleet", "push"]) == 0
    assert (lab / "host0/home/.pocketfleet/current/test_data.npz").stat().st_size == 24_000_000


# Far enough into the file for the board to have begun it: two megabytes may be on their way.
KILLED = """
import os, signal, sys
from python_server.cli import main
from python_server.commands import fleet_watch

def moved(watcher, device, done, total):
    if done > 8_000_000:
        os.kill(os.getpid(), signal.SIGKILL)

fleet_watch.PlainWatcher.moved = moved
sys.exit(main(sys.argv[1:]))
"""
