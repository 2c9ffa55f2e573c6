"""Signed protobuf calls over one pool of HTTP(S) connections."""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, TypeVar
from urllib.parse import urlsplit

import urllib3
from google.protobuf.message import DecodeError, Message
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from edge_client.errors import MessageError, RefusedError, RunOverError, SettingsError, UnreachableError
from edge_client.transport.clock import ServerClock
from edge_client.transport.keys import ClientKey

__all__ = ["CODE_KEY_IN_USE", "CODE_REGISTRATION_OFF", "Connection", "Security", "Traffic"]

CODE_KEY_IN_USE = 23
CODE_REGISTRATION_OFF = 2001
_CODE_RUN_OVER = 2007

_PATH = "/v1/fleet/"
_SIGNATURE_REUSE_S = 30.0
"""A signature covers only its timestamp, which is good for five minutes: small boards need not sign every poll."""
_SMALL_ANSWER = 1 << 20

_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True)
class Security:
    """How a connection is protected.

    Attributes
    ----------
    ca_file
        PEM file with the authorities that may vouch for the server; None: those the system trusts.
    insecure
        Plain HTTP: anyone on the way can read and change what travels.
    """

    ca_file: Optional[Path] = None
    insecure: bool = False

    def tls_context(self) -> ssl.SSLContext:
        """Make a TLS context that checks certificates and host names.

        Raises
        ------
        edge_client.errors.SettingsError
            The authorities' file cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{self.ca_file}: not a PEM file of certificate authorities ({error})") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass
class Traffic:
    """Body bytes of some calls, which may be made by several threads."""

    sent: int = 0
    received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, sent: int, received: int) -> None:
        """Count one call."""
        with self._lock:
            self.sent += sent
            self.received += received


class Connection:
    """Calls to one server.

    Parameters
    ----------
    server
        ``HOST:PORT``; an IPv6 address in brackets.
    key, clock
        Who signs, and what time it is for the server.
    security
        TLS, or explicitly none.
    timeout_s
        Longest silence of the server during a call.
    """

    def __init__(
        self,
        server: str,
        key: ClientKey,
        clock: ServerClock,
        *,
        security: Security,
        timeout_s: float = 60.0,
    ) -> None:
        self.server = server
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._signed: Optional[dict[str, str]] = None
        self._signed_at = 0.0
        host, port = _split(server)
        timeout = urllib3.Timeout(connect=min(10.0, timeout_s), read=timeout_s)
        self._pool: urllib3.HTTPConnectionPool
        if security.insecure:
            self._pool = urllib3.HTTPConnectionPool(host, port, timeout=timeout, maxsize=16, retries=False)
        else:
            self._pool = urllib3.HTTPSConnectionPool(
                host, port, timeout=timeout, maxsize=16, retries=False, ssl_context=security.tls_context()
            )

    def call(
        self,
        name: str,
        request: Message,
        answer_type: type[_Answer],
        *,
        limit: int = _SMALL_ANSWER,
        traffic: Optional[Traffic] = None,
    ) -> _Answer:
        """Make one call, once; again only if the server's answer showed that the clock was wrong.

        Parameters
        ----------
        name
            Last part of the path, such as ``pull-messages``.
        request, answer_type
            What is sent and what is expected back.
        limit
            Longest acceptable answer in bytes.
        traffic
            Adds the bytes of both bodies.

        Raises
        ------
        edge_client.errors.UnreachableError
            No answer, or one that promises to be different later.
        edge_client.errors.RefusedError
            The server said no.
        edge_client.errors.MessageError
            The answer is not one.
        edge_client.errors.SettingsError
            TLS could not be agreed on.
        """
        body = request.SerializeToString()
        status, clock_was_set, content = self._post(name, body, limit)
        if status == 401 and clock_was_set:
            status, _, content = self._post(name, body, limit)
        if traffic is not None:
            traffic.add(len(body), len(content))
        if status != 200:
            raise self._refusal(name, status, content)
        try:
            return answer_type.FromString(content)
        except DecodeError as error:
            raise MessageError(f"{self.server} answered {name} with something that is not a message") from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _post(self, name: str, body: bytes, limit: int) -> tuple[int, bool, bytes]:
        try:
            response = self._pool.urlopen(
                "POST",
                _PATH + name,
                body=body,
                headers=self._headers(),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                content = response.read(limit + 1)
                if len(content) > limit:
                    response.close()
                    raise MessageError(f"{self.server} answered {name} with more than {limit} bytes")
            finally:
                response.release_conn()
        except SSLError as error:
            raise SettingsError(_tls_advice(self.server, error)) from error
        except NewConnectionError as error:
            raise UnreachableError(f"cannot connect to {self.server}: {_cause(error)}") from error
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"lost the connection to {self.server} during {name}: {_cause(error)}") from error
        clock_was_set = self._clock.observe(response.headers.get("date"))
        if clock_was_set:
            with self._lock:
                self._signed = None
        return response.status, clock_was_set, content

    def _headers(self) -> dict[str, str]:
        with self._lock:
            if self._signed is None or time.monotonic() - self._signed_at > _SIGNATURE_REUSE_S:
                timestamp = self._clock.timestamp()
                self._signed = {
                    "content-type": "application/protobuf",
                    "accept": "application/protobuf",
                    "accept-encoding": "identity",
                    "flwr-public-key": self._key.public_header,
                    "flwr-timestamp": timestamp,
                    "flwr-signature": self._key.sign(timestamp),
                }
                self._signed_at = time.monotonic()
            return self._signed

    def _refusal(self, name: str, status: int, content: bytes) -> Exception:
        code, detail = None, ""
        try:
            answer = json.loads(content[:4096])
            if isinstance(answer, dict):
                code = answer["code"] if type(answer.get("code")) is int else None
                detail = f": {answer['detail']}"[:300] if isinstance(answer.get("detail"), str) else ""
        except (ValueError, RecursionError):
            pass
        if code is None and status not in (401, 412, 500):
            # Not the SuperLink's own word: a proxy or a portal on the way, or the server is starting.
            return UnreachableError(f"{self.server} answered {name} with HTTP {status}{detail}; is it a SuperLink?")
        kind = RunOverError if code == _CODE_RUN_OVER else RefusedError
        return kind(f"{self.server} answered {name} with HTTP {status}{detail}", status=status, code=code)


def _split(server: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path or parts.query or parts.username is not None:
        raise SettingsError(f"server address {server!r}: expected HOST:PORT, such as 192.168.1.10:8000 or [::1]:8000")
    return host, port


def _tls_advice(server: str, error: SSLError) -> str:
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {server} is not to be trusted ({cause.verify_message}); is --ca the right file?"
    return f"{server} does not speak TLS as expected ({_cause(error)}); is it a TLS port?"


def _cause(error: BaseException) -> str:
    """Name the innermost reason without the object addresses that urllib3 prints."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
