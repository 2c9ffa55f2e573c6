"""Clients killed with -9 while training, and between announcing and uploading, change nothing about a run's result.

The strategy is FedLAMA, under which a client that comes back needs its own weights of the round before, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from python_server.run_reader import RunReader
from tests.superlink import Process, free_port, repository, until

if TYPE_CHECKING:
    from conftest import Digits

ROUNDS = 4
EXPERIMENT = """\
name = "digits"
seed = 3
rounds = {rounds}
[model]
bundle = "{bundle}"
[strategy]
name = "fedlama"
phi = 2
[train]
epochs = 2
learning_rate = 0.05
[server]
port = {port}
start_clients = 2
min_clients = 1
round_deadline_s = 90
"""
LOCAL = '[[clients]]\nname = "{name}"\ndata = "{name}.npz"\n'
NAMES = ("one", "two")


@pytest.fixture
def folder(tmp_path: Path, digits: Digits) -> Path:
    digits.save(tmp_path / "one.npz", slice(0, 300))
    digits.save(tmp_path / "two.npz", slice(300, 500))
    return tmp_path


def _pocketfleet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "python_server.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def _undisturbed(folder: Path, bundle: Path) -> dict[str, bytes]:
    text = EXPERIMENT.format(rounds=ROUNDS, bundle=bundle, port=0) + "".join(LOCAL.format(name=n) for n in NAMES)
    (folder / "calm.toml").write_text(text.replace("[server]", '[server]\nidentity = "calm"'))
    done = _pocketfleet(folder, "train", "calm.toml", "--runs", "calm-runs")
    assert done.returncode == 0, done.stderr
    return _last_weights(folder / "calm-runs")


def _last_weights(runs: Path) -> dict[str, bytes]:
    (run,) = runs.iterdir()
    with RunReader(run) as reader:
        assert reader.status == "finished"
        assert [row.round for row in reader.rounds()] == list(range(ROUNDS + 1))
        rows = reader.device_rounds()
        assert [(row.round, row.name, row.outcome) for row in rows] == [
            (number, name, "ok") for number in range(1, ROUNDS + 1) for name in NAMES
        ]
        return {name: value.tobytes() for name, value in reader.weights(ROUNDS).items()}


def test_killed_clients_come_back_and_the_result_is_the_same(folder: Path, digits_bundle: Path) -> None:
    expected = _undisturbed(folder, digits_bundle)
    port = free_port()
    (folder / "e.toml").write_text(EXPERIMENT.format(rounds=ROUNDS, bundle=digits_bundle, port=port))
    for name in NAMES:
        key = subprocess.run(
            [sys.executable, "-m", "edge_client.cli", "key", "--state", str(folder / f"state-{name}")],
            capture_output=True,
            cwd=repository,
            check=True,
        )
        (folder / f"{name}.pem").write_bytes(key.stdout)
        enrolled = _pocketfleet(folder, "enrol", f"{name}.pem", "--name", name, "--identity", "identity")
        assert enrolled.returncode == 0, enrolled.stderr
    command = [
        sys.executable,
        "-m",
        "python_server.cli",
        "train",
        str(folder / "e.toml"),
        "--runs",
        str(folder / "runs"),
    ]
    server = Process(command, folder / "server.log")
    clients: list[Process] = []

    def client(name: str, *crash: str) -> Process:
        module = ["tests.crashing_client", *crash] if crash else ["edge_client.cli"]
        arguments = ["run", "--server", f"localhost:{port}", "--ca", str(folder / "identity" / "ca.pem")]
        arguments += ["--bundle", str(digits_bundle), "--data", str(folder / f"{name}.npz"), "--threads", "1"]
        arguments += ["--name", name, "--state", str(folder / f"state-{name}"), "--leave-within", "1"]
        process = Process([sys.executable, "-m", *module, *arguments], folder / f"{name}-{len(clients)}.log")
        clients.append(process)
        return process

    try:
        until((folder / "identity" / "ca.pem").exists, within_s=60, what="the server's certificate")
        training, announced = client("one", "training", "2"), client("two", "announced", "3")
        assert training.wait(90) == -9
        client("one")
        assert announced.wait(90) == -9
        client("two")
        assert server.wait(180) == 0, server.output
    finally:
        for process in [*clients, server]:
            process.stop()
    assert _last_weights(folder / "runs") == expected
