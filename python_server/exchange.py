"""Send tasks to nodes and collect their answers, with a deadline that nothing can stretch.

Flower's own `Grid.send_and_receive` polls every 3 s, and waits for all or for its timeout. Here

* replies are polled for every few tens of milliseconds, less often the longer nothing happens;
* answers come out as they arrive (see `python_server.fetch`), at most a few held at once however many nodes there are;
* after the deadline, tasks that no node has picked up are withdrawn, and late answers are recognised and dropped.

The arrays that all nodes get are one object in the SuperLink: objects are named by their content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import httpx
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.superlink.grid import HttpGrid

from edge_client.records import ARRAYS, CONFIG
from python_server.errors import SuperLinkError
from python_server.fetch import Fetcher, Incoming, withdraw
from python_server.tasks import Answer, Assignment, LateAnswer, Node, Payload

__all__ = ["Answer", "Assignment", "Exchange", "LateAnswer", "Node", "Payload"]

_FASTEST_POLL_S = 0.015
_SLOWEST_POLL_S = 0.25
_POLL_SHARE = 0.05
"""The wait between two polls, as a share of the time since something last happened."""
_LATE_S = 3600.0
"""How long after its deadline an answer is still recognised as late."""
_SMALL_PRINT_BYTES = 2**20
"""Room in an answer for everything that is not arrays."""


@dataclass(frozen=True)
class _Overdue:
    node_id: int
    label: str
    deadline: float


class Exchange:
    """Exchanges messages with the nodes of one run.

    Parameters
    ----------
    grid
        Flower's grid of the run.
    check
        Called when the SuperLink does not answer; raises if it is gone.
    on_late
        Called with each late answer.
    """

    def __init__(
        self,
        grid: HttpGrid,
        *,
        check: Callable[[], None] = lambda: None,
        on_late: Callable[[LateAnswer], None] = lambda late: None,
    ) -> None:
        self._grid = grid
        self._check = check
        self._on_late = on_late
        self._overdue: dict[str, _Overdue] = {}

    def nodes(self) -> list[Node]:
        """Return the nodes that are online now.

        Raises
        ------
        SuperLinkError
            The SuperLink is gone.
        """
        try:
            return [Node(node.node_id, node.public_key) for node in self._grid.get_nodes()]
        except httpx.HTTPError as error:
            raise self._gone(error) from error

    def run(
        self,
        assignments: Sequence[Assignment],
        *,
        deadline_s: float,
        label: str,
        max_arrays_bytes: int = 0,
    ) -> Iterator[Answer]:
        """Send the assignments and yield one `Answer` for each, as they come in.

        Parameters
        ----------
        assignments
            At most one a node.
        deadline_s
            Seconds from now; who has not answered in full by then gets an answer with ``late`` set.
        label
            Names the round in records of late answers.
        max_arrays_bytes
            Upper bound of the arrays in an honest reply; a much larger reply is refused before it fills the memory.

        Raises
        ------
        SuperLinkError
            The SuperLink is gone.
        """
        start = time.monotonic()
        deadline = start + deadline_s
        fetcher = Fetcher(self._grid, start, 2 * max_arrays_bytes + _SMALL_PRINT_BYTES)
        try:
            waiting, refused = self._send(assignments, deadline_s, label)
            sent_after_s = time.monotonic() - start
            for node_id in refused:
                yield Answer(node_id, "the SuperLink refused the task", sent_after_s=sent_after_s)
            for answer in self._collect(fetcher, waiting, start, deadline):
                yield replace(answer, sent_after_s=sent_after_s)
            for message_id, node_id in waiting.items():
                self._overdue[message_id] = _Overdue(node_id, label, deadline)
                withdraw(self._grid, message_id)
                yield Answer(node_id, f"no answer within {deadline_s:g} s", late=True, sent_after_s=sent_after_s)
        except httpx.HTTPError as error:
            raise self._gone(error) from error
        finally:
            fetcher.close()

    def _send(
        self, assignments: Sequence[Assignment], deadline_s: float, label: str
    ) -> tuple[dict[str, int], list[int]]:
        """Return the nodes that wait for an answer by message, and those whose task was refused."""
        messages = []
        for assignment in assignments:
            content = RecordDict({CONFIG: ConfigRecord(dict(assignment.config))})
            if assignment.payload is not None:
                content[ARRAYS] = assignment.payload.record
            messages.append(
                Message(content, assignment.node_id, assignment.kind, ttl=deadline_s + _LATE_S, group_id=label)
            )
        ids = list(self._grid.push_messages(messages)) if messages else []
        nodes = [assignment.node_id for assignment in assignments]
        if len(ids) != len(nodes):  # all in one request, refused as a whole
            return {}, nodes
        waiting = {message_id: node_id for message_id, node_id in zip(ids, nodes) if message_id}
        return waiting, [node_id for message_id, node_id in zip(ids, nodes) if not message_id]

    def _collect(self, fetcher: Fetcher, waiting: dict[str, int], start: float, deadline: float) -> Iterator[Answer]:
        """Yield answers; what is left in ``waiting`` when it ends did not answer."""
        incomplete: list[Incoming] = []
        active = start
        while True:
            over = time.monotonic() >= deadline
            announced = self._poll(waiting, start)
            fetcher.submit([*announced, *incomplete])
            incomplete = []
            if announced:
                active = time.monotonic()
            pause = min(max(_POLL_SHARE * (time.monotonic() - active), _FASTEST_POLL_S), _SLOWEST_POLL_S)
            until = min(time.monotonic() + pause, max(deadline, time.monotonic()))
            for incoming, answer in fetcher.results(None if over else until):
                if answer is not None:
                    active = time.monotonic()
                    yield answer
                elif over:
                    withdraw(self._grid, incoming.message_id)
                    problem = "its upload was not complete by the deadline"
                    yield Answer(incoming.node_id, problem, late=True, replied_after_s=incoming.replied_after_s)
                else:
                    incomplete.append(incoming)
            if over or not (waiting or incomplete or fetcher.pending):
                return
            time.sleep(max(0.0, until - time.monotonic()))

    def _poll(self, waiting: dict[str, int], start: float) -> list[Incoming]:
        """Ask for announced replies; take those out of ``waiting``, and deal with late ones."""
        now = time.monotonic()
        self._overdue = {key: late for key, late in self._overdue.items() if now < late.deadline + _LATE_S}
        ids = [*waiting, *self._overdue]
        if not ids:
            return []
        response = self._grid._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=ids))
        announced = []
        for message, tree in zip(response.messages_list, response.message_object_trees):
            metadata = message.metadata
            node_id = waiting.pop(metadata.reply_to_message_id, None)
            if node_id is not None:
                objects = list(dict.fromkeys(node.object_id for node in iterate_object_tree(tree)))
                announced.append(Incoming(node_id, metadata.message_id, objects, time.monotonic() - start))
                continue
            withdraw(self._grid, metadata.message_id)
            late = self._overdue.pop(metadata.reply_to_message_id, None)
            if late is not None and metadata.src_node_id == late.node_id:  # and not the SuperLink's "expired"
                self._on_late(LateAnswer(late.node_id, late.label, time.monotonic() - late.deadline))
        return announced

    def _gone(self, error: httpx.HTTPError) -> SuperLinkError:
        self._check()
        return SuperLinkError(f"the SuperLink does not answer: {error}")
