"""The Java client as a program: its command line, small memories, full disks, bad lines, signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="needs Flower's SuperLink")

from device_profiles import load_profile
from tests.hostile_server import HostileServer
from tests.java_client import java_command, toy_command
from tests.proxy import Forwarder
from tests.superlink import Process, SuperLink, free_port, make_tls_files, until
from tests.toy_server import Exchange, Toy
from tests.transport_hostile_test import BIG, done, message, weights_received


@pytest.fixture(scope="module")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    with SuperLink(tmp_path_factory.mktemp("superlink")) as started:
        yield started


@pytest.fixture
def java_toy() -> Toy:
    """The toy client in Java."""
    return Toy(toy_command(), 137)


def _client(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*java_command(), *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "pocketfleet-client: no command; see pocketfleet-client --help"),
        (["fly"], 2, "unknown command fly"),
        (["run"], 2, "required: --server HOST:PORT, --state DIR, --data FILE"),
        (["run", "--sever", "h:1"], 2, "unknown argument --sever"),
        (["run", "--po", "1"], 2, "--po could be --poll-longest or --power-idle-w or --power-active-w"),
        (["run", "--server"], 2, "--server needs a value: --server HOST:PORT"),
        (["key", "--state", "{tmp}/s", "--format", "x509"], 2, "--format: x509 is not one of pem, ssh"),
        (["run", "--server=h", "--state={tmp}/s", "--data=d", "--bundle=b", "--insecure"], 1, "b: "),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--heartbeat=soon"], 2, "soon is not a number"),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--heartbeat=5"], 2, "10 to 1800"),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--ca={tmp}/none"], 2, "none: cannot be read: no such"),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d"], 2, "no bundle: give one with --bundle"),
        (
            ["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--bundle=b", "--power-idle-w=1"],
            2,
            "belong together",
        ),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--bundle=b", "--energy=rapl"], 2, "reads no sensor"),
        (["run", "--server=h:1", "--state={tmp}/s", "--data=d", "--bundle=b", "--cool-down-c=40"], 2, "no thermometer"),
        (["key", "--state", "/proc/none"], 1, "/proc/none: cannot be used as a state directory"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path: Path, arguments: list[str], code: int, complaint: str) -> None:
    answer = _client(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert answer.returncode == code, answer.stderr
    assert complaint in answer.stderr
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert not answer.stdout


@pytest.mark.parametrize("command", [[], ["run"], ["key"]])
def test_help_has_examples(command: list[str]) -> None:
    answer = _client(*command, "--help")
    assert answer.returncode == 0
    assert "examples:\n" in answer.stdout
    assert "pocketfleet-client key --state" in answer.stdout or "pocketfleet-client run --server" in answer.stdout


def test_options_are_the_python_clients() -> None:
    """The server starts either client with the same command line."""
    from edge_client.cli import _parser

    commands = next(action for action in _parser()._actions if action.dest == "command").choices
    assert isinstance(commands, dict)
    for command in ("run", "key"):
        text = _client(command, "--help").stdout
        for action in commands[command]._actions:
            assert not action.option_strings or action.option_strings[-1] in text, action.option_strings


def test_both_clients_know_each_others_keys(tmp_path: Path) -> None:
    from edge_client.transport.keys import ClientKey

    pem = _client("key", "--state", str(tmp_path)).stdout
    key = ClientKey.load_or_create(tmp_path / "key.pem")
    assert pem.encode() == key.public_pem
    assert _client("key", "--state", str(tmp_path), "--format", "ssh").stdout.strip() == key.public_ssh.decode()


@pytest.mark.parametrize(("how", "error"), [("--overflow", "StackOverflowError"), ("--exhaust", "OutOfMemoryError")])
def test_errors_of_the_machine_reach_the_server(
    java_toy: Toy, superlink: SuperLink, tmp_path: Path, how: str, error: str
) -> None:
    exchange = Exchange(superlink, tmp_path)
    with java_toy(superlink, tmp_path / "state", how) as client:
        (reply,) = exchange.wait()
        assert reply["error"].startswith(f"2 {error}: ")
        assert client.running()


def test_a_model_of_14_mb_in_a_heap_of_32(superlink: SuperLink, tmp_path: Path) -> None:
    """It is once in memory as it comes and once as it goes, and never in the heap as a whole."""
    command = toy_command()
    command[1:2] = ["-Xmx32m", "-XX:MaxDirectMemorySize=32m"]
    exchange = Exchange(superlink, tmp_path, rounds=3, sizes={"dense/kernel": 3_500_000})
    with Toy(command, 137)(superlink, tmp_path / "state"):
        replies = exchange.wait()
    assert [reply.get("weights") for reply in replies] == [{"dense/kernel": [n]} for n in (1.0, 2.0, 3.0)], replies


def test_a_disk_that_takes_no_large_file(superlink: SuperLink, tmp_path: Path) -> None:
    """Files of more than 1 MiB cannot be written: the server hears why, and small replies still go."""
    toy = Toy(["bash", "-c", 'ulimit -f 1024; exec "$@"', "bash", *toy_command()], 137)
    with toy(superlink, tmp_path / "state") as client:
        (reply,) = Exchange(superlink, tmp_path, sizes={"dense/kernel": 1_000_000}).wait()
        assert reply["error"].startswith("2 the reply cannot be kept on this device: ")
        assert "File too large" in reply["error"]
        (reply,) = Exchange(superlink, tmp_path).wait()
        assert "weights" in reply, reply
        assert client.running()
    assert not {"task", "reply", "reply.tmp"} & {file.name for file in (tmp_path / "state").iterdir()}
    assert '"problem":"the reply cannot be kept' in (tmp_path / "state" / "rounds.jsonl").read_text()


def test_a_second_signal_ends_it_at_once(java_toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    Exchange(superlink, tmp_path, poll_s=60.0)
    with java_toy(superlink, tmp_path / "state", "--leave-within=60") as client:
        until(lambda: "event=reply" in client.output, what="the reply")
        client.popen.send_signal(signal.SIGTERM)
        until(lambda: "event=leaving" in client.output, what="leaving")
        assert client.running()
        client.popen.send_signal(signal.SIGINT)
        assert client.wait(45) == 128 + signal.SIGINT


def test_signed_polls_without_work(java_toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    with java_toy(superlink, tmp_path / "state") as client:
        until(lambda: client.output.count("event=called call=pull-messages status=200") > 9, what="ten polls")
    assert "status=401" not in client.output


def test_resets_in_the_middle_of_bodies(java_toy: Toy, tmp_path: Path) -> None:
    """A line that resets each connection after at most 12 MB, with 16 MB to move each way."""
    with HostileServer(message(BIG)) as server, _line_to(server, cut_after=12_000_000) as line:
        process = _to(java_toy, line.address, tmp_path)
        try:
            until(lambda: done(server) and len(server.stored) == 9, within_s=90)
        finally:
            process.stop()
        assert line.cuts > 0
    assert np.array_equal(weights_received(server)["kernel"], BIG["kernel"] + 1)


def test_many_small_objects_over_a_long_line(java_toy: Toy, tmp_path: Path) -> None:
    """Both ways 81 objects with 40 ms to the server and back: one after another it would take seven seconds."""
    weights = {f"layer{number}": np.full(1000, number, np.float32) for number in range(40)}
    with HostileServer(message(weights)) as server, _line_to(server, delay_s=0.02) as line:
        process = _to(java_toy, line.address, tmp_path)
        try:
            until(lambda: "event=reply" in process.output)
        finally:
            process.stop()
    words = process.output.split()
    for key in ("download-s=", "upload-s="):
        assert float(next(word for word in words if word.startswith(key)).partition("=")[2]) < 2.5
    assert all(np.array_equal(weights_received(server)[name], array + 1) for name, array in weights.items())


def _line_to(server: HostileServer, *, delay_s: float = 0.0, cut_after: int = 0) -> Forwarder:
    return Forwarder("127.0.0.1", int(server.address.split(":")[1]), delay_s=delay_s, cut_after=cut_after)


def _to(toy: Toy, address: str, folder: Path) -> Process:
    options = [f"--server={address}", f"--state={folder / 'state'}", "--leave-within=0"]
    return Process([*toy.command, *options], folder / "client.log")


def test_a_pinned_key_instead_of_an_authority(java_toy: Toy, tmp_path: Path) -> None:
    import hashlib
    from base64 import b64encode

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    tls = make_tls_files(tmp_path / "tls")
    certificate = load_pem_x509_certificate(tls.certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    right = b64encode(hashlib.sha256(key).digest()).decode()
    with SuperLink(tmp_path / "superlink", tls=tls) as superlink:
        with java_toy(superlink, tmp_path / "state", f"--pin={right}") as client:
            until(lambda: "event=connected" in client.output, what="the connection")
        wrong = b64encode(hashlib.sha256(b"").digest()).decode()
        with java_toy(superlink, tmp_path / "other", f"--pin={wrong}") as client:
            assert client.wait() == 1
        assert f"its key is not a pinned one: {right}" in client.output


def test_the_server_that_is_not_there(digits_bundle: Path, tmp_path: Path) -> None:
    """The real program, from loading its model to giving up."""
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 8, 8, 1), np.uint8), y=np.arange(20) % 10)
    answer = _client(
        *("run", f"--server=127.0.0.1:{free_port()}", "--insecure", f"--bundle={digits_bundle}"),
        *(f"--data={tmp_path / 'd.npz'}", f"--state={tmp_path / 'state'}", "--give-up-after=1"),
    )
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("pocketfleet-client: cannot connect to 127.0.0.1:")
    assert last.endswith("; gave up after 1 s")
    assert os.listdir(tmp_path / "state")


def test_the_unknown_device_is_the_same_in_both_languages() -> None:
    source = (
        Path(__file__).resolve().parent.parent / "android_app/core/src/main/java/org/pocketfleet/energy/ModelMeter.java"
    )
    (figures,) = re.findall(r"generic\(\) \{\s+return new ModelMeter\(\s*([\d.]+), ([\d.]+)", source.read_text())
    power = load_profile("generic").power
    assert tuple(map(float, figures)) == (power.idle_w, power.busy_w_per_core)
