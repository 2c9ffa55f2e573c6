"""A Flower ServerApp, as source, that exchanges messages and writes down what came back (`SuperLink.run`)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from tests.superlink import Process, SuperLink, until

__all__ = ["Exchange", "Toy", "handled", "python_toy"]

_SERVER_APP = """
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    lines = Path(settings["result"]).open("a", buffering=1)
    deadline = time.time() + 60
    while len(nodes := sorted(grid.get_node_ids())) < settings["nodes"]:
        assert time.time() < deadline, "no nodes"
        time.sleep(0.1)
    weights = {name: np.zeros(int(size), np.float32) for name, size in json.loads(settings["sizes"]).items()}
    for number in range(1, settings["rounds"] + 1):
        content = RecordDict({
            "arrays": ArrayRecord({name: Array(array) for name, array in weights.items()}),
            "config": ConfigRecord({"server-round": number}),
        })
        waiting = set(grid.push_messages([Message(content, node, "train") for node in nodes]))
        lines.write(json.dumps({"sent": number}) + "\\n")
        deadline = time.time() + settings["patience"]
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                line = {"round": number, "node": str(reply.metadata.src_node_id)}
                if reply.has_error():
                    line["error"] = f"{reply.error.code} {reply.error.reason}"
                else:
                    weights = {name: array.numpy() for name, array in reply.content["arrays"].items()}
                    line["weights"] = {name: sorted(set(array.tolist())) for name, array in weights.items()}
                    line["metrics"] = dict(reply.content["metrics"])
                lines.write(json.dumps(line) + "\\n")
            if time.time() > deadline:
                lines.write(json.dumps({"round": number, "error": "nobody answered"}) + "\\n")
                return
            time.sleep(settings["poll"])
"""


class Exchange:
    """A run that sends `rounds` train messages to each of `nodes` nodes and keeps what they answer.

    A client that adds one to the weights makes them equal to the round's number.
    """

    def __init__(
        self,
        superlink: SuperLink,
        folder: Path,
        *,
        nodes: int = 1,
        rounds: int = 1,
        sizes: Optional[dict[str, int]] = None,
        patience_s: float = 60.0,
        poll_s: float = 0.1,
    ) -> None:
        self._result = folder / f"result-{time.time_ns()}.jsonl"
        self._result.touch()
        self._superlink = superlink
        self._rounds = rounds
        self._nodes = nodes
        self.run = superlink.run(
            _SERVER_APP,
            config={
                "nodes": nodes,
                "rounds": rounds,
                "sizes": json.dumps(sizes or {"dense/kernel": 12, "dense/bias": 4}),
                "patience": patience_s,
                "poll": poll_s,
                "result": str(self._result),
            },
        )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._result.read_text().splitlines()]

    def replies(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "round" in line]

    def wait_sent(self, number: int = 1) -> None:
        """Wait until a round's messages are out."""
        until(lambda: {"sent": number} in self.lines(), within_s=60, what=f"round {number}")

    def wait(self, within_s: float = 90.0) -> list[dict[str, Any]]:
        """Wait for all answers and return them."""
        until(lambda: len(self.replies()) >= self._rounds * self._nodes, within_s=within_s, what="the last reply")
        return self.replies()


@dataclass(frozen=True)
class Toy:
    """A client that adds one to every weight (`tests.toy_client`), in one of the languages.

    Attributes
    ----------
    command
        What starts it, before its options.
    crashed
        Its exit code when it was told to crash.
    """

    command: Sequence[str]
    crashed: int

    @contextmanager
    def __call__(self, superlink: SuperLink, state: Path, *options: str) -> Iterator[Process]:
        """Run it; it leaves when the block ends."""
        process = Process(
            [*self.command, f"--server={superlink.address}", f"--state={state}", *options],
            state.with_name(f"{state.name}.log"),
        )
        try:
            yield process
        finally:
            process.stop()


def python_toy(python: str = sys.executable) -> Toy:
    """Return the toy of the Python client."""
    return Toy([python, "-m", "tests.toy_client"], -9)


def handled(state: Path) -> Sequence[str]:
    """What a toy client worked on, one entry a time."""
    file = state / "handled"
    return file.read_text().splitlines() if file.exists() else []
