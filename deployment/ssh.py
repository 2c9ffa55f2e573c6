"""SSH: strict host keys, our own known hosts, links whose death shows in seconds, files as fast as a cipher goes.

Files travel through `cat` on the device, not SFTP: a stream needs no answer per block, and boards without an SFTP
server (Dropbear) have it too.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import paramiko

from deployment import transfer
from deployment.connector import Completed, Progress
from deployment.errors import AuthenticationError, CommandTimeoutError, DeployError, LostLinkError, UnreachableError
from deployment.inventory import DeviceEntry
from deployment.known_hosts import KnownHosts

__all__ = ["SshConnector", "host_keys"]

_CONNECT_S = 10
_GREETING_S = 30
_DEAD_S = 8
"""Unacknowledged data, or keep-alive probes, for so long mean that the link is dead."""
_STALL_S = 60
"""Behind a jump host only silence can tell."""
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""First choice: they authenticate as they encrypt, which takes a quarter less of the processor than CTR with HMAC."""

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its threads would print tracebacks of what we report


class SshConnector(transfer.ShellFiles):
    """An open SSH connection.

    Parameters
    ----------
    device
        How to reach it, and as whom.
    known_hosts
        File of the trusted host keys.

    Raises
    ------
    deployment.errors.UnreachableError
        Nothing answers.
    deployment.errors.HostKeyError
        Its host key is unknown, or another than before.
    deployment.errors.AuthenticationError
        It does not let us in.
    """

    def __init__(self, device: DeviceEntry, known_hosts: Path) -> None:
        self.name = device.name
        self._clients: list[paramiko.SSHClient] = []
        keys = KnownHosts(known_hosts, device.name)
        try:
            self._client = self._connect(device, keys)
        except BaseException:
            self.close()
            raise

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command."""

        def talk(channel: paramiko.Channel, deadline: float) -> bytes:
            with _ended_early(channel):
                if stdin:
                    channel.sendall(stdin)
                channel.shutdown_write()
            return b"".join(_received(channel, deadline))

        return self._run(words, talk, timeout_s)

    def feed(
        self, words: Sequence[str], source: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that reads a file."""

        def talk(channel: paramiko.Channel, deadline: float) -> bytes:
            sent = done
            channel.settimeout(_STALL_S)
            with _ended_early(channel):
                while block := source.read(transfer.BLOCK_BYTES):
                    channel.sendall(block)
                    sent += len(block)
                    progress(sent, total)
                channel.shutdown_write()
            return b"".join(_received(channel, time.monotonic() + wait_s))

        return self._run(words, talk, wait_s, whole=False)

    def drain(
        self, words: Sequence[str], target: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that writes a file."""

        def talk(channel: paramiko.Channel, deadline: float) -> bytes:
            got = done
            channel.settimeout(wait_s)
            while block := channel.recv(transfer.BLOCK_BYTES):
                target.write(block)
                got += len(block)
                progress(got, total)
            return b""

        return self._run(words, talk, wait_s, whole=False)

    def close(self) -> None:
        """End the connection, and the one to the jump host; may be called from another thread."""
        for client in reversed(self._clients):
            client.close()

    def _run(
        self,
        words: Sequence[str],
        talk: Callable[[paramiko.Channel, float], bytes],
        timeout_s: float,
        *,
        whole: bool = True,
    ) -> Completed:
        """Run a command and talk to it; ``whole``: the timeout is that of all of it, not of a silence."""
        deadline = time.monotonic() + timeout_s
        errors = bytearray()
        try:
            transport = self._client.get_transport()
            if transport is None:
                raise EOFError
            with transport.open_session(timeout=_GREETING_S) as channel:
                # A last command would take the shell's place, and its death by a signal would look like a lost link.
                channel.exec_command(f"env LC_ALL=C {shlex.join(words)}; exit $?")
                drain = threading.Thread(target=_drain_errors, args=(channel, errors), daemon=True)
                drain.start()  # stderr that nobody reads stops the command
                output = talk(channel, deadline)
                status = self._status(channel, deadline if whole else time.monotonic() + timeout_s)
                drain.join(_GREETING_S)
                return Completed(status, output, bytes(errors))
        except TimeoutError:
            if whole:
                raise CommandTimeoutError(self.name, f"{words[0]} took more than {timeout_s:g} s") from None
            raise self._lost("nothing moved any more") from None
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            if isinstance(error, DeployError):
                raise
            raise self._lost(str(error)) from None

    def _status(self, channel: paramiko.Channel, deadline: float) -> int:
        if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        if channel.exit_status == -1:
            raise self._lost("the command was cut off")
        return channel.exit_status

    def _lost(self, how: str) -> LostLinkError:
        return LostLinkError(
            self.name, f"the link broke{f' ({how})' if how else ''}", "run this again: it goes on where it stopped"
        )

    def _connect(self, device: DeviceEntry, keys: KnownHosts) -> paramiko.SSHClient:
        sock: Any = None
        if device.jump:
            user, host, port = _parse_jump(device)
            jump = self._open(device, user, host, port, None, keys)
            sock = _through(jump, device)
        return self._open(device, device.user, device.host, device.port or 22, sock, keys)

    def _open(
        self, device: DeviceEntry, user: str, host: str, port: int, sock: Any, keys: KnownHosts
    ) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        self._clients.append(client)
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
                banner_timeout=_GREETING_S,
                auth_timeout=_GREETING_S,
                transport_factory=_transport,
            )
        return client


def host_keys(device: DeviceEntry, known_hosts: Path) -> Iterator[tuple[str, paramiko.PKey]]:
    """Yield the hosts on the way to a device, and the keys that they show, without logging in to the last.

    The jump host comes first; it has to be trusted before the device's own key can be fetched through it.
    """
    keys = KnownHosts(known_hosts, device.name)
    sock: Any = None
    connector = SshConnector.__new__(SshConnector)
    connector.name, connector._clients = device.name, []
    try:
        if device.jump:
            user, host, port = _parse_jump(device)
            yield _known_as(host, port), _shown_key(device, host, port, None, keys)
            sock = _through(connector._open(device, user, host, port, None, keys), device)
        port = device.port or 22
        yield _known_as(device.host, port), _shown_key(device, device.host, port, sock, keys)
    finally:
        connector.close()


def _shown_key(device: DeviceEntry, host: str, port: int, sock: Any, keys: KnownHosts) -> paramiko.PKey:
    with _connecting(device, device.user, host, port, keys):
        transport = paramiko.Transport(sock or _socket(host, port))
        try:
            transport.start_client(timeout=_GREETING_S)
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


def _through(jump: paramiko.SSHClient, device: DeviceEntry) -> paramiko.Channel:
    transport = jump.get_transport()
    assert transport is not None
    try:
        return transport.open_channel(
            "direct-tcpip", (device.host, device.port or 22), ("127.0.0.1", 0), timeout=_GREETING_S
        )
    except (paramiko.SSHException, EOFError) as error:
        raise UnreachableError(
            device.name,
            f"{device.jump} cannot reach {device.host}: {error}",
            "check host and port, and the jump host's sshd",
        ) from None


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), _CONNECT_S)
    # paramiko's own keep-alive asks but never listens for the answer; the kernel does both.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_S * 1000)
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
    except socket.gaierror:
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


@contextlib.contextmanager
def _ended_early(channel: paramiko.Channel) -> Iterator[None]:
    """Let a command end before it has read all: its status says why."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError:
        if not channel.status_event.wait(_DEAD_S) or channel.exit_status == -1:
            raise EOFError("the connection is gone") from None


def _received(channel: paramiko.Channel, deadline: float) -> Iterator[bytes]:
    while True:
        channel.settimeout(max(0.01, deadline - time.monotonic()))
        block = channel.recv(transfer.BLOCK_BYTES)
        if not block:
            return
        yield block


def _drain_errors(channel: paramiko.Channel, errors: bytearray) -> None:
    while True:
        try:
            block = channel.recv_stderr(1 << 16)
        except TimeoutError:
            continue  # the timeout is that of standard output
        except (OSError, EOFError):
            return
        if not block:
            return
        errors += block
