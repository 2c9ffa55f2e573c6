"""The machine itself as a device: for trying things out, and for a client beside the server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Callable

from deployment import transfer
from deployment.connector import Completed, Progress
from deployment.errors import CommandTimeoutError

__all__ = ["LocalConnector"]


class LocalConnector(transfer.ShellFiles):
    """Runs commands as processes of this user, in the home directory.

    Parameters
    ----------
    name
        The device's name, for messages.
    home
        Directory to run commands in, and their ``HOME``; None is the user's own.
    """

    def __init__(self, name: str, *, home: Path | None = None) -> None:
        self.name = name
        self._home = str(home or Path.home())
        self._running: set[int] = set()

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command."""
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            return self._run(words, given, lambda process: None, timeout_s)

    def feed(
        self, words: Sequence[str], source: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that reads a file."""

        def write(process: subprocess.Popen[bytes]) -> None:
            assert process.stdin is not None
            sent = done
            with contextlib.suppress(BrokenPipeError):  # the command ended early, and its status says why
                while block := source.read(transfer.BLOCK_BYTES):
                    process.stdin.write(block)
                    process.stdin.flush()
                    sent += len(block)
                    progress(sent, total)

        return self._run(words, subprocess.PIPE, write, wait_s)

    def drain(
        self, words: Sequence[str], target: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that writes a file."""

        def read(process: subprocess.Popen[bytes]) -> None:
            assert process.stdout is not None
            got = done
            while block := process.stdout.read(transfer.BLOCK_BYTES):
                target.write(block)
                got += len(block)
                progress(got, total)

        return self._run(words, subprocess.DEVNULL, read, wait_s)

    def close(self) -> None:
        """End what is running; may be called from another thread."""
        for process in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

    def _run(
        self,
        words: Sequence[str],
        stdin: int | BinaryIO,
        talk: Callable[[subprocess.Popen[bytes]], None],
        timeout_s: float,
    ) -> Completed:
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    list(words),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=self._home,
                    env={**os.environ, "HOME": self._home, "LC_ALL": "C"},
                    start_new_session=True,  # Ctrl-C is for us; what we started, we end ourselves
                )
            except (FileNotFoundError, PermissionError):
                return Completed(127, b"", f"{words[0]}: not found".encode())
            with _ended(process), self._known(process.pid):
                talk(process)
                try:
                    stdout, _ = process.communicate(timeout=timeout_s)
                except subprocess.TimeoutExpired:
                    raise CommandTimeoutError(self.name, f"{words[0]} took more than {timeout_s:g} s") from None
            errors.seek(0)
            status = process.returncode
            return Completed(status if status >= 0 else 128 - status, stdout, errors.read())

    @contextlib.contextmanager
    def _known(self, process: int) -> Iterator[None]:
        self._running.add(process)
        try:
            yield
        finally:
            self._running.discard(process)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process and its children if the block fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.wait()
        raise
