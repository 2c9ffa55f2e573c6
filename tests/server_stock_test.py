"""Our server among stock Flower: our ServerApp on a stock SuperLink, a stock SuperNode on our SuperLink."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_client.worker import Worker
from python_server.run_reader import RunReader
from tests.server_fleet import client
from tests.superlink import SuperLink, free_port, repository, start_supernode, until

SERVER_APP = "from python_server import server_app\n\napp = server_app.app\n"
EXPERIMENT = """
name = "digits"
rounds = 2
[model]
bundle = "{bundle}"
[data]
test = "{test}"
[train]
epochs = 2
learning_rate = 0.05
[server]
port = {port}
tls = false
enrolled_only = false
start_clients = {clients}
round_deadline_s = 60
start_deadline_s = 60
"""


def write_experiment(folder: Path, digits: Any, bundle: Path, *, clients: int, port: int = 0) -> Path:
    test = digits.save_test(folder / "test.npz")
    file = folder / "e.toml"
    file.write_text(EXPERIMENT.format(bundle=bundle, test=test, port=port, clients=clients))
    return file


def test_our_server_app_on_a_stock_superlink(tmp_path: Path, digits: Any, digits_bundle: Path) -> None:
    file = write_experiment(tmp_path, digits, digits_bundle, clients=2)
    with SuperLink(tmp_path / "superlink") as superlink, ExitStack() as stack:
        for number in range(2):
            data = digits.save(tmp_path / f"{number}.npz", slice(200 * number, 200 * number + 200))
            worker = Worker(digits_bundle, data, name=f"client-{number}", num_threads=1)
            stack.enter_context(client(superlink.address, tmp_path / f"state-{number}", worker.handle))
        run = superlink.run(SERVER_APP, config={"experiment": str(file), "runs": str(tmp_path / "runs"), "resume": ""})
        run.wait()
    (path,) = (tmp_path / "runs").iterdir()
    with RunReader(path) as reader:
        assert reader.status == "finished"
        assert [(row.round, row.used) for row in reader.rounds()] == [(0, 0), (1, 2), (2, 2)]
        assert [row.name for row in reader.devices()] == ["client-0", "client-1"]
        last, first = reader.rounds()[-1], reader.rounds()[0]
        assert last.loss is not None
        assert first.loss is not None
        assert last.loss < first.loss


def test_a_stock_supernode_in_our_run(tmp_path: Path, digits: Any, digits_bundle: Path) -> None:
    port = free_port()
    file = write_experiment(tmp_path, digits, digits_bundle, clients=1, port=port)
    data = digits.save(tmp_path / "data.npz", slice(0, 200))

    class Address:
        address = f"127.0.0.1:{port}"
        tls = None

    node_config = f'bundle="{digits_bundle}" data="{data}" name="theirs" threads=1'
    command = [sys.executable, "-m", "python_server.cli", "train", str(file), "--runs", str(tmp_path / "runs")]
    environment = {**os.environ, "PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as train:
        assert train.stdout is not None
        try:
            lines = iter(train.stdout.readline, "")
            assert any(line.startswith("listening") for line in lines)
            with start_supernode(Address, tmp_path / "supernode", node_config=node_config):  # type: ignore[arg-type]
                until(partial(ended, train), within_s=120, what="the end of the run")
                output = train.stdout.read()
        finally:
            train.kill()
    assert train.returncode == 0, output
    assert "round 2: " in output
    (path,) = (tmp_path / "runs").iterdir()
    with RunReader(path) as reader:
        assert [(row.name, row.outcome) for row in reader.device_rounds()] == [("theirs", "ok")] * 2
        assert all(row.download_s is None for row in reader.device_rounds())


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr
