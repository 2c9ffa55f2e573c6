"""The SuperLink's own process: Flower's SuperLink behind a gate, listening on a socket that it was handed.

Flower serves three interfaces on one port: Fleet (for devices), Control (start runs, register devices) and Runtime
(for the server application). Its default account check lets anyone in, so whoever reached the port could start runs.
The gate lets strangers reach the Fleet interface and nothing else: Control and Runtime answer only programs on this
host, and Control only those that know the secret of this run. (Runtime calls carry Flower's own tokens: acquiring the
task needs the same secret, all others the task's token.) And because Flower reads a request before it looks at who sent
it, the gate lets strangers send no more than the largest piece of a message. Before it stands a desk at which devices
with a ticket enrol themselves (`python_server.tickets`).

Started by `python_server.superlink.SuperLink`; the settings come as JSON on standard input, so that no secret shows in
the process list.
"""

from __future__ import annotations

import copy
import hmac
import ipaddress
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from python_server.identity import Identity
from python_server.orphans import die_with_parent
from python_server.tickets import EnrolDesk, Tickets

__all__ = ["SECRET_HEADER", "Gate", "main"]

SECRET_HEADER = "pocketfleet-secret"  # noqa: S105 - the header's name, not the secret
_OPEN_TO_DEVICES = "/v1/fleet/"
_HEALTH = "/health"
_RUNTIME = "/v1/runtime/"
_MAX_BODY_BYTES = 16 * 2**20
"""Weights come in pieces of at most 5 MiB; the list of a message's pieces is smaller still."""

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Gate:
    """ASGI middleware that keeps everything but the Fleet interface to this host and the holder of the secret."""

    def __init__(self, app: _App, secret: str) -> None:
        self._app = app
        self._secret = secret.encode("ascii")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass an admitted request on; answer any other as if there were nothing here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and not self._admits(scope):
            await _refuse(send, 404)
        elif scope["type"] == "http" and _is_too_large(scope):
            await _refuse(send, 413)
        else:
            await self._app(scope, receive, send)

    def _admits(self, scope: _Scope) -> bool:
        path = scope["path"]
        if path.startswith(_OPEN_TO_DEVICES):
            return True
        if not _is_local(scope):
            return False
        return path == _HEALTH or path.startswith(_RUNTIME) or self._knows_secret(scope)

    def _knows_secret(self, scope: _Scope) -> bool:
        name = SECRET_HEADER.encode("ascii")
        given = [value for key, value in scope["headers"] if key == name]
        return len(given) == 1 and hmac.compare_digest(given[0], self._secret)


async def _refuse(send: _Send, status: int) -> None:
    # The body was not read, so nothing more can come over this connection.
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_too_large(scope: _Scope) -> bool:
    """Tell whether a device announces too large a body, or none of a known size."""
    if not scope["path"].startswith(_OPEN_TO_DEVICES):
        return False
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    plain = length.isdigit() and len(length) <= 12  # Python refuses to read numbers of thousands of digits
    return b"transfer-encoding" in headers or not plain or int(length) > _MAX_BODY_BYTES


def _is_local(scope: _Scope) -> bool:
    client, server = scope.get("client"), scope.get("server")
    if not client or not server:
        return False
    # A program on this host that connects to the host's own outward address comes from that very address.
    return ipaddress.ip_address(client[0]).is_loopback or client[0] == server[0]


def _short_way(full: Any) -> _App:
    """Send Fleet and Runtime requests past the middleware that has nothing to do for them.

    Flower wraps every request in eight layers, and each costs some 0.3 ms. Five of them only look at Control requests,
    event logs or traces, none of which a training round has; without them a request takes half the time.
    """
    from flwr.supercore.error import http_error_translator
    from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
    from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware

    needed = (ProtobufTranslationMiddleware, NodeAuthMiddleware)
    short = copy.copy(full)
    short.user_middleware = [
        layer
        for layer in full.user_middleware
        if layer.cls in needed or layer.kwargs.get("dispatch") is http_error_translator
    ]
    if len(short.user_middleware) != len(needed) + 1:
        raise RuntimeError("this version of flwr has other middleware than the one this program was written for")

    async def route(scope: _Scope, receive: _Receive, send: _Send) -> None:
        path = scope.get("path", "")
        app = short if path.startswith((_OPEN_TO_DEVICES, _RUNTIME)) else full
        await app(scope, receive, send)

    return route


def main() -> None:
    """Serve until told to stop."""
    settings = json.load(sys.stdin)
    die_with_parent(settings["parent"])
    # Ctrl-C in a terminal reaches every process; only the parent decides when this one stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    import uvicorn
    from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
    from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
    from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig
    from flwr.superlink.main import create_app

    listener = socket.socket(fileno=settings["socket"])
    host, port = listener.getsockname()[:2]
    config = SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=host,
        port=port,
        insecure=settings["certificate"] is None,
        certificates=None,  # only Flower's gRPC servers read it, and none is started
        superexec_auth_secret=settings["secret"].encode("ascii"),
        authn_plugin=NoOpControlAuthnPlugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=settings["enrolled_only"],
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=settings["certificate"],
        ssl_keyfile=settings["key"],
        database=FLWR_IN_MEMORY_DB_NAME,
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
    app: _App = Gate(_short_way(create_app(config, SuperLinkLifespan)), settings["secret"])
    if settings["identity"]:
        app = EnrolDesk(app, Tickets(Identity(Path(settings["identity"]))))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            ssl_certfile=settings["certificate"],
            ssl_keyfile=settings["key"],
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
