"""Being known to the server: register, activate, stay alive, come back after either side was gone."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Callable, Optional, TypeVar

from google.protobuf.message import Message

from edge_client.errors import (
    EdgeError,
    MessageError,
    NotEnrolledError,
    RefusedError,
    RunOverError,
    ServerError,
    UnreachableError,
)
from edge_client.state import StateDirectory
from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.api import LeavingError
from edge_client.transport.backoff import Backoff
from edge_client.transport.connection import CODE_KEY_IN_USE, CODE_REGISTRATION_OFF, Connection, Traffic
from edge_client.transport.keys import ClientKey

__all__ = ["Session"]

_log = logging.getLogger("pocketfleet.client")
_Answer = TypeVar("_Answer", bound=Message)

_PROGRESS_EVERY_S = 30.0
_ODD_ANSWER_TRIES = 3
_HEARTBEAT_RETRY_S = 5.0
_SMALL = 1 << 20


class Session:
    """One client's standing with one server, kept up across failures of either.

    Parameters
    ----------
    connection
        Where calls go.
    key
        Who this client is.
    state
        Where its number at the server is kept.
    heartbeat_s
        The server counts the client as gone when it has heard nothing for twice as long.
    give_up_after_s
        How long to go on trying while the server does not answer; None: for ever.
    stop
        Set from outside when the client is to leave.
    """

    def __init__(
        self,
        connection: Connection,
        key: ClientKey,
        state: StateDirectory,
        *,
        heartbeat_s: float,
        give_up_after_s: Optional[float],
        stop: threading.Event,
    ) -> None:
        self._connection = connection
        self._key = key
        self._state = state
        self._heartbeat_s = heartbeat_s
        self._give_up_after_s = give_up_after_s
        self._stop = stop
        self._node: Optional[pb.Node] = None
        self._reconnecting = threading.Lock()
        self._heart: Optional[threading.Thread] = None
        self._heart_stop = threading.Event()

    @property
    def node_id(self) -> int:
        """The server's number for this client; 0 before `connect`."""
        return self._node.node_id if self._node else 0

    def connect(self) -> None:
        """Become active at the server, whatever either side remembers of earlier times.

        Raises
        ------
        edge_client.errors.NotEnrolledError
            The server admits only keys that were enrolled, and this one was not for as long as we were willing to wait.
        """
        backoff = self._backoff()
        told_at = -_PROGRESS_EVERY_S
        while True:
            try:
                node_id = self._activate()
                problem, why = self._active_elsewhere(), "earlier-session-still-active"
            except NotEnrolledError as error:
                # The server may be about to enrol it: when it starts, or when a person gets round to it.
                node_id, problem, why = None, error, "not-enrolled"
            if node_id is not None:
                break
            wait_s = backoff.failure()
            if wait_s is None:
                raise problem
            if time.monotonic() - told_at > _PROGRESS_EVERY_S:
                told_at = time.monotonic()
                _log.warning("event=waiting reason=%s: %s", why, problem)
            self.sleep(wait_s)
        self._adopt(node_id)
        self._node = pb.Node(node_id=node_id)
        _log.info("event=connected server=%s node=%d key=%s", self._connection.server, node_id, self._key.fingerprint)
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()

    def call(
        self,
        name: str,
        build: Callable[[pb.Node], Message],
        answer_type: type[_Answer],
        *,
        limit: int = _SMALL,
        traffic: Optional[Traffic] = None,
    ) -> _Answer:
        """Make a call as this client, for as long as it takes.

        Raises
        ------
        edge_client.errors.RunOverError
            The run has ended, or the server is a new one that never heard of it.
        edge_client.errors.RefusedError, edge_client.errors.UnreachableError, edge_client.errors.MessageError
            See `Connection.call`; not before some tries.
        edge_client.transport.api.LeavingError
            The client is to leave.
        """
        assert self._node is not None, "connect first"
        node = self._node
        try:
            return self._patiently(name, build(node), answer_type, limit=limit, traffic=traffic)
        except RefusedError as error:
            if error.status != 401:
                raise
            _log.warning("event=forgotten server=%s reason=%s", self._connection.server, error)
        with self._reconnecting:
            if self._node is node:
                self.connect()
        if self._node.node_id != node.node_id:
            raise RunOverError(f"{self._connection.server} is a new server with none of the old runs", status=401)
        return self._patiently(name, build(self._node), answer_type, limit=limit, traffic=traffic)

    def ask_once(self, name: str, request: Message, answer_type: type[_Answer]) -> _Answer:
        """Make a call without trying again, for when there is no time."""
        return self._connection.call(name, request, answer_type)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the client is to leave.

        Raises
        ------
        edge_client.transport.api.LeavingError
            The client is to leave.
        """
        if self._stop.wait(seconds):
            raise LeavingError

    def leave(self, *, deactivate: bool) -> None:
        """Stop heartbeats and, if asked to, tell the server at once that this client is gone."""
        self._heart_stop.set()
        if deactivate and self._node is not None:
            try:
                self._connection.call(
                    "deactivate-node", pb.DeactivateNodeRequest(node_id=self.node_id), pb.DeactivateNodeResponse
                )
            except ServerError as error:
                _log.info("event=left-unannounced reason=%s", error)
        self._connection.close()

    def _activate(self) -> Optional[int]:
        """Try what may work, most likely first; None while an earlier session of ours blocks it."""
        known = self._state.node_id()
        if known is not None and self._still_known(known):
            return known
        try:
            return self._activate_once()
        except RefusedError as error:
            if error.status != 412:
                raise
        # Either the server does not know this key, or a session of which we lost the number is still active.
        try:
            answer = self._patiently(
                "register-node",
                pb.RegisterNodeFleetRequest(public_key=self._key.public_pem),
                pb.RegisterNodeFleetResponse,
            )
        except RefusedError as error:
            if error.code == CODE_KEY_IN_USE:
                return None
            if error.code == CODE_REGISTRATION_OFF:
                raise self._not_enrolled(error) from error
            raise
        self._adopt(answer.node_id)
        return self._activate_once()

    def _still_known(self, node_id: int) -> bool:
        """Take up an earlier session: a heartbeat makes a node active that is not, and leaves no gap in one that is."""
        request = pb.SendNodeHeartbeatRequest(node=pb.Node(node_id=node_id), heartbeat_interval=self._heartbeat_s)
        try:
            return self._patiently("send-node-heartbeat", request, pb.SendNodeHeartbeatResponse).success
        except RefusedError as error:
            if error.status != 401:
                raise
            return False

    def _activate_once(self) -> int:
        return self._patiently(
            "activate-node",
            pb.ActivateNodeRequest(public_key=self._key.public_pem, heartbeat_interval=self._heartbeat_s),
            pb.ActivateNodeResponse,
        ).node_id

    def _adopt(self, node_id: int) -> None:
        """Remember the number the server gave us; what was begun under another one is void."""
        known = self._state.node_id()
        if known == node_id:
            return
        if known is not None:
            for what, there, forget in (
                ("task", self._state.task() is not None, self._state.forget_task),
                ("reply", self._state.reply() is not None, self._state.forget_reply),
            ):
                if there:
                    _log.warning("event=dropped what=%s reason=server-is-a-new-one", what)
                    forget()
        self._state.save_node_id(node_id)

    def _active_elsewhere(self) -> RefusedError:
        return RefusedError(
            f"{self._connection.server} has another active client with this key; is one running elsewhere?",
            status=412,
            code=CODE_KEY_IN_USE,
        )

    def _not_enrolled(self, cause: RefusedError) -> NotEnrolledError:
        return NotEnrolledError(
            f"{self._connection.server} does not know this client's key {self._key.fingerprint}; "
            f"print it with `pocketfleet-client key --state {self._state.path}` and enrol it there "
            "(a stock SuperLink: add --format ssh, then `flwr supernode register KEY`)",
            status=cause.status,
            code=cause.code,
        )

    def _patiently(
        self,
        name: str,
        request: Message,
        answer_type: type[_Answer],
        *,
        limit: int = _SMALL,
        traffic: Optional[Traffic] = None,
    ) -> _Answer:
        """Repeat a call while the server cannot be reached."""
        backoff = self._backoff()
        odd_answers = 0
        told_at = 0.0
        while True:
            try:
                answer = self._connection.call(name, request, answer_type, limit=limit, traffic=traffic)
            except UnreachableError as error:
                wait_s = backoff.failure()
                if wait_s is None:
                    raise UnreachableError(f"{error}; gave up after {backoff.elapsed_s:.0f} s") from error
                # A single failure is mostly a kept connection that the server closed just as it was used again.
                if backoff.failures == 2 or (told_at and time.monotonic() - told_at > _PROGRESS_EVERY_S):
                    told_at = time.monotonic()
                    _log.warning("event=unreachable tries=%d reason=%s", backoff.failures, error)
            except (RefusedError, MessageError) as error:
                # The server's own trouble, such as a locked database, often passes; a wrong byte on the way, too.
                odd_answers += 1
                if getattr(error, "status", 500) != 500 or odd_answers >= _ODD_ANSWER_TRIES:
                    raise
                wait_s = 0.2 * odd_answers
            else:
                if told_at:
                    _log.info("event=reachable-again after-s=%.1f", backoff.elapsed_s)
                return answer
            self.sleep(wait_s)

    def _backoff(self) -> Backoff:
        return Backoff(give_up_after_s=self._give_up_after_s)

    def _beat(self) -> None:
        wait_s = 0.0
        while not self._heart_stop.wait(wait_s or self._heartbeat_s * random.uniform(0.4, 0.6)):  # noqa: S311
            node = self._node
            request = pb.SendNodeHeartbeatRequest(node=node, heartbeat_interval=self._heartbeat_s)
            try:
                self._connection.call("send-node-heartbeat", request, pb.SendNodeHeartbeatResponse)
                wait_s = 0.0
            except EdgeError as error:
                wait_s = _HEARTBEAT_RETRY_S
                _log.debug("event=heartbeat-failed reason=%s", error)
