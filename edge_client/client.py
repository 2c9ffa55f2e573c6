"""The long-lived client: ask for work, do it, send the answer, until told to leave."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Callable, Optional, Union

from edge_client.errors import SettingsError
from edge_client.polling import AdaptivePoll
from edge_client.records import Reply, Task
from edge_client.state import StateDirectory
from edge_client.transport.api import LeavingError, OnPhase, Transport, no_phases
from edge_client.transport.clock import ServerClock
from edge_client.transport.connection import Connection, Security
from edge_client.transport.fleet import FleetTransport
from edge_client.transport.keys import ClientKey
from edge_client.transport.session import Session

__all__ = ["ClientConfig", "Handler", "run_client", "serve"]

_log = logging.getLogger("pocketfleet.client")

Handler = Callable[[Task], Reply]
"""Does what a task asks. What it raises is told to the server."""


@dataclass(frozen=True)
class ClientConfig:
    """Where a client works for whom.

    Attributes
    ----------
    server
        ``HOST:PORT`` of the SuperLink.
    state
        The client's state directory; no two clients may share one.
    ca_file
        PEM file of the authorities that may vouch for the server; None: those the system trusts.
    insecure
        Plain HTTP instead of TLS.
    heartbeat_s
        The server counts the client as gone after twice as long without a sign of life; 10 to 1800.
    give_up_after_s
        How long to go on trying while the server does not answer; None: for ever.
    poll_shortest_s, poll_longest_s
        Limits of the wait between two questions for work.
    leave_within_s
        When leaving, how long to wait for the server to look at the last reply.
    max_message_bytes
        Most bytes of arrays to accept in one message.
    local_time
        The device's clock, in seconds since the epoch.
    """

    server: str
    state: Union[str, Path]
    ca_file: Optional[Path] = None
    insecure: bool = False
    heartbeat_s: float = 60.0
    give_up_after_s: Optional[float] = 600.0
    poll_shortest_s: float = 0.05
    poll_longest_s: float = 5.0
    leave_within_s: float = 15.0
    max_message_bytes: int = 1 << 30
    local_time: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if not 10 <= self.heartbeat_s <= 1800:
            raise SettingsError(f"heartbeat interval of {self.heartbeat_s} s: the server accepts 10 to 1800")
        if not 0 < self.poll_shortest_s <= self.poll_longest_s:
            raise SettingsError("the shortest wait between polls has to be positive and at most the longest")
        if self.insecure and self.ca_file is not None:
            raise SettingsError("insecure means no TLS, so a file of authorities makes no sense with it")


class _AbandonError(BaseException):
    """Raised by a signal inside the handler, to be caught only by the loop."""


def run_client(config: ClientConfig, handler: Handler, *, on_phase: OnPhase = no_phases) -> None:
    """Serve one server until SIGTERM or SIGINT.

    Call it in the main thread, which receives the signals. On a signal the client finishes sending, if it is sending;
    a task it is working on stays in the state directory, and the next start takes it up.

    Parameters
    ----------
    config
        Where and how.
    handler
        Does the work.
    on_phase
        Is told when a download, an upload and waiting begin.

    Raises
    ------
    edge_client.errors.EdgeError
        Wrong settings, a state directory in use, a server that refuses or stays away.
    """
    stop = threading.Event()
    clock = ServerClock(config.local_time)
    with StateDirectory(config.state) as state:
        key = ClientKey.load_or_create(state.key_file)
        connection = Connection(config.server, key, clock, security=Security(config.ca_file, config.insecure))
        session = Session(
            connection,
            key,
            state,
            heartbeat_s=config.heartbeat_s,
            give_up_after_s=config.give_up_after_s,
            stop=stop,
        )
        transport = FleetTransport(
            session,
            state,
            clock,
            max_message_bytes=config.max_message_bytes,
            leave_within_s=config.leave_within_s,
            on_phase=on_phase,
        )
        serve(transport, handler, AdaptivePoll(config.poll_shortest_s, config.poll_longest_s), stop)


def serve(transport: Transport, handler: Handler, poll: AdaptivePoll, stop: threading.Event) -> None:
    """Answer a transport's tasks until `stop` is set or a signal comes."""
    working = threading.Event()
    try:
        with _signals(stop, working):
            try:
                transport.connect()
                transport.send()
                while not stop.is_set():
                    if _one_task(transport, handler, working):
                        transport.send()
                        poll.active()
                    else:
                        stop.wait(poll.wait_s())
            except (LeavingError, _AbandonError):
                pass
    finally:
        stop.set()
        transport.close()
        _log.info("event=left")


def _one_task(transport: Transport, handler: Handler, working: threading.Event) -> bool:
    """Take a task, if there is one, and make its reply safe; task and reply are out of memory when this returns."""
    envelope = transport.pull()
    if envelope is None:
        return False
    task = envelope.task
    envelope = replace(envelope, task=Task(task.kind, config=task.config))
    answer: Union[Reply, str]
    working.set()
    try:
        answer = handler(task)
    except Exception as error:
        _log.error("event=task-failed kind=%s", task.kind, exc_info=True)
        answer = f"{type(error).__name__}: {error}"
    finally:
        working.clear()
    del task
    transport.save(envelope, answer)
    return True


@contextmanager
def _signals(stop: threading.Event, working: threading.Event) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `stop`, and cut a running task short; a second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Optional[FrameType]) -> None:
        which = signal.Signals(number)
        _log.info("event=leaving signal=%s", which.name)
        signal.signal(which, before[which])
        stop.set()
        if working.is_set():
            raise _AbandonError

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
