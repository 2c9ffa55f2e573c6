"""The transport over Flower's Fleet API: protobuf over HTTP(S), signed requests.

What this leans on was found out on a real SuperLink and is held by `tests/transport_faults_test.py`:

* a message is marked as delivered when it is handed out, and never handed out again, but its objects stay until
  ``confirm-message-received``. So the message's metadata goes to the disk at once, and the server is told that it
  arrived only when the reply is on the disk too: a client killed in between fetches the arrays again.
* ``push-messages`` may be repeated with the same reply and lists the objects that are missing; none when it has them
  all, and none when nobody waits for the reply. Nor does it list any once the server's app has taken the announced
  reply and waits for its objects, which for three minutes can still be sent in the old push session.
* a reply is lost when its node is inactive as the server looks for it. A reply that was looked at is gone from the
  server's object store, which any node may ask.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Optional, Union

from google.protobuf.message import DecodeError

from edge_client.errors import EdgeError, MessageError, NotEnrolledError, RefusedError, RunOverError
from edge_client.records import (
    DOWNLOAD_BYTES,
    DOWNLOAD_S,
    PREVIOUS_UPLOAD_BYTES,
    PREVIOUS_UPLOAD_ROUND,
    PREVIOUS_UPLOAD_S,
    Reply,
)
from edge_client.state import SavedReply, StateDirectory
from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.api import Envelope, OnPhase, no_phases
from edge_client.transport.clock import ServerClock
from edge_client.transport.connection import Traffic
from edge_client.transport.messages import decode_task, encode_error, encode_reply
from edge_client.transport.objects import StoredObject
from edge_client.transport.parallel import Crew, at_once
from edge_client.transport.session import Session

__all__ = ["FleetTransport"]

_log = logging.getLogger("pocketfleet.client")

_OBJECT_LIMIT = 64 << 20
_AVAILABLE_WITHIN_S = 180.0
"""How long the server waits for its own app to send an object."""
_PUSH_ROUNDS = 5
_PICK_UP_EVERY_S = 0.2


class FleetTransport:
    """A client's end of the Fleet API; see `edge_client.transport.api.Transport`.

    Parameters
    ----------
    session
        The client's standing with the server.
    state
        Where work in progress is kept.
    clock
        The server's time.
    max_message_bytes
        Most bytes of arrays to accept in one message.
    leave_within_s
        How long `close` waits for the server to look at the last reply.
    on_phase
        Is told when a download, an upload and waiting begin.
    """

    def __init__(
        self,
        session: Session,
        state: StateDirectory,
        clock: ServerClock,
        *,
        max_message_bytes: int = 1 << 30,
        leave_within_s: float = 15.0,
        on_phase: OnPhase = no_phases,
    ) -> None:
        self._session = session
        self._state = state
        self._clock = clock
        self._max_message_bytes = max_message_bytes
        self._leave_within_s = leave_within_s
        self._on_phase = on_phase
        self._upload: dict[str, Union[int, float]] = {
            PREVIOUS_UPLOAD_S: 0.0,
            PREVIOUS_UPLOAD_BYTES: 0,
            PREVIOUS_UPLOAD_ROUND: 0,
        }
        self._crew = Crew()
        self._round: Optional[int] = None
        """Of the saved reply; None if an earlier process saved it."""
        self._last_pushed: Optional[tuple[int, str]] = None

    def connect(self) -> None:
        """Become active."""
        self._session.connect()

    def pull(self) -> Optional[Envelope]:
        """Return the task that an earlier process left, else ask the server for one."""
        self._on_phase("wait")
        saved = self._state.task()
        if saved is not None:
            try:
                metadata = pb.Metadata.FromString(saved)
            except DecodeError as error:
                self._drop_task(f"damaged: {error}")
                return None
            if metadata.created_at + metadata.ttl > self._clock.now():
                return self._open(metadata, resumed=True)
            self._drop_task("it has expired")
        try:
            answer = self._session.call(
                "pull-messages", lambda node: pb.PullMessagesRequest(node=node), pb.PullMessagesResponse, limit=1 << 26
            )
        except RunOverError:
            return None
        except (MessageError, RefusedError) as error:
            if isinstance(error, NotEnrolledError):
                raise
            _log.error("event=no-answer reason=%s", error)
            return None
        if not answer.messages_list:
            return None
        metadata = answer.messages_list[0].metadata
        self._state.save_task(metadata.SerializeToString())
        return self._open(metadata, resumed=False)

    def save(self, envelope: Envelope, answer: Union[Reply, str]) -> None:
        """Save the reply, then tell the server that the message arrived."""
        metadata = envelope.message
        assert isinstance(metadata, pb.Metadata)
        if isinstance(answer, str):
            root = encode_error(metadata, answer, created_at=self._clock.now())
        else:
            answer.metrics.update(
                {DOWNLOAD_S: envelope.download_s, DOWNLOAD_BYTES: envelope.download_bytes, **self._upload}
            )
            try:
                root = encode_reply(metadata, answer, packed=envelope.packed, created_at=self._clock.now())
            except (TypeError, ValueError) as error:
                _log.exception("event=reply-unfit kind=%s", envelope.task.kind)
                reason = f"the reply cannot be sent: {error}"
                root = encode_error(metadata, reason, created_at=self._clock.now())
        self._save(metadata, root, envelope.round_number)

    def send(self) -> None:
        """Send the saved reply, if there is one."""
        reply = self._state.reply()
        if reply is None:
            return
        # A kill between saving the reply and forgetting its task leaves both.
        self._state.forget_task()
        round_number, self._round = self._round, None
        self._on_phase("upload")
        start = time.monotonic()
        traffic = Traffic()
        try:
            outcome = self._send(reply, traffic, resumed=round_number is None)
        except (RefusedError, MessageError) as error:
            outcome = f"refused reason={error}"
        finally:
            reply.close()
        self._state.forget_reply()
        upload_s = time.monotonic() - start
        self._on_phase("wait")
        self._upload = {
            PREVIOUS_UPLOAD_S: upload_s,
            PREVIOUS_UPLOAD_BYTES: traffic.sent,
            PREVIOUS_UPLOAD_ROUND: round_number or 0,
        }
        _log.info(
            "event=reply round=%d upload-s=%.3f bytes=%d outcome=%s", round_number or 0, upload_s, traffic.sent, outcome
        )

    def close(self) -> None:
        """Leave once the server has looked at the last reply; if it does not in time, just go quiet."""
        self._crew.dismiss()
        self._session.leave(deactivate=self._picked_up())

    def _open(self, metadata: pb.Metadata, *, resumed: bool) -> Optional[Envelope]:
        """Fetch a message's content; a message without usable content is answered, or dropped, here."""
        traffic = Traffic()
        self._on_phase("download")
        start = time.monotonic()

        def fetch(object_ids: Sequence[str], at_once: int) -> Iterator[bytes]:
            def pull(object_id: str) -> bytes:
                return self._pull_object(metadata.run_id, object_id, traffic)

            return self._crew.in_order(pull, object_ids, at_once=at_once)

        try:
            task, packed = decode_task(metadata, fetch, max_bytes=self._max_message_bytes)
        except RunOverError as error:
            self._drop_task(error)
            return None
        except (MessageError, RefusedError) as error:
            _log.error("event=message-refused message=%.12s reason=%s", metadata.message_id, error)
            reason = f"the message cannot be used: {error}"
            self._save(metadata, encode_error(metadata, reason, created_at=self._clock.now()), 0)
            self.send()
            return None
        envelope = Envelope(task, metadata, packed, time.monotonic() - start, traffic.received, resumed)
        _log.info(
            "event=task kind=%s round=%d run=%d download-s=%.3f bytes=%d resumed=%s",
            task.kind,
            envelope.round_number,
            metadata.run_id,
            envelope.download_s,
            envelope.download_bytes,
            "yes" if resumed else "no",
        )
        return envelope

    def _pull_object(self, run_id: int, object_id: str, traffic: Traffic) -> bytes:
        wait_s, deadline = 0.02, time.monotonic() + _AVAILABLE_WITHIN_S
        while True:
            answer = self._session.call(
                "pull-object",
                lambda node: pb.PullObjectRequest(node=node, run_id=run_id, object_id=object_id),
                pb.PullObjectResponse,
                limit=_OBJECT_LIMIT,
                traffic=traffic,
            )
            if not answer.object_found:
                raise MessageError(f"the server does not have object {object_id[:12]}")
            if answer.object_available:
                return answer.object_content
            # The server's app announced it and is still sending it.
            if time.monotonic() > deadline:
                raise MessageError(f"the server never got object {object_id[:12]}")
            self._session.sleep(wait_s)
            wait_s = min(2 * wait_s, 1.0)

    def _save(self, metadata: pb.Metadata, root: StoredObject, round_number: int) -> None:
        in_order = root.descendants_first()
        announcement = pb.PushMessagesRequest(
            messages_list=[_announced(root)], message_object_trees=[_tree(root)], clientapp_runtime_list=[0.0]
        )
        self._state.save_reply(
            announcement.SerializeToString(), ((item.object_id, item.size, item.parts) for item in in_order)
        )
        self._state.forget_task()
        self._round = round_number
        try:
            self._session.call(
                "confirm-message-received",
                lambda node: pb.ConfirmMessageReceivedRequest(
                    node=node, run_id=metadata.run_id, message_object_id=metadata.message_id
                ),
                pb.ConfirmMessageReceivedResponse,
            )
        except (RefusedError, MessageError) as error:
            _log.debug("event=confirmation-refused reason=%s", error)

    def _send(self, reply: SavedReply, traffic: Traffic, *, resumed: bool) -> str:
        """Announce the reply and send what the server lacks of it, until it lacks nothing."""
        announcement = pb.PushMessagesRequest.FromString(reply.announcement)
        message = announcement.messages_list[0].metadata
        for attempt in range(_PUSH_ROUNDS):
            answer = self._session.call(
                "push-messages",
                lambda node: _from_node(announcement, node),
                pb.PushMessagesResponse,
                limit=1 << 26,
                traffic=traffic,
            )
            missing = set(answer.objects_to_push)
            if not missing:
                if attempt == 0 and not self._send_in_old_session(reply, message.run_id, traffic, resumed=resumed):
                    return "sent-before-or-unwanted" if resumed else "unwanted"
                break
            self._state.save_session(answer.session_id)
            wanted = [object_id for object_id in reply.object_ids if object_id in missing]

            def push(object_id: str, session: str = answer.session_id) -> bool:
                return self._push_object(message.run_id, object_id, reply.read(object_id), session, traffic)

            if all(list(self._crew.in_order(push, wanted, at_once=at_once(max(map(reply.size, wanted), default=0))))):
                break
        else:
            return "refused reason=objects-not-stored"
        self._last_pushed = (message.run_id, message.message_id)
        return "sent"

    def _send_in_old_session(self, reply: SavedReply, run_id: int, traffic: Traffic, *, resumed: bool) -> bool:
        """Send to an app that took the announcement of an earlier try; False when there is none."""
        # The name is lost if the answer to the announcement was; the server then finds the session by the objects.
        session = self._state.session()
        any_stored = False
        for object_id in reply.object_ids:
            stored = self._push_object(run_id, object_id, reply.read(object_id), session, traffic)
            any_stored |= stored
            if not stored and not resumed:
                break
        return any_stored

    def _push_object(self, run_id: int, object_id: str, content: bytes, session_id: str, traffic: Traffic) -> bool:
        return self._session.call(
            "push-object",
            lambda node: pb.PushObjectRequest(
                node=node, run_id=run_id, object_id=object_id, object_content=content, session_id=session_id
            ),
            pb.PushObjectResponse,
            traffic=traffic,
        ).stored

    def _picked_up(self) -> bool:
        """Wait until the last reply is gone from the server's store; False when time is up first."""
        if self._last_pushed is None:
            return True
        run_id, object_id = self._last_pushed
        deadline = time.monotonic() + self._leave_within_s
        while True:
            try:
                if not self._session.ask_once(
                    "pull-object",
                    pb.PullObjectRequest(
                        node=pb.Node(node_id=self._session.node_id), run_id=run_id, object_id=object_id
                    ),
                    pb.PullObjectResponse,
                ).object_found:
                    return True
            except RunOverError:
                return True
            except EdgeError as error:
                _log.info("event=left-unannounced reason=%s", error)
                return False
            if time.monotonic() > deadline:
                _log.info("event=left-unannounced reason=reply-not-picked-up")
                return False
            time.sleep(_PICK_UP_EVERY_S)

    def _drop_task(self, reason: object) -> None:
        self._state.forget_task()
        _log.warning("event=dropped what=task reason=%s", reason)


def _announced(root: StoredObject) -> pb.Message:
    """Make the message that announces a reply: its metadata and an empty content, or its error."""
    message = pb.Message.FromString(bytes(root.parts[1]))
    message.metadata.message_id = root.object_id
    if not message.HasField("error"):
        message.content.SetInParent()
    return message


def _tree(item: StoredObject) -> pb.ObjectTree:
    return pb.ObjectTree(object_id=item.object_id, children=[_tree(child) for child in item.children])


def _from_node(announcement: pb.PushMessagesRequest, node: pb.Node) -> pb.PushMessagesRequest:
    announcement.node.CopyFrom(node)
    return announcement
