"""Fetch replies from the SuperLink, object by object, without ever waiting for an object that is not there yet.

Flower's own `Grid.pull_messages` waits up to 180 s for an object whose sender died between announcing and uploading it.
Here a thread that meets a missing object puts the reply back, to be tried again at the next poll.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Optional

from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.superlink.grid import HttpGrid

from edge_client.records import ARRAYS, DEVICE, INFO, METRICS, Arrays, decode_arrays
from python_server.tasks import Answer

__all__ = ["Answer", "Fetcher", "Incoming", "withdraw"]

_THREADS = 2


@dataclass
class Incoming:
    """A reply on its way from the SuperLink to us."""

    node_id: int
    message_id: str
    object_ids: list[str]
    replied_after_s: float
    contents: dict[str, bytes] = field(default_factory=dict)
    bytes: int = 0


class Fetcher:
    """A few threads that fetch replies; no more than a few are in memory at once.

    Parameters
    ----------
    grid
        Flower's grid of the run.
    start
        Monotonic time that the answers' times count from.
    limit
        Replies of more bytes are refused before they fill the memory.
    """

    def __init__(self, grid: HttpGrid, start: float, limit: int) -> None:
        self._grid = grid
        self._start = start
        self._limit = limit
        self._done: queue.Queue[tuple[Incoming, Optional[Answer]]] = queue.Queue(maxsize=1)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")
        self.pending = 0

    def submit(self, incoming: Iterable[Incoming]) -> None:
        """Begin to fetch."""
        for item in incoming:
            self._pool.submit(self._work, item)
            self.pending += 1

    def results(self, until: Optional[float]) -> Iterator[tuple[Incoming, Optional[Answer]]]:
        """Yield what is done by the monotonic time ``until`` (None: all); no answer means "not all there yet"."""
        while self.pending:
            timeout = None if until is None else until - time.monotonic()
            if timeout is not None and timeout <= 0:
                return
            try:
                result = self._done.get(timeout=timeout)
            except queue.Empty:
                return
            self.pending -= 1
            yield result

    def close(self) -> None:
        """Let go of what is not fetched yet."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while True:  # a thread that waits to hand over must not wait for ever
            try:
                self._done.get(timeout=0.001)
            except queue.Empty:
                if not any(thread.is_alive() for thread in self._pool._threads):
                    return

    def _work(self, incoming: Incoming) -> None:
        self._done.put((incoming, self._fetch(incoming)))

    def _fetch(self, incoming: Incoming) -> Optional[Answer]:
        """Fetch what is still missing of a reply; None if some of it is not there yet."""
        try:
            for object_id in incoming.object_ids:
                if object_id in incoming.contents:
                    continue
                answer = self._grid._runtime_client.PullObject(
                    PullObjectRequest(node=self._grid.node, run_id=self._grid.run.run_id, object_id=object_id)
                )
                if not answer.object_found:
                    return Answer(incoming.node_id, "its upload broke off")
                if not answer.object_available:
                    return None
                incoming.contents[object_id] = answer.object_content
                incoming.bytes += len(answer.object_content)
                if incoming.bytes > self._limit:
                    withdraw(self._grid, incoming.message_id)
                    return Answer(incoming.node_id, f"its answer has more than the {self._limit} bytes allowed")
            withdraw(self._grid, incoming.message_id)
            return _read(incoming, time.monotonic() - self._start)
        except Exception as error:  # whatever is wrong with one reply must not stop the others
            return Answer(incoming.node_id, f"its answer could not be read: {error}")


def withdraw(grid: HttpGrid, message_id: str) -> None:
    """Delete a message's objects from the SuperLink: it was read, or nobody shall read it any more."""
    grid._runtime_client.ConfirmMessageReceived(
        ConfirmMessageReceivedRequest(node=grid.node, run_id=grid.run.run_id, message_object_id=message_id)
    )


def _read(incoming: Incoming, read_after_s: float) -> Answer:
    message = inflate_object_from_contents(incoming.message_id, incoming.contents)
    if message.has_error():
        return Answer(incoming.node_id, message.error.reason or f"error {message.error.code}")
    content = message.content
    arrays: Optional[Arrays] = None
    if ARRAYS in content.array_records:
        record = content.array_records[ARRAYS]
        arrays, _ = decode_arrays({name: array.numpy() for name, array in record.items()})
    records = content.config_records
    info = {key: value for name in (DEVICE, INFO) if name in records for key, value in records[name].items()}
    metrics = dict(content.metric_records[METRICS]) if METRICS in content.metric_records else {}
    return Answer(
        incoming.node_id,
        metrics=metrics,
        info=info,
        arrays=arrays,
        replied_after_s=incoming.replied_after_s,
        read_after_s=read_after_s,
        bytes=incoming.bytes,
    )
