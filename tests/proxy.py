"""A TCP forwarder on loopback that delays, cuts and refuses connections."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

__all__ = ["Forwarder"]


class Forwarder:
    """Forwards connections to a port of 127.0.0.1.

    Parameters
    ----------
    host
        Address to listen on.
    target
        Port to forward to.
    delay_s
        One-way delay, as a far server has.
    cut_after
        Reset each connection after a random number of bytes up to this one; 0: never.
    seed
        Of the random numbers.

    Attributes
    ----------
    at_once
        Most requests of HTTP that were under way at the same time, by path.
    """

    def __init__(self, host: str, target: int, *, delay_s: float = 0.0, cut_after: int = 0, seed: int = 0) -> None:
        self._target = target
        self._delay_s = delay_s
        self.cut_after = cut_after
        self._random = random.Random(seed)
        self.cuts = 0
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self._open: set[socket.socket] = set()
        self.at_once: dict[str, int] = {}
        self._asked: dict[socket.socket, str] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.reset_all()

    def reset_all(self) -> None:
        """Cut every connection with a reset."""
        for end in list(self._open):
            self._reset(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                self._reset(near)
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(end)
            budget = [self._random.randrange(1, self.cut_after)] if self.cut_after else [1 << 62]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink, near, budget), daemon=True).start()

    def _note(self, near: socket.socket, data: bytes, *, asked: bool) -> None:
        """Note that a request begins, or that its answer comes."""
        if not asked:
            self._asked.pop(near, None)
        elif data.startswith(b"POST "):
            path = self._asked[near] = data.split(b" ", 2)[1].decode()
            self.at_once[path] = max(self.at_once.get(path, 0), list(self._asked.values()).count(path))

    def _pump(self, source: socket.socket, sink: socket.socket, near: socket.socket, budget: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._note(near, data, asked=source is near)
                if self._delay_s:
                    time.sleep(self._delay_s)
                budget[0] -= len(data)
                if budget[0] < 0:
                    self.cuts += 1
                    break
                sink.sendall(data)
        self._reset(source)
        self._reset(sink)

    def _reset(self, end: socket.socket) -> None:
        self._open.discard(end)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
        end.close()
