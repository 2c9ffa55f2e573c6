"""A Fleet server in this process that says what a test wants it to say, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Optional, Union

from google.protobuf.message import Message

from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.objects import StoredObject

__all__ = ["Answer", "HostileServer", "instruction"]

Answer = Union[Message, bytes, tuple[int, bytes], None]
"""A message or raw bytes with status 200, a status and a body, or None to drop the connection."""

_NODE = 2**63 + 5
_REQUESTS: dict[str, type[Message]] = {
    "register-node": pb.RegisterNodeFleetRequest,
    "activate-node": pb.ActivateNodeRequest,
    "deactivate-node": pb.DeactivateNodeRequest,
    "send-node-heartbeat": pb.SendNodeHeartbeatRequest,
    "pull-messages": pb.PullMessagesRequest,
    "pull-object": pb.PullObjectRequest,
    "confirm-message-received": pb.ConfirmMessageReceivedRequest,
    "push-messages": pb.PushMessagesRequest,
    "push-object": pb.PushObjectRequest,
}


class HostileServer:
    """Serves one message as a SuperLink would, except where a test's `answer` interferes.

    Parameters
    ----------
    root
        The message; its objects are those below it.
    answer
        Called with a call's name and request before the default behaviour; what it returns instead of
        `NotImplemented` is sent.
    """

    def __init__(
        self,
        root: StoredObject,
        answer: Optional[Callable[[str, Message], object]] = None,
    ) -> None:
        self.objects = {item.object_id: b"".join(map(bytes, item.parts)) for item in root.descendants_first()}
        self.root = root
        self.calls: list[str] = []
        self.stored: dict[str, bytes] = {}
        self.announced: list[pb.Message] = []
        self._answer = answer
        self._delivered = False
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                name = self.path.rsplit("/", 1)[1]
                with server._lock:
                    answer = server._respond(name, _REQUESTS[name].FromString(body))
                if answer is None:
                    self.close_connection = True
                    return
                status, content = answer if isinstance(answer, tuple) else (200, answer)
                if isinstance(content, Message):
                    content = content.SerializeToString()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing: connections that break are what these tests are about."""

        self._http = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def redeliver(self) -> None:
        """Hand the message out once more."""
        self._delivered = False

    def _respond(self, name: str, request: Message) -> Answer:
        self.calls.append(name)
        if self._answer is not None:
            answer = self._answer(name, request)
            if answer is not NotImplemented:
                return answer  # type: ignore[return-value]
        return self._default(name, request)

    def _default(self, name: str, request: Message) -> Answer:
        if isinstance(request, pb.ActivateNodeRequest):
            return pb.ActivateNodeResponse(node_id=_NODE)
        if isinstance(request, pb.PullMessagesRequest):
            if self._delivered:
                return pb.PullMessagesResponse()
            self._delivered = True
            return pb.PullMessagesResponse(messages_list=[pb.Message(metadata=instruction(self.root))])
        if isinstance(request, pb.PullObjectRequest):
            content = self.objects.get(request.object_id)
            return pb.PullObjectResponse(
                object_found=content is not None, object_available=content is not None, object_content=content or b""
            )
        if isinstance(request, pb.PushMessagesRequest):
            self.announced.append(request.messages_list[0])
            missing: list[str] = []
            trees = [request.message_object_trees[0]]
            while trees:
                tree = trees.pop()
                trees += tree.children
                if tree.object_id not in self.stored:
                    missing.append(tree.object_id)
            return pb.PushMessagesResponse(objects_to_push=missing, session_id="s")
        if isinstance(request, pb.PushObjectRequest):
            new = request.object_id not in self.stored
            self.stored[request.object_id] = request.object_content
            return pb.PushObjectResponse(stored=new)
        if isinstance(request, pb.SendNodeHeartbeatRequest):
            return pb.SendNodeHeartbeatResponse(success=True)
        return b""


def instruction(root: StoredObject) -> pb.Metadata:
    """Make the metadata that goes with a message to the client."""
    import time

    return pb.Metadata(
        run_id=7,
        message_id=root.object_id,
        src_node_id=1,
        dst_node_id=_NODE,
        ttl=3600.0,
        created_at=time.time(),
        message_type="train",
    )
