"""A client whose training adds one to every weight, for tests: ``python -m tests.toy_client --help``.

It writes a line to ``handled`` in its state directory for each task it works on, and can kill itself at the very
moments at which a crash hurts most.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_client.client import ClientConfig, run_client
from edge_client.errors import EdgeError
from edge_client.records import Reply, Task
from edge_client.state import StateDirectory
from edge_client.transport.connection import Connection

_Result = TypeVar("_Result")

CRASHES = {
    "task-saved": (StateDirectory, "save_task", ""),
    "arrays-pulled": (Connection, "call", "pull-object"),
    "training": (None, "", ""),
    "reply-saved": (StateDirectory, "save_reply", ""),
    "confirmed": (Connection, "call", "confirm-message-received"),
    "announced": (Connection, "call", "push-messages"),
    "half-sent": (Connection, "call", "push-object"),
    "forgotten": (StateDirectory, "forget_reply", ""),
}
"""Where ``--crash`` can strike: right after which method, and for calls, which call."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crash_after(owner: type, method: str, call: str) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    def crashing(self: object, *args: object, **kwargs: object) -> object:
        result = original(self, *args, **kwargs)
        if not call or args[0] == call:
            _die()
        return result

    setattr(owner, method, crashing)


def _sleep(seconds: float, *, until: Path) -> None:
    """Sleep, or less if the test makes a file."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until.exists():
        time.sleep(min(0.05, seconds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--crash", choices=sorted(CRASHES))
    parser.add_argument("--train-s", type=float, default=0.0, help="or until there is a file finish in the state")
    parser.add_argument("--clock-offset", type=float, default=0.0)
    parser.add_argument("--leave-within", type=float, default=15.0)
    parser.add_argument("--give-up-after", type=float, default=60.0)
    parser.add_argument("--heartbeat", type=float, default=60.0)
    parser.add_argument("--poll-longest", type=float, default=5.0)
    parser.add_argument("--fail", action="store_true", help="raise while training")
    options = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    if options.crash and CRASHES[options.crash][0]:
        owner, method, call = CRASHES[options.crash]
        assert owner is not None
        _crash_after(owner, method, call)

    def handle(task: Task) -> Reply:
        with (options.state / "handled").open("a") as file:
            file.write(f"{task.kind} {task.config.get('server-round', 0)!r}\n")
        if options.crash == "training":
            _die()
        if options.fail:
            raise RuntimeError("the dog ate the gradients")
        _sleep(options.train_s, until=options.state / "finish")
        metrics: dict[str, float] = {"num-examples": 10, "pid": os.getpid()}
        if task.kind == "train":
            return Reply(metrics=metrics, arrays={name: array + 1 for name, array in task.arrays.items()})
        return Reply(metrics=metrics, info={"name": "toy"})

    config = ClientConfig(
        server=options.server,
        state=options.state,
        ca_file=options.ca,
        insecure=options.ca is None,
        give_up_after_s=options.give_up_after,
        leave_within_s=options.leave_within,
        heartbeat_s=options.heartbeat,
        poll_longest_s=options.poll_longest,
        local_time=lambda: time.time() + options.clock_offset,
    )
    try:
        run_client(config, handle)
    except EdgeError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
