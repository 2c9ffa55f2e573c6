"""Clients in threads, speaking the real protocol to a real SuperLink, that do whatever a test wants of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from edge_client.client import serve
from edge_client.polling import AdaptivePoll
from edge_client.records import QUERY, Reply, Scalar, Task
from edge_client.state import StateDirectory
from edge_client.transport.api import LeavingError
from edge_client.transport.clock import ServerClock
from edge_client.transport.connection import Connection, Security
from edge_client.transport.fleet import FleetTransport
from edge_client.transport.keys import ClientKey
from edge_client.transport.session import Session

Behaviour = Callable[[Task], Reply]


@contextlib.contextmanager
def client(
    server: str, state: Path, handler: Behaviour, *, ca_file: Optional[Path] = None, uploads: bool = True
) -> Iterator[None]:
    """Run one client in a thread while in the block; without ``uploads`` it announces replies and sends none."""
    stop = threading.Event()
    thread = threading.Thread(target=_serve, args=(server, state, handler, ca_file, stop, uploads), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def public_key(state: Path) -> bytes:
    """Return the public key of the client with this state directory."""
    with StateDirectory(state) as directory:
        return ClientKey.load_or_create(directory.key_file).public_pem


def named(name: str, behaviour: Behaviour, facts: Optional[Mapping[str, Scalar]] = None) -> Behaviour:
    """Answer queries with facts, and everything else as ``behaviour`` does."""

    def handle(task: Task) -> Reply:
        if task.kind == QUERY:
            info: dict[str, Scalar] = {"name": name, "processor": "cpu", "num-examples": 10, **(facts or {})}
            return Reply(metrics={"num-examples": int(info["num-examples"])}, info=info)
        return behaviour(task)

    return handle


class DyingSession(Session):
    """Goes away for good where it should upload the first object."""

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "push-object":
            self._stop.wait()
            raise LeavingError
        return super().call(name, *arguments, **options)


def _serve(
    server: str, state: Path, handler: Behaviour, ca_file: Optional[Path], stop: threading.Event, uploads: bool
) -> None:
    with StateDirectory(state) as directory:
        clock, key = ServerClock(), ClientKey.load_or_create(directory.key_file)
        connection = Connection(server, key, clock, security=Security(ca_file, insecure=ca_file is None))
        kind = Session if uploads else DyingSession
        session = kind(connection, key, directory, heartbeat_s=30, give_up_after_s=60, stop=stop)
        transport = FleetTransport(session, directory, clock, max_message_bytes=1 << 30, leave_within_s=1)
        serve(transport, handler, AdaptivePoll(0.02, 0.5), stop)
