"""SSH: strict host keys, our own known hosts, links whose death shows in seconds, files as fast as a cipher goes.

Files travel through `cat` on the device, not SFTP: a stream needs no answer per block, and boards without an SFTP
server (Dropbear) have it too.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import paramiko

from deployment import ssh_login, transfer
from deployment.connector import Completed, Progress
from deployment.errors import CommandError, CommandTimeoutError, DeployError, LostLinkError
from deployment.inventory import DeviceEntry

__all__ = ["SshConnector"]

_STALL_S = 60
"""A command that reads nothing for so long, over a link that is well, is stuck."""

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
        try:
            ssh_login.log_in(device, known_hosts, self._clients)
        except BaseException:
            self.close()
            raise

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command."""

        def talk(channel: paramiko.Channel, output: _Output, deadline: float) -> bytes:
            with _ended_early(channel):
                if stdin:
                    channel.sendall(stdin)
                channel.shutdown_write()
            return b"".join(output.blocks(deadline))

        return self._run(words, talk, timeout_s)

    def feed(
        self, words: Sequence[str], source: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that reads a file."""

        def talk(channel: paramiko.Channel, output: _Output, deadline: float) -> bytes:
            sent = done
            channel.settimeout(_STALL_S)
            with _ended_early(channel):
                while block := source.read(transfer.BLOCK_BYTES):
                    channel.sendall(block)
                    sent += len(block)
                    progress(sent, total)
                channel.shutdown_write()
            return b"".join(output.blocks(time.monotonic() + wait_s))

        return self._run(words, talk, wait_s, whole=False)

    def drain(
        self, words: Sequence[str], target: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that writes a file."""

        def talk(channel: paramiko.Channel, output: _Output, deadline: float) -> bytes:
            got = done
            channel.settimeout(wait_s)
            for block in output.blocks():
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
        talk: Callable[[paramiko.Channel, _Output, float], bytes],
        timeout_s: float,
        *,
        whole: bool = True,
    ) -> Completed:
        """Run a command and talk to it; ``whole``: the timeout is that of all of it, not of a silence."""
        deadline = time.monotonic() + timeout_s
        errors = bytearray()
        try:
            transport = self._clients[-1].get_transport()
            if transport is None:
                raise EOFError
            with transport.open_session(timeout=ssh_login.GREETING_S) as channel:
                output = _Output(channel)
                # A last command would take the shell's place, and its death by a signal would look like a lost link.
                command = f"echo {output.mark}; env LC_ALL=C {shlex.join(words)}; exit $?"
                channel.exec_command(f"exec sh -c {shlex.quote(command)}")  # whatever shell the user has
                drain = threading.Thread(target=_drain_errors, args=(channel, errors), daemon=True)
                drain.start()  # stderr that nobody reads stops the command
                printed = talk(channel, output, deadline)
                status = self._status(channel, deadline if whole else time.monotonic() + timeout_s)
                drain.join(ssh_login.GREETING_S)
                if not output.began:
                    said = Completed(status, bytes(output.before), bytes(errors)).complaint or f"status {status}"
                    raise CommandError(
                        self.name, f"its login shell runs no commands ({said})", "give its user one that does: chsh"
                    )
                return Completed(status, printed, bytes(errors))
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


@contextlib.contextmanager
def _ended_early(channel: paramiko.Channel) -> Iterator[None]:
    """Let a command end before it has read all: its status says why."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError:
        if not channel.status_event.wait(ssh_login.DEAD_S) or channel.exit_status == -1:
            raise EOFError("the connection is gone") from None


class _Output:
    """Standard output of a command, without what the login shell printed before it (a greeting in ``.bashrc``)."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self.mark = uuid.uuid4().hex
        self.before = bytearray()
        self.began = False

    def blocks(self, deadline: float | None = None) -> Iterator[bytes]:
        """Yield it; without a deadline the channel's own timeout goes for each block."""
        for block in self._received(deadline):
            if self.began:
                yield block
                continue
            self.before += block
            before, found, after = bytes(self.before).partition(f"{self.mark}\n".encode())
            if found:
                self.began, self.before = True, bytearray(before)
                if after:
                    yield after

    def _received(self, deadline: float | None) -> Iterator[bytes]:
        while True:
            if deadline is not None:
                self._channel.settimeout(max(0.01, deadline - time.monotonic()))
            block = self._channel.recv(transfer.BLOCK_BYTES)
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
