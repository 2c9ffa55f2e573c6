"""Tickets: how devices that nobody can walk to get enrolled.

A phone of a test farm makes its key when its minutes have begun, and only reaches out. So its owner makes a ticket
beforehand, and the phone hands in its public key with it. A ticket is good for some devices, some hours and one prefix
of names; the server keeps its hash. Whoever has it can enrol as many devices as are left, and do nothing else::

    identity/tickets/HASH.json      prefix, left, expires_at
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from model_export.files import write_atomically
from python_server.errors import IdentityError
from python_server.identity import Identity, normalized_public_key
from python_server.tasks import device_id

__all__ = ["ENROL_PATH", "EnrolDesk", "Tickets"]

ENROL_PATH = "/v1/fleet/pocketfleet-enrol"
_MAX_BODY_BYTES = 8192
_MAX_DEVICES = 10_000

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Tickets:
    """The tickets of one identity directory.

    Parameters
    ----------
    identity
        Who the devices are enrolled with.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._folder = identity.path / "tickets"

    def issue(self, prefix: str, devices: int, hours: float) -> str:
        """Return a new ticket.

        Parameters
        ----------
        prefix
            What the devices' names start with.
        devices
            How many may use it.
        hours
            Until it expires.

        Raises
        ------
        IdentityError
            A number that makes no sense, or the directory cannot be written.
        """
        if not 1 <= devices <= _MAX_DEVICES or not 0 < hours <= 24 * 30:
            raise IdentityError(f"a ticket is for 1 to {_MAX_DEVICES} devices and at most 30 days")
        ticket = secrets.token_urlsafe(32)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._write(self._file(ticket), prefix, devices, time.time() + 3600 * hours)
        except OSError as error:
            raise IdentityError(f"{self._folder}: cannot be written: {error.strerror}") from error
        return ticket

    def redeem(self, ticket: str, name: str, public_key: bytes) -> str:
        """Enrol a device; return the name that it goes by: its own, and four digits of its key.

        A farm's phone has a new key in every run, so its name alone would be taken the second time. The same key may
        come again: its first answer may have been lost.

        Raises
        ------
        IdentityError
            The ticket is unknown, used up or expired, or name or key cannot be used.
        """
        file = self._file(ticket)
        if not file.exists():
            raise IdentityError("the server knows no such ticket")
        key = normalized_public_key(public_key)
        full_name = f"{name}-{device_id(key).partition(':')[2][:4]}"
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = json.loads(file.read_bytes())
            if time.time() > held["expires_at"]:
                raise IdentityError("the ticket has expired")
            if not name.startswith(held["prefix"]):
                raise IdentityError(f"the ticket is for names that start with {held['prefix']!r}")
            if self._identity.devices().get(full_name) == key:
                return full_name
            if held["left"] < 1:
                raise IdentityError("the ticket is used up")
            self._identity.enrol(key, full_name)
            self._write(file, held["prefix"], held["left"] - 1, held["expires_at"])
        return full_name

    def _file(self, ticket: str) -> Path:
        return self._folder / f"{hashlib.sha256(ticket.encode()).hexdigest()}.json"

    def _write(self, file: Path, prefix: str, left: int, expires_at: float) -> None:
        text = json.dumps({"prefix": prefix, "left": left, "expires_at": expires_at})
        write_atomically(file, text.encode(), mode=0o600)


class EnrolDesk:
    """ASGI middleware that takes tickets at `ENROL_PATH` and passes on everything else.

    The body is a JSON object of ``ticket``, ``name`` and ``key`` (PEM). The answer is 200 with the name, or 403 with
    one line that says why not.
    """

    def __init__(self, app: _App, tickets: Tickets) -> None:
        self._app = app
        self._tickets = tickets

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["path"] != ENROL_PATH:
            await self._app(scope, receive, send)
            return
        body = await _body(receive) if scope["method"] == "POST" else None
        if body is None:
            await _answer(send, 400, "a ticket, a name and a key are expected")
            return
        # It waits for a lock and for the disk; heartbeats must not.
        await _answer(send, *await asyncio.to_thread(self._redeem, body))

    def _redeem(self, body: bytes) -> tuple[int, str]:
        try:
            given = json.loads(body)
            ticket, name, key = (str(given[field]) for field in ("ticket", "name", "key"))
        except (ValueError, KeyError, TypeError, RecursionError):
            return 400, "a ticket, a name and a key are expected"
        try:
            return 200, self._tickets.redeem(ticket, name, key.encode())
        except IdentityError as error:
            return 403, str(error)
        except OSError:
            return 500, "the server cannot write its identity directory"


async def _body(receive: _Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] != "http.request" or len(body) > _MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return body


async def _answer(send: _Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
