"""A client against a server or a line that misbehaves, without Flower."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from google.protobuf.message import Message

from edge_client.client import serve
from edge_client.errors import RefusedError, SettingsError, UnreachableError
from edge_client.polling import AdaptivePoll
from edge_client.records import Reply, Task
from edge_client.state import StateDirectory
from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.arrays import encode_array
from edge_client.transport.clock import ServerClock
from edge_client.transport.connection import Connection, Security
from edge_client.transport.fleet import FleetTransport
from edge_client.transport.keys import ClientKey
from edge_client.transport.objects import StoredObject
from edge_client.transport.session import Session
from tests.hostile_server import HostileServer
from tests.proxy import Forwarder
from tests.superlink import free_port, until


def by_name(kind: str, items: dict[str, StoredObject]) -> StoredObject:
    names = {name: item.object_id for name, item in items.items()}
    return StoredObject(kind, list(items.values()), (json.dumps(names).encode(),))


def message(weights: dict[str, np.ndarray]) -> StoredObject:
    arrays = by_name("ArrayRecord", {name: encode_array(array) for name, array in weights.items()})
    return StoredObject("Message", [by_name("RecordDict", {"arrays": arrays})], (b"",))


WEIGHTS = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "dense/bias": np.ones(3, np.float32)}
BIG = {"kernel": np.random.default_rng(0).standard_normal(4_000_000).astype(np.float32)}


def plus_one(task: Task) -> Reply:
    return Reply(metrics={"num-examples": 1}, arrays={name: array + 1 for name, array in task.arrays.items()})


@contextmanager
def client(
    address: str,
    state_path: Path,
    handler: Callable[[Task], Reply] = plus_one,
    *,
    max_message_bytes: int = 1 << 30,
    timeout_s: float = 5.0,
    give_up_after_s: Optional[float] = 60.0,
) -> Iterator[threading.Thread]:
    """Run a client in a thread."""
    stop = threading.Event()
    state = StateDirectory(state_path)
    key, clock = ClientKey.load_or_create(state.key_file), ServerClock()
    connection = Connection(address, key, clock, security=Security(insecure=True), timeout_s=timeout_s)
    session = Session(connection, key, state, heartbeat_s=60, give_up_after_s=give_up_after_s, stop=stop)
    transport = FleetTransport(session, state, clock, max_message_bytes=max_message_bytes, leave_within_s=0)
    thread = threading.Thread(target=serve, args=(transport, handler, AdaptivePoll(0.01, 0.02), stop))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(60)
        state.close()


def weights_received(server: HostileServer) -> dict[str, np.ndarray]:
    """Decode what a client stored, as a server would."""
    from edge_client.transport.messages import decode_task

    root = next(m for m in server.announced if not m.HasField("error")).metadata
    task, _ = decode_task(root, lambda ids, at_once: iter([server.stored[i] for i in ids]), max_bytes=1 << 30)
    return task.arrays


def done(server: HostileServer) -> bool:
    return bool(server.announced) and server.announced[-1].metadata.message_id in server.stored


def test_the_server_itself_is_fine(tmp_path: Path) -> None:
    with HostileServer(message(WEIGHTS)) as server, client(server.address, tmp_path):
        until(lambda: done(server))
    assert all(np.array_equal(weights_received(server)[name], array + 1) for name, array in WEIGHTS.items())


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (flip, "do not have this hash"),
        (lambda content: content[:-1], "do not have this hash"),
        (lambda content: b"", "do not have this hash"),
        (lambda content: None, "does not have object"),
    ],
    ids=["altered", "truncated", "empty", "missing"],
)
@pytest.mark.parametrize("which", [0, 1, 2, 3, 4, 5])
def test_spoilt_objects_are_answered_with_an_error(
    tmp_path: Path, spoil: Callable[[bytes], Optional[bytes]], complaint: str, which: int
) -> None:
    with HostileServer(message(WEIGHTS)) as server:
        victim = list(server.objects)[which]
        spoilt = spoil(server.objects.pop(victim))
        if spoilt is not None:
            server.objects[victim] = spoilt
        handled: list[Task] = []

        def handler(task: Task) -> Reply:
            handled.append(task)
            return plus_one(task)

        with client(server.address, tmp_path, handler):
            until(lambda: done(server))
        assert complaint in server.announced[0].error.reason
        assert not handled
    assert not {"task", "reply"} & {file.name for file in tmp_path.iterdir()}


def test_a_message_too_large_is_answered_with_an_error(tmp_path: Path) -> None:
    with HostileServer(message(BIG)) as server:
        with client(server.address, tmp_path, max_message_bytes=1 << 20):
            until(lambda: done(server))
            assert server.calls.count("pull-object") == 4, "none of the chunks"
        assert "more than the 1048576 still acceptable" in server.announced[0].error.reason


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff",
        b"x" * (1 << 27),
        (500, b""),
        (500, b"[" * 4000),
        (404, b"\xff"),
        (403, b'{"code": true}'),
        (302, b""),
    ],
    ids=["not protobuf", "endless", "500", "500 with odd JSON", "404", "403 with odd JSON", "redirect"],
)
@pytest.mark.parametrize("call", ["pull-object", "push-messages", "push-object", "confirm-message-received"])
def test_garbage_in_one_answer_never_ends_the_client(tmp_path: Path, call: str, garbage: object) -> None:
    """It goes on to the next message; what was spoilt is answered with an error or dropped with a line."""
    spoilt = threading.Event()

    def answer(name: str, request: Message) -> object:
        if name == call and not spoilt.is_set():
            spoilt.set()
            return garbage
        return NotImplemented

    with HostileServer(message(WEIGHTS), answer) as server, client(server.address, tmp_path) as thread:
        until(spoilt.is_set)
        until(lambda: server.calls[-1] == "pull-messages", what="asking for more")
        server.stored.clear()
        server.announced.clear()
        server.redeliver()
        until(lambda: done(server))
        assert thread.is_alive()
        assert not server.announced[-1].HasField("error")


def test_garbage_instead_of_messages(tmp_path: Path) -> None:
    count = 0

    def answer(name: str, request: Message) -> object:
        nonlocal count
        if name == "pull-messages" and count < 3:
            count += 1
            return b"\xff\xff"
        return NotImplemented

    with HostileServer(message(WEIGHTS), answer) as server, client(server.address, tmp_path):
        until(lambda: done(server))


def test_connections_dropped_at_every_call(tmp_path: Path) -> None:
    """Every second answer is lost, after the server acted on the request."""
    dropped: dict[str, int] = {}

    def answer(name: str, request: Message) -> object:
        if name == "pull-messages":
            return NotImplemented  # What is lost with it is lost: the server counts it as delivered.
        dropped[name] = dropped.get(name, 0) + 1
        if dropped[name] % 2:
            server._default(name, request)
            return None
        return NotImplemented

    with HostileServer(message(BIG), answer) as server, client(server.address, tmp_path):
        until(lambda: done(server) and len(server.stored) == 9, within_s=60)
        until(lambda: not (tmp_path / "reply").exists())
    assert np.array_equal(weights_received(server)["kernel"], BIG["kernel"] + 1)


def test_resets_in_the_middle_of_bodies(tmp_path: Path) -> None:
    """A line that resets each connection after at most 3 MB, with 16 MB to move each way."""
    with HostileServer(message(BIG)) as server:
        _, port = server.address.split(":")
        with Forwarder("127.0.0.1", int(port), cut_after=0) as line:
            with client(line.address, tmp_path):
                until(lambda: done(server), within_s=60)
            server.redeliver()
            server.stored.clear()
            server.announced.clear()
            line.cut_after = 12_000_000
            with client(line.address, tmp_path):
                until(lambda: done(server), within_s=120)
            assert line.cuts > 0
    assert np.array_equal(weights_received(server)["kernel"], BIG["kernel"] + 1)


def test_many_small_objects_over_a_long_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both ways 81 objects with 40 ms to the server and back: one after another it would take seven seconds."""
    weights = {f"layer{number}": np.full(1000, number, np.float32) for number in range(40)}
    caplog.set_level(logging.INFO, "pocketfleet.client")
    with (
        HostileServer(message(weights)) as server,
        Forwarder("127.0.0.1", int(server.address.split(":")[1]), delay_s=0.02) as line,
        client(line.address, tmp_path),
    ):
        until(lambda: "event=reply" in caplog.text, within_s=120)
    assert line.at_once["/v1/fleet/pull-object"] > 3
    assert line.at_once["/v1/fleet/push-object"] > 3
    assert all(np.array_equal(weights_received(server)[name], array + 1) for name, array in weights.items())


def test_a_reply_is_freed_before_it_is_sent(tmp_path: Path) -> None:
    """Not by the garbage collector, which may come much later: a model is the largest thing on a small board."""
    kept: list[weakref.ref[np.ndarray]] = []
    alive_when_sent: list[bool] = []

    def handler(task: Task) -> Reply:
        reply = plus_one(task)
        kept.extend(weakref.ref(array) for array in [*task.arrays.values(), *(reply.arrays or {}).values()])
        return reply

    def answer(name: str, request: Message) -> object:
        if name == "push-messages":
            alive_when_sent.extend(reference() is not None for reference in kept)
        return NotImplemented

    gc.disable()
    try:
        with HostileServer(message(WEIGHTS), answer) as server, client(server.address, tmp_path, handler):
            until(lambda: done(server))
    finally:
        gc.enable()
    assert alive_when_sent == [False] * 4


@pytest.mark.parametrize(
    "reply",
    [
        Reply(metrics={"num-examples": 2**80}),
        Reply(metrics={"loss": "low"}),  # type: ignore[dict-item]
        Reply(metrics={}, arrays={"w": np.array([None])}),
        Reply(metrics={}, arrays={"w": np.zeros(2, np.complex64)}),
    ],
    ids=["huge number", "text", "objects", "complex"],
)
def test_a_reply_that_cannot_travel_is_an_error_to_the_server(tmp_path: Path, reply: Reply) -> None:
    with HostileServer(message(WEIGHTS)) as server, client(server.address, tmp_path, lambda task: reply):
        until(lambda: done(server))
    assert server.announced[0].error.reason.startswith("the reply cannot be sent: ")


def test_a_server_that_falls_silent(tmp_path: Path) -> None:
    silent = threading.Event()

    def answer(name: str, request: Message) -> object:
        if name == "push-messages" and not silent.is_set():
            silent.set()
            time.sleep(1.5)
        return NotImplemented

    with HostileServer(message(WEIGHTS), answer) as server, client(server.address, tmp_path, timeout_s=0.5):
        until(lambda: done(server))


def test_leaving_while_the_server_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pocketfleet.client"):
        with client(f"127.0.0.1:{free_port()}", tmp_path, give_up_after_s=None) as thread:
            until(lambda: "event=unreachable" in caplog.text)
        assert not thread.is_alive()
    assert "event=left" in caplog.text


def connect(address: str, tmp_path: Path, security: Security) -> None:
    key = ClientKey.load_or_create(tmp_path / "key.pem")
    Connection(address, key, ServerClock(), security=security, timeout_s=2).call(
        "activate-node", pb.ActivateNodeRequest(), pb.ActivateNodeResponse
    )


def test_tls_towards_a_plain_port(tmp_path: Path) -> None:
    with HostileServer(message(WEIGHTS)) as server, pytest.raises(SettingsError, match="does not speak TLS"):
        connect(server.address, tmp_path, Security())


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot connect to .*: Connection refused"):
        connect(f"127.0.0.1:{free_port()}", tmp_path, Security(insecure=True))


def test_a_refusal_says_why(tmp_path: Path) -> None:
    def answer(name: str, request: Message) -> object:
        return 412, json.dumps({"code": 2004, "detail": "Failed to activate SuperNode."}).encode()

    with (
        HostileServer(message(WEIGHTS), answer) as server,
        pytest.raises(RefusedError, match="Failed to activate") as seen,
    ):
        connect(server.address, tmp_path, Security(insecure=True))
    assert (seen.value.status, seen.value.code) == (412, 2004)
