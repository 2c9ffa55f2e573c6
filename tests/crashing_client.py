"""The real client, which kills itself once at a moment of the test's choosing: ``python -m tests.crashing_client``.

    python -m tests.crashing_client training 2 run --server ...

``training`` is in the middle of local training, ``announced`` is between announcing a reply and uploading it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from edge_client.cli import main
from edge_client.records import SERVER_ROUND, Reply, Task
from edge_client.trainer import Trainer
from edge_client.transport.connection import Connection
from edge_client.worker import Worker

_STEPS_BEFORE = 5


def _crash(where: str, number: int) -> None:
    now = {"round": 0, "steps": 0}
    handle, train_step, call = Worker.handle, Trainer.train_step, Connection.call

    def handling(self: Worker, task: Task) -> Reply:
        now["round"] = int(task.config.get(SERVER_ROUND, 0))
        return handle(self, task)

    def stepping(self: Trainer, *arguments: Any, **options: Any) -> float:
        now["steps"] += now["round"] == number
        if now["steps"] > _STEPS_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(self, *arguments, **options)

    def calling(self: Connection, name: str, *arguments: Any, **options: Any) -> Any:
        answer = call(self, name, *arguments, **options)
        if name == "push-messages" and now["round"] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Worker.handle = handling  # type: ignore[method-assign]
    if where == "training":
        Trainer.train_step = stepping  # type: ignore[method-assign]
    else:
        Connection.call = calling  # type: ignore[method-assign]


if __name__ == "__main__":
    _crash(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
