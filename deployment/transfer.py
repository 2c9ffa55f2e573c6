"""Resumable, checked, atomic copies, for connectors whose devices have a POSIX shell.

A connector brings a `Channel`, which runs a command that reads from an open local file or writes to one. Everything
else is the device's own `cat`, `head`, `sha256sum` and `mv`.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from deployment.connector import Completed, Progress, check, failure, no_progress, script
from deployment.errors import DeploymentError, IntegrityError, NoSpaceError, NotThereError

__all__ = [
    "BLOCK_BYTES",
    "SHA256",
    "Channel",
    "ShellFiles",
    "download",
    "file_sha256",
    "free_bytes",
    "remote_sha256",
    "upload",
]

BLOCK_BYTES = 1 << 18
_HASH_BYTES_PER_S = 5_000_000
"""An old board under load hashes at least this fast; sets how long we wait."""
_SHORT, _DAMAGED = 8, 9

SHA256 = """
if openssl dgst -sha256 -r < /dev/null > /dev/null 2>&1
then sha256() { openssl dgst -sha256 -r | cut -d ' ' -f 1; }
else sha256() { sha256sum | cut -d ' ' -f 1; }
fi
"""
"""Shell: a filter to the hexadecimal sha256. OpenSSL uses the processor's own instructions, coreutils often do not."""

_LOOK = (
    SHA256
    + """
if [ -f "$1" ] && [ "$(wc -c < "$1")" -eq "$2" ] && [ "$(sha256 < "$1")" = "$3" ]
then echo whole; exit; fi
if [ -d "$1" ]; then echo "$1: Is a directory" >&2; exit 1; fi
mkdir -p "$(dirname "$1")"
if [ -f "$1.part" ]; then size=$(wc -c < "$1.part"); else size=0; fi
if [ "$size" -gt "$2" ]; then size=0; fi
if [ "$size" -gt 0 ]; then
  # The writer of a broken link may live on for a while: from now on, in a file of its own. Where there is no room for
  # that, the sum shows whether it has disturbed.
  if cp "$1.part" "$1.part.new" 2> /dev/null; then mv -f "$1.part.new" "$1.part"; else rm -f "$1.part.new"; fi
  size=$(wc -c < "$1.part")
fi
free=$(stat -f -c '%a %S' "$(dirname "$1")")
echo "$((size)) $free $(head -c "$size" "$1.part" 2> /dev/null | sha256)"
"""
)
# The sum is taken of what passes by: reading it again afterwards would take a board as long as receiving it.
# A command whose link broke reads the end of its input like any other: what it has is a part, and stays.
_FINISH = f"""
case $sum in *failed*) exit 1 ;; esac
[ "$(wc -c < "$1.part")" -eq "$3" ] || exit {_SHORT}
[ "$sum" = "$2" ] || {{ rm -f "$1.part"; exit {_DAMAGED}; }}
mv -f "$1.part" "$1"
"""
_FRESH = SHA256 + 'rm -f "$1.part"; sum=$({ { tee "$1.part" || echo failed >&3; } | sha256; } 3>&1)' + _FINISH
_GO_ON = SHA256 + 'sum=$({ { cat "$1.part"; tee -a "$1.part" || echo failed >&3; } | sha256; } 3>&1)' + _FINISH
_SHA = SHA256 + """if [ -f "$1" ]; then sha256 < "$1"; fi"""
# Not df and awk: Android before 12 has no awk. Not multiplied there: its shell counts in 32 bits.
_FREE = """
path=$1
while [ ! -e "$path" ]; do path=$(dirname "$path"); done
stat -f -c '%a %S' "$path"
"""
# A log may grow while it is read: what is there now is what is fetched.
_SIZE_AND_SHA = (
    SHA256
    + """
[ -f "$1" ] || exit 0
size=$(wc -c < "$1")
echo "$((size)) $(head -c "$size" "$1" | sha256)"
"""
)
_TAIL = 'tail -c "+$2" "$1" | head -c "$3"'


class Channel(Protocol):
    """What is needed of a connector."""

    name: str

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command."""

    def feed(
        self, words: Sequence[str], source: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that reads an open file from where it stands; wait ``wait_s`` once it has read all.

        ``progress`` hears of ``done`` bytes and more, out of ``total``. A command that ends before it has read
        everything is no error here.
        """

    def drain(
        self, words: Sequence[str], target: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command and write what it prints to an open file; ``wait_s`` without a byte is a lost link."""


class ShellFiles:
    """The part of a connector that deals with files, for one that is a `Channel`."""

    def put(self: Channel, source: Path, target: str, *, progress: Progress = no_progress) -> int:
        """Copy a file to the device; see `deployment.connector.Connector.put`."""
        return upload(self, source, target, progress)

    def get(self: Channel, source: str, target: Path, *, progress: Progress = no_progress) -> int:
        """Copy a file from the device; see `deployment.connector.Connector.get`."""
        return download(self, source, target, progress)

    def sha256(self: Channel, path: str) -> str | None:
        """Return a file's sha256, computed on the device; None where there is no such file."""
        return remote_sha256(self, path)

    def free_bytes(self: Channel, path: str) -> int:
        """Return the bytes that may be written at a path."""
        return free_bytes(self, path)


def upload(channel: Channel, source: Path, target: str, progress: Progress) -> int:
    """Put a file on the device, as `deployment.connector.Connector.put` promises."""
    try:
        with source.open("rb") as file:
            return _upload(channel, file, file_sha256(source), target, progress)
    except DeploymentError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DeploymentError(f"{source}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _upload(channel: Channel, file: BinaryIO, digest: str, target: str, progress: Progress) -> int:
    total = os.fstat(file.fileno()).st_size
    patience_s = 60 + total / _HASH_BYTES_PER_S
    looked = check(channel, script(_LOOK, target, str(total), digest), timeout_s=2 * patience_s).text
    if looked == "whole":
        progress(total, total)
        return 0
    size, blocks, block_bytes, prefix = looked.split()
    done, free = int(size), int(blocks) * int(block_bytes)
    if _sha256(file, done) != prefix:
        done = 0
    if total - done > free:
        raise NoSpaceError(
            channel.name,
            f"{target} needs {(total - done) / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free",
            "make room on it and run this again",
        )
    file.seek(done)
    progress(done, total)
    words = script(_GO_ON if done else _FRESH, target, digest, str(total))
    completed = channel.feed(words, file, done, total, progress, wait_s=patience_s)
    if completed.status == _SHORT:
        raise IntegrityError(channel.name, f"{target} arrived in part", "is somebody else writing it? Run this again")
    if completed.status == _DAMAGED:
        raise IntegrityError(channel.name, f"{target} arrived damaged, and was removed", "run this again")
    if completed.status != 0:
        raise failure(channel.name, completed, ["writing", target])
    return total - done


def download(channel: Channel, source: str, target: Path, progress: Progress) -> int:
    """Fetch a file from the device, as `deployment.connector.Connector.get` promises."""
    found = check(channel, script(_SIZE_AND_SHA, source), timeout_s=600).text
    if not found:
        raise NotThereError(channel.name, f"there is no {source} on it")
    size, _, digest = found.partition(" ")
    total = int(size)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.stat().st_size == total and file_sha256(target) == digest:
            progress(total, total)
            return 0
        with part.open("a+b") as file:
            done = _resume_at(channel, source, file, total)
            file.truncate(done)
            progress(done, total)
            words = script(_TAIL, source, str(done + 1), str(total - done))
            completed = channel.drain(words, file, done, total, progress, wait_s=60)
            if completed.status != 0:
                raise failure(channel.name, completed, ["reading", source])
            file.flush()
            os.fsync(file.fileno())
        if file_sha256(part) != digest:
            part.unlink()
            raise IntegrityError(channel.name, f"{source} changed while it was read, or arrived damaged", "try again")
        part.replace(target)
    except DeploymentError:
        raise
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise DeploymentError(f"{target}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return total - done


def _resume_at(channel: Channel, source: str, file: BinaryIO, total: int) -> int:
    done = os.fstat(file.fileno()).st_size
    if not 0 < done <= total:
        return 0
    words = script(SHA256 + 'head -c "$2" "$1" | sha256', source, str(done))
    return done if check(channel, words, timeout_s=600).text == _sha256(file, done) else 0


def remote_sha256(channel: Channel, path: str) -> str | None:
    """Return a file's sha256, computed on the device; None where it is not there."""
    return check(channel, script(_SHA, path), timeout_s=600).text or None


def free_bytes(channel: Channel, path: str) -> int:
    """Return the bytes that may be written at a path or its nearest parent."""
    blocks, size = check(channel, script(_FREE, path)).text.split()
    return int(blocks) * int(size)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a local file; known as long as neither size nor time changes."""
    about = path.stat()
    return _file_sha256(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(file: BinaryIO, size: int) -> str:
    """Return the sha256 of a file's first ``size`` bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(BLOCK_BYTES, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
