"""Getting in by SSH: strict host keys, keys and passwords, a jump host, sockets that notice a dead link."""

from __future__ import annotations

import contextlib
import getpass
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko

from deployment.errors import AuthenticationError, DeployError, UnreachableError
from deployment.inventory import DeviceEntry
from deployment.known_hosts import KnownHosts

__all__ = ["DEAD_S", "GREETING_S", "host_keys", "log_in"]

_CONNECT_S = 10
GREETING_S = 30
"""How long a greeting, a login, a new channel may take."""
DEAD_S = 8
"""Unacknowledged data, or keep-alive probes, for so long mean that the link is dead."""
_HOP_DEAD_S = 15
"""The same for a device behind a jump host: not the kernel answers for it, but its sshd."""
_ASK_S = 3
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""First choice: they authenticate as they encrypt, which takes a quarter less of the processor than CTR with HMAC."""


def log_in(device: DeviceEntry, known_hosts: Path, clients: list[paramiko.SSHClient]) -> None:
    """Connect to a device, through its jump host if it has one.

    Parameters
    ----------
    clients
        The connections are put here, the device's own last; it is the caller's to close them, also after an error.

    Raises
    ------
    deployment.errors.UnreachableError
        Nothing answers.
    deployment.errors.HostKeyError
        Its host key is unknown, or another than before.
    deployment.errors.AuthenticationError
        It does not let us in.
    """
    keys = KnownHosts(known_hosts, device.name)
    hop = _through_jump(device, keys, clients) if device.jump else None
    client = _open(device, device.user, device.host, device.port or 22, hop, keys, clients)
    if hop is not None:
        transport = client.get_transport()
        assert transport is not None
        hop.watch(transport)


def host_keys(device: DeviceEntry, known_hosts: Path) -> Iterator[tuple[str, paramiko.PKey]]:
    """Yield the hosts on the way to a device, and the keys that they show, without logging in to the last.

    The jump host comes first; it has to be trusted before the device's own key can be fetched through it.
    """
    keys = KnownHosts(known_hosts, device.name)
    clients: list[paramiko.SSHClient] = []
    hop = None
    try:
        if device.jump:
            _, host, port = _parse_jump(device)
            yield _known_as(host, port), _shown_key(device, host, port, None, keys)
            hop = _through_jump(device, keys, clients)
        port = device.port or 22
        yield _known_as(device.host, port), _shown_key(device, device.host, port, hop, keys)
    finally:
        for client in reversed(clients):
            client.close()


class _Hop:
    """A channel through a jump host, used as a socket. The jump host answers for itself alone, so we listen.

    Parameters
    ----------
    channel
        To the device.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._heard_at = float("inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def watch(self, transport: paramiko.Transport) -> None:
        """From now on, silence means that the link is dead."""
        self._heard_at = time.monotonic()
        threading.Thread(target=self._ask, args=(transport,), daemon=True).start()

    def recv(self, size: int) -> bytes:
        """Receive, as a socket does; paramiko asks several times a second."""
        try:
            block = self._channel.recv(size)
        except TimeoutError:
            if time.monotonic() - self._heard_at > _HOP_DEAD_S:
                return b""  # the end
            raise
        if self._heard_at != float("inf"):
            self._heard_at = time.monotonic()
        return block

    def close(self) -> None:
        """Close it; the jump host's connection may be gone before."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()

    @staticmethod
    def _ask(transport: paramiko.Transport) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            while transport.is_active():
                transport.global_request("keepalive@openssh.com")  # waits for the answer; a refusal is one
                time.sleep(_ASK_S)


def _through_jump(device: DeviceEntry, keys: KnownHosts, clients: list[paramiko.SSHClient]) -> _Hop:
    user, host, port = _parse_jump(device)
    transport = _open(device, user, host, port, None, keys, clients).get_transport()
    assert transport is not None
    try:
        return _Hop(
            transport.open_channel(
                "direct-tcpip", (device.host, device.port or 22), ("127.0.0.1", 0), timeout=_CONNECT_S
            )
        )
    except (paramiko.SSHException, EOFError) as error:
        raise UnreachableError(
            device.name,
            f"{device.jump} cannot reach {device.host}: {error}",
            "check host and port, and the jump host's sshd",
        ) from None


def _open(
    device: DeviceEntry,
    user: str,
    host: str,
    port: int,
    sock: Any,
    keys: KnownHosts,
    clients: list[paramiko.SSHClient],
) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    clients.append(client)
    trusted = client.get_host_keys()  # load_host_keys() would have paramiko write to the file
    for known, kinds in keys.keys().items():
        for kind, key in kinds.items():
            trusted.add(known, kind, key)
    client.set_missing_host_key_policy(keys)
    user = user or getpass.getuser()
    password = device.password if host == device.host else None  # not for the jump host's eyes
    given = device.key is not None or password is not None
    if device.key is not None and not device.key.is_file():
        raise AuthenticationError(device.name, f"there is no key file {device.key}", "mend `key` in the inventory")
    with _connecting(device, user, host, port, keys):
        client.connect(
            host,
            port,
            username=user,
            password=password.reveal(device.name, "password") if password else None,
            passphrase=device.passphrase.reveal(device.name, "passphrase") if device.passphrase else None,
            key_filename=str(device.key) if device.key else None,
            allow_agent=not given,
            look_for_keys=not given,
            sock=sock or _socket(host, port),
            banner_timeout=GREETING_S,
            auth_timeout=GREETING_S,
            transport_factory=_transport,
        )
    return client


def _shown_key(device: DeviceEntry, host: str, port: int, sock: Any, keys: KnownHosts) -> paramiko.PKey:
    with _connecting(device, device.user, host, port, keys):
        transport = paramiko.Transport(sock or _socket(host, port))
        try:
            transport.start_client(timeout=GREETING_S)
            return transport.get_remote_server_key()
        finally:
            transport.close()


def _known_as(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"


def _parse_jump(device: DeviceEntry) -> tuple[str, str, int]:
    user, _, rest = device.jump.rpartition("@")
    host, _, port = rest.partition(":") if rest.count(":") < 2 else (rest, "", "")
    if not host or (port and not port.isdecimal()):
        raise UnreachableError(device.name, f"jump is {device.jump!r}", "it has to look like user@host or user@host:22")
    return user, host, int(port or 22)


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), _CONNECT_S)
    # paramiko's own keep-alive asks but never listens for the answer; the kernel does both.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_S * 1000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def _transport(*arguments: Any, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(*arguments, **options)
    security = transport.get_security_options()
    security.ciphers = (*_CIPHERS, *(cipher for cipher in security.ciphers if cipher not in _CIPHERS))
    return transport


@contextlib.contextmanager
def _connecting(device: DeviceEntry, user: str, host: str, port: int, keys: KnownHosts) -> Iterator[None]:
    """Turn what can go wrong on the way in into one line."""
    try:
        yield
    except DeployError:
        raise
    except paramiko.BadHostKeyException as error:
        raise keys.changed(error) from None
    except paramiko.PasswordRequiredException:
        raise AuthenticationError(
            device.name, f"the key {device.key or ''} is locked", "set passphrase = { prompt = true } or { env = ... }"
        ) from None
    except paramiko.AuthenticationException:
        used = f"the key {device.key}" if device.key else "the password" if device.password else "any of your keys"
        raise AuthenticationError(
            device.name,
            f"{user}@{host} does not accept {used}",
            f"try: ssh-copy-id {user}@{host}, or mend the inventory",
        ) from None
    except (socket.gaierror, UnicodeError):  # the resolver takes no name with an empty or too long a part
        raise UnreachableError(device.name, f"there is no host {host!r}", "mend `host` in the inventory") from None
    except ConnectionRefusedError:
        raise UnreachableError(
            device.name, f"nothing listens on {host} port {port}", "start sshd on it, or mend `port`"
        ) from None
    except ValueError as error:
        raise AuthenticationError(device.name, f"the key {device.key} cannot be read: {error}") from None
    except (TimeoutError, OSError, EOFError, paramiko.SSHException) as error:
        how = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        raise UnreachableError(
            device.name, f"{host} port {port}: {how}", "is it switched on and in this network?"
        ) from None
