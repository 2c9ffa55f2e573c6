"""How a device is reached: it runs commands and moves files, and nothing else.

What is above (releases, operations) speaks POSIX shell words through `Connector.run` and files through `Connector.put`
and `Connector.get`, so that boards behind SSH or ADB and this machine itself are all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Protocol

from deployment.errors import CommandError, DeployError, NoSpaceError, ReadOnlyError

__all__ = ["Completed", "Connector", "Progress", "Runs", "check", "failure", "no_progress", "script"]

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all, while a file travels; what it raises ends the transfer."""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Completed:
    """What a command left behind.

    Attributes
    ----------
    status
        Exit status, 0 to 255.
    stdout, stderr
        All that it wrote.
    """

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without white space at its ends."""
        return self.stdout.decode("utf-8", "replace").strip()

    @property
    def complaint(self) -> str:
        """Last line of standard error, or of standard output where that is empty."""
        lines = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "replace").splitlines()
        return lines[-1].strip() if lines else ""


class Runs(Protocol):
    """Something that runs commands on a device called ``name``."""

    name: str

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command; see `Connector.run`."""


class Connector(Protocol):
    """An open connection to one device, used by one thread at a time.

    Attributes
    ----------
    name
        The device's name in the inventory, for messages.
    """

    name: str

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command in the user's home directory (on Android: any directory that can be written) and wait for it.

        Parameters
        ----------
        words
            Program and arguments; nothing in them is expanded. `script` makes words of shell text.
        timeout_s
            Seconds until we stop waiting.
        stdin
            What the command reads.

        Raises
        ------
        deployment.errors.LostLinkError
            The connection broke; never reported as an exit status.
        deployment.errors.CommandTimeoutError
            It took too long.
        """

    def put(self, source: Path, target: str, *, progress: Progress = no_progress) -> int:
        """Copy a file to the device, where it appears whole and checked or not at all.

        What an earlier try left in ``target + ".part"`` is used if it is a beginning of the file. The sha256 is
        computed on the device before the file gets its name. A file that is there already does not travel.

        Returns
        -------
        int
            Bytes of the file that travelled.

        Raises
        ------
        deployment.errors.DeployError
            Lost link, no space, read-only storage, or a file that arrived damaged.
        """

    def get(self, source: str, target: Path, *, progress: Progress = no_progress) -> int:
        """Copy a file from the device, going on in ``target`` + ``.part``; it appears whole and checked.

        Returns
        -------
        int
            Bytes that travelled.

        Raises
        ------
        deployment.errors.NotThereError
            There is no such file.
        """

    def sha256(self, path: str) -> str | None:
        """Return the hexadecimal sha256 of a file, computed on the device; None where there is no such file."""

    def free_bytes(self, path: str) -> int:
        """Return the bytes that the user may still write at a path, or at its nearest parent that exists."""

    def close(self) -> None:
        """End the connection; a command that is running on the device may go on."""


def script(text: str, *arguments: str) -> list[str]:
    """Return the words that run shell text with arguments ``$1``, ``$2``, ...; it stops at the first failure."""
    return ["sh", "-euc", text, "sh", *arguments]


def check(connector: Runs, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
    """Run a command that has to succeed.

    Raises
    ------
    deployment.errors.CommandError
        It failed; `NoSpaceError` or `ReadOnlyError` where it says so.
    """
    completed = connector.run(words, timeout_s=timeout_s, stdin=stdin)
    if completed.status != 0:
        raise failure(connector.name, completed, words)
    return completed


def failure(device: str, completed: Completed, words: Sequence[str]) -> DeployError:
    """Return the error that a failed command stands for."""
    complaint = completed.complaint
    if "No space left" in complaint or "Disk quota exceeded" in complaint:
        return NoSpaceError(device, f"its storage is full ({complaint})", "make room on it and run this again")
    if "Read-only file system" in complaint:
        return ReadOnlyError(
            device, f"its storage is read-only ({complaint})", "remount it writable, or give another `directory`"
        )
    what = " ".join(words[4:] if list(words[:2]) == ["sh", "-euc"] else words)
    return CommandError(
        device,
        f"{(what[:60] + '...' if len(what) > 60 else what) or 'a command'} failed with status {completed.status}"
        + (f": {complaint}" if complaint else ""),
        status=completed.status,
    )
