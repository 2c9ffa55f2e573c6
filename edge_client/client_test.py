from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional, Union

import pytest

from edge_client.client import ClientConfig, serve
from edge_client.errors import SettingsError, UnreachableError
from edge_client.polling import AdaptivePoll
from edge_client.records import Reply, Task
from edge_client.transport.api import Envelope, LeavingError

DONE = Reply(metrics={"num-examples": 1})


class Line:
    """A transport that hands out tasks and, when it has no more, does what the test wants."""

    def __init__(self, tasks: int, then: Callable[[], None]) -> None:
        self._tasks = iter(range(1, tasks + 1))
        self._then = then
        self.events: list[object] = []

    def connect(self) -> None:
        self.events.append("connect")

    def pull(self) -> Optional[Envelope]:
        number = next(self._tasks, None)
        if number is None:
            self._then()
            return None
        return Envelope(Task("train", config={"server-round": number}), None, False, 0.0, 0)

    def save(self, envelope: Envelope, answer: Union[Reply, str]) -> None:
        self.events.append((envelope.round_number, answer))

    def send(self) -> None:
        self.events.append("send")

    def close(self) -> None:
        self.events.append("close")


@pytest.fixture
def handlers() -> Iterator[None]:
    """The process's own signal handlers, there again afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def run(line: Line, handler: Callable[[Task], Reply], stop: threading.Event) -> None:
    serve(line, handler, AdaptivePoll(0.001, 0.01), stop)


@pytest.mark.usefixtures("handlers")
def test_tasks_are_answered_until_told_to_stop() -> None:
    stop = threading.Event()
    line = Line(2, stop.set)
    run(line, lambda task: DONE, stop)
    assert line.events == ["connect", "send", (1, DONE), "send", (2, DONE), "send", "close"]


@pytest.mark.usefixtures("handlers")
def test_what_the_handler_raises_is_told_and_the_client_goes_on() -> None:
    stop = threading.Event()
    line = Line(2, stop.set)

    def handler(task: Task) -> Reply:
        if task.config["server-round"] == 1:
            raise KeyError("conv1/kernel")
        return DONE

    run(line, handler, stop)
    assert line.events == ["connect", "send", (1, "KeyError: 'conv1/kernel'"), "send", (2, DONE), "send", "close"]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cuts_a_task_short_and_sends_nothing(number: signal.Signals) -> None:
    line = Line(1, lambda: None)

    def handler(task: Task) -> Reply:
        os.kill(os.getpid(), number)
        raise AssertionError("worked on")

    run(line, handler, threading.Event())
    assert line.events == ["connect", "send", "close"]


@pytest.mark.usefixtures("handlers")
def test_a_signal_while_waiting_ends_the_client() -> None:
    line = Line(0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    run(line, lambda task: DONE, threading.Event())
    assert line.events == ["connect", "send", "close"]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("error", [UnreachableError("gone"), LeavingError()])
def test_the_line_is_closed_whatever_happens(error: Exception) -> None:
    def fail() -> None:
        raise error

    line = Line(1, fail)
    if isinstance(error, LeavingError):
        run(line, lambda task: DONE, threading.Event())
    else:
        with pytest.raises(UnreachableError):
            run(line, lambda task: DONE, threading.Event())
    assert line.events[-1] == "close"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"heartbeat_s": 5.0}, "10 to 1800"),
        ({"poll_shortest_s": 9.0}, "shortest wait"),
        ({"insecure": True, "ca_file": Path("ca.pem")}, "no TLS"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        ClientConfig("host:1", "state", **settings)  # type: ignore[arg-type]
