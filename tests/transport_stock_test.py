"""Our clients among stock Flower: FedAvg, SuperNodes, TLS, enrolled keys. All peers are real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np
import pytest

pytest.importorskip("flwr", reason="needs Flower's SuperLink")

from edge_client.errors import EdgeError
from edge_client.worker import Worker
from model_export.bundle import Bundle
from tests.interpreters import find_interpreter
from tests.java_client import java_command
from tests.superlink import Process, SuperLink, make_tls_files, start_supernode, until
from tests.toy_server import Exchange, Toy, handled, python_toy

if TYPE_CHECKING:
    from conftest import Digits

FEDAVG = """
import json
import logging
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    with np.load(settings["initial"]) as file:
        initial = ArrayRecord({name: Array(file[name]) for name in file.files})
    nodes = settings["nodes"]
    result = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes).start(
        grid=grid,
        initial_arrays=initial,
        num_rounds=settings["rounds"],
        train_config=ConfigRecord({"epochs": 1, "learning-rate": 0.05, "reply-arrays": "all"}),
    )
    np.savez(settings["result"] + ".npz", **{name: array.numpy() for name, array in result.arrays.items()})
    Path(settings["result"]).write_text(
        json.dumps([
            {number: dict(metrics) for number, metrics in each.items()}
            for each in (result.train_metrics_clientapp, result.evaluate_metrics_clientapp)
        ])
    )
"""

OUR_CLIENT_APP = "from edge_client import client_app\n\napp = client_app.app\n"

TOY_CLIENT_APP = """
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

KEYS = ["download-s", "download-bytes", "previous-upload-s", "previous-upload-bytes", "previous-upload-round", "pid"]
app = ClientApp()


def metrics():
    return MetricRecord({"num-examples": 10, **dict.fromkeys(KEYS, 0)})


@app.train()
def train(message, context):
    arrays = {name: Array(array.numpy() + 1) for name, array in message.content["arrays"].items()}
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics()}), reply_to=message)


@app.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": metrics()}), reply_to=message)
"""


class FedAvgRun:
    """A stock FedAvg over some nodes."""

    def __init__(
        self,
        superlink: SuperLink,
        folder: Path,
        initial: dict[str, np.ndarray],
        *,
        nodes: int,
        rounds: int,
        client_app: str = "",
    ) -> None:
        self._result = folder / "fedavg.json"
        np.savez(folder / "initial.npz", **initial)  # type: ignore[arg-type]
        self._run = superlink.run(
            FEDAVG,
            client_app=client_app,
            config={
                "nodes": nodes,
                "rounds": rounds,
                "initial": str(folder / "initial.npz"),
                "result": str(self._result),
            },
        )
        self._superlink = superlink

    def wait(self, within_s: float = 150.0) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Return the final weights and the mean evaluation metrics by round."""
        try:
            until(self._result.exists, within_s=within_s, what="the end of FedAvg")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._superlink.log[-5000:]}") from None
        with np.load(f"{self._result}.npz") as file:
            weights = {name: file[name] for name in file.files}
        return weights, json.loads(self._result.read_text())[1]


TOY_WEIGHTS = {
    "conv/kernel": np.zeros((3, 3, 2, 4), np.float32),
    "conv/bias": np.zeros(4, np.float32),
    "dense/bias": np.zeros(4, np.float32),
    "scalar": np.zeros((), np.float32),
    "big": np.zeros(3_000_000, np.float32),
}


def assert_exact(weights: dict[str, np.ndarray], rounds: int) -> None:
    assert {name: array.shape for name, array in weights.items()} == {n: a.shape for n, a in TOY_WEIGHTS.items()}
    assert all(np.array_equal(array, np.full_like(array, rounds)) for array in weights.values())


@pytest.fixture
def superlink(tmp_path: Path) -> object:
    with SuperLink(tmp_path / "superlink") as started:
        yield started


def test_our_clients_under_stock_fedavg(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    states = [tmp_path / f"client-{number}" for number in range(3)]
    with ExitStack() as stack:
        for state in states:
            stack.enter_context(toy(superlink, state))
        weights, _ = FedAvgRun(superlink, tmp_path, TOY_WEIGHTS, nodes=3, rounds=3).wait()
    assert_exact(weights, 3)
    for state in states:
        assert handled(state) == [f"{kind} {number}" for number in (1, 2, 3) for kind in ("train", "evaluate")]


def test_a_mixed_federation(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    with toy(superlink, tmp_path / "client"), start_supernode(superlink, tmp_path / "supernode"):
        run = FedAvgRun(superlink, tmp_path, TOY_WEIGHTS, nodes=2, rounds=2, client_app=TOY_CLIENT_APP)
        weights, _ = run.wait()
    assert_exact(weights, 2)


@pytest.mark.parametrize("language", ["python", "java"])
def test_our_client_app_in_a_stock_supernode_beside_our_client(
    superlink: SuperLink, tmp_path: Path, digits_bundle: Path, digits: Digits, language: str
) -> None:
    """Both train the same real bundle; the result is what the same workers give in this process."""
    initial = Bundle.load(digits_bundle).initial()
    data = [digits.save(tmp_path / f"{number}.npz", slice(100 * number, 100 * number + 100)) for number in range(2)]
    test = digits.save_test(tmp_path / "test.npz")
    ours = Process(
        [
            *(java_command() if language == "java" else (sys.executable, "-m", "edge_client.cli")),
            *("run", f"--server={superlink.address}", "--insecure"),
            *(f"--bundle={digits_bundle}", f"--data={data[0]}", f"--test-data={test}", "--name=ours", "--threads=1"),
            f"--state={tmp_path / 'state'}",
        ],
        tmp_path / "ours.log",
    )
    node_config = f'bundle="{digits_bundle}" data="{data[1]}" test-data="{test}" name="theirs" threads=1'
    try:
        with start_supernode(superlink, tmp_path / "supernode", node_config=node_config):
            run = FedAvgRun(superlink, tmp_path, initial, nodes=2, rounds=2, client_app=OUR_CLIENT_APP)
            weights, metrics = run.wait(240)
    finally:
        assert ours.stop() == 0, ours.output
    expected = fedavg_here(digits_bundle, data, rounds=2)
    assert set(weights) == set(expected)
    for name, array in weights.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert 0 < metrics["2"]["eval-loss"] < metrics["1"]["eval-loss"]


def fedavg_here(bundle: Path, data: list[Path], *, rounds: int) -> dict[str, np.ndarray]:
    """Train with workers in this process and average by the number of examples."""
    from edge_client.records import TRAIN, Scalar, Task

    workers = [Worker(bundle, file, name=name, num_threads=1) for file, name in zip(data, ("ours", "theirs"))]
    weights = Bundle.load(bundle).initial()
    for number in range(1, rounds + 1):
        plan: dict[str, Scalar] = {"epochs": 1, "learning-rate": 0.05, "reply-arrays": "all", "server-round": number}
        replies = [worker.handle(Task(TRAIN, weights, plan)).arrays or {} for worker in workers]
        weights = {name: np.mean([reply[name] for reply in replies], axis=0) for name in weights}
    return weights


def test_tls_and_enrolled_keys(toy: Toy, tmp_path: Path) -> None:
    tls = make_tls_files(tmp_path / "tls")
    state = tmp_path / "state"
    with SuperLink(tmp_path / "superlink", tls=tls, enrolled_only=True) as superlink:
        with toy(superlink, state, f"--ca={tls.ca}", "--give-up-after=2") as client:
            assert client.wait() == 1
        assert "event=waiting" in client.output
        assert "NotEnrolled" in client.output
        assert f"pocketfleet-client key --state {state}" in client.output
        enrol(superlink, state, tmp_path / "key.pub")
        exchange = Exchange(superlink, tmp_path)
        with toy(superlink, state, f"--ca={tls.ca}"):
            (reply,) = exchange.wait()
        assert "weights" in reply, reply
        # Killed and started again, it takes up its place.
        exchange = Exchange(superlink, tmp_path)
        with toy(superlink, state, f"--ca={tls.ca}", "--crash=announced") as client:
            assert client.wait() == toy.crashed
        with toy(superlink, state, f"--ca={tls.ca}"):
            (reply,) = exchange.wait()
        assert "weights" in reply, reply


def enrol(superlink: SuperLink, state: Path, key_file: Path) -> None:
    """Print the key as a user would, and register it."""
    printer = Process([sys.executable, "-m", "edge_client.cli", "key", f"--state={state}", "--format=ssh"], key_file)
    assert printer.wait() == 0
    superlink.register(key_file)


@pytest.mark.parametrize(
    ("ca", "complaint"),
    [
        ("other", "the certificate of localhost:{port} is not to be trusted"),
        ("none", "event=unreachable"),
        ("garbage", "not a PEM file of certificate authorities"),
    ],
)
def test_wrong_side_of_tls(toy: Toy, tmp_path: Path, ca: str, complaint: str) -> None:
    tls = make_tls_files(tmp_path / "tls")
    other: Optional[Path] = None
    if ca == "other":
        other = make_tls_files(tmp_path / "other").ca
    elif ca == "garbage":
        other = tmp_path / "garbage.pem"
        other.write_text("nothing")
    with SuperLink(tmp_path / "superlink", tls=tls) as superlink:
        options = [f"--ca={other}"] if other else []
        with toy(superlink, tmp_path / "state", *options, "--give-up-after=2") as client:
            assert client.wait() == 1
    assert complaint.format(port=superlink.port) in client.output


def test_host_name_is_checked(tmp_path: Path) -> None:
    tls = make_tls_files(tmp_path / "tls")
    with SuperLink(tmp_path / "superlink", tls=tls) as superlink:
        superlink.address = f"127.0.0.2:{superlink.port}"
        from edge_client.client import ClientConfig, run_client

        # The SuperLink listens on 127.0.0.1 only, so reach it through a forwarder on another address.
        from tests.proxy import Forwarder

        with Forwarder("127.0.0.2", superlink.port) as forwarder:
            config = ClientConfig(f"127.0.0.2:{forwarder.port}", tmp_path / "state", ca_file=tls.ca)
            with pytest.raises(EdgeError, match="not valid for '127.0.0.2'"):
                run_client(config, lambda task: pytest.fail("a task came through"))


@pytest.mark.parametrize(
    ("version", "packages"),
    [
        ("3.9", ["numpy==1.23.*", "protobuf==4.25.*", "cryptography==42.*", "urllib3==2.2.*"]),
        ("3.13", ["numpy", "protobuf", "cryptography", "urllib3"]),
    ],
)
def test_oldest_and_newest_python(superlink: SuperLink, tmp_path: Path, version: str, packages: list[str]) -> None:
    """The client alone with the four packages it needs: the oldest that it admits, and the newest."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine: install it to test the client on it")
    subprocess.run([interpreter, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
    exchange = Exchange(superlink, tmp_path, rounds=2)
    with python_toy(python)(superlink, tmp_path / "state") as client:
        replies = exchange.wait()
    assert [reply.get("weights", {}).get("dense/bias") for reply in replies] == [[1.0], [2.0]], client.output
    assert "Warning" not in client.output
