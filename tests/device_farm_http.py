"""The Device Farm on the loopback as HTTP: the API, and S3's presigned addresses for uploads and artifacts."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Optional

from tests.device_farm_model import Refusal

if TYPE_CHECKING:
    from tests.device_farm_service import FarmDouble

__all__ = ["FarmServer"]


class FarmServer(ThreadingHTTPServer):
    """Serves one farm."""

    def __init__(self, farm: FarmDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.farm = farm


class _Handler(BaseHTTPRequestHandler):
    server: FarmServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].removeprefix("DeviceFarm_20150623.")
        signed = self.headers.get("Authorization", "")
        if not re.search(r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/us-west-2/devicefarm/aws4_request", signed):
            return self._reply(403, {"__type": "MissingAuthenticationTokenException", "message": signed})
        with self.server.farm.lock:
            try:
                answer = self.server.farm.answer(operation, json.loads(body))
                if operation in self.server.farm.lost_answers:
                    self.server.farm.lost_answers.remove(operation)
                    return self._cut()
                self._reply(200, answer)
            except Refusal as refusal:
                self._reply(400, {"__type": refusal.code, "message": str(refusal)})
        return None

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        if self.server.farm.cut_put:
            self.server.farm.cut_put -= 1
            self.rfile.read(length // 2)
            return self._cut()
        body = self.rfile.read(length)
        identity = self.path.partition("?")[0].rsplit("/", 1)[1]
        arn = next((arn for arn in self.server.farm.uploads if arn.endswith(identity)), "")
        good = self.path.endswith("X-Amz-Signature=SECRET")
        status = self.server.farm.put(arn, body, self.headers.get("Content-Type", "")) if good else 403
        return self._reply(status, None)

    def do_GET(self) -> None:
        key = self.path.partition("?")[0].rsplit("/", 1)[1]
        content = self.server.farm.artifacts[key]
        tag = f'"{hashlib.md5(content).hexdigest()}"'  # S3's own choice
        start = self._start(tag)
        if start > len(content):
            return self._reply(416, None)
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.server.farm.cut_get:
            self.server.farm.cut_get -= 1
            content = content[: start + (len(content) - start) // 2]
            self.wfile.write(content[start:])
            self.server.farm.get_bytes += len(content) - start
            return self._cut()
        self.wfile.write(content[start:])
        self.server.farm.get_bytes += len(content) - start
        return None

    def _start(self, tag: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked and self.headers.get("If-Range", tag) == tag else 0

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reply(self, status: int, answer: Optional[dict[str, Any]]) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
