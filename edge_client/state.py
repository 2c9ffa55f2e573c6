"""What a client must still know after it was killed: who it is, what it works on, what it has yet to send.

One directory, one client::

    key.pem     the key that names it to the server (mode 0600)
    node.json   the number that the server knows it by
    task        the message it works on; the message's arrays stay with the server until the reply is safe
    reply       the finished reply, until the server has all of it
    session     the server's name for the exchange in which the reply is being sent
    lock        held by the running client

Each file is written whole or not at all, and is on the disk before the step that depends on it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Optional, Union

from edge_client.errors import StateError, StateInUseError

__all__ = ["SavedReply", "StateDirectory"]

Buffer = Union[bytes, memoryview]

_log = logging.getLogger("pocketfleet.client")

_MAGIC = b"pocketfleet reply 1\n"
_ID_BYTES = 64
_LENGTH_BYTES = 8


class StateDirectory:
    """A client's state directory, locked while the object lives.

    Parameters
    ----------
    path
        The directory; made if it is not there.

    Raises
    ------
    edge_client.errors.StateInUseError
        Another client is using it.
    edge_client.errors.StateError
        It cannot be made or written.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = open(self.path / "lock", "a+", encoding="ascii")  # noqa: SIM115 (held until close)
        except OSError as error:
            raise StateError(f"{self.path}: cannot be used as a state directory: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            self._lock.close()
            raise StateInUseError(
                f"{self.path}: another client{holder} is using this state directory; "
                "stop it, or give each client a directory of its own with --state"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def __enter__(self) -> StateDirectory:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another client use the directory."""
        self._lock.close()

    @property
    def key_file(self) -> Path:
        """Where the client's private key is, or will be."""
        return self.path / "key.pem"

    def node_id(self) -> Optional[int]:
        """Return the number that the server last knew this client by."""
        content = self._read("node.json")
        if content is None:
            return None
        try:
            return int(json.loads(content)["node-id"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{self.path / 'node.json'}: damaged; delete it") from error

    def save_node_id(self, node_id: int) -> None:
        """Keep the number that the server knows this client by."""
        # As text, because not every reader of JSON has 64-bit integers.
        self._write("node.json", [json.dumps({"node-id": str(node_id)}).encode()])

    def task(self) -> Optional[bytes]:
        """Return the message that was being worked on, as it was saved."""
        return self._read("task")

    def save_task(self, message: bytes) -> None:
        """Keep a message before the server is told that it arrived."""
        self._write("task", [message])

    def forget_task(self) -> None:
        """Drop the message: its reply is safe, or nobody wants one."""
        self._remove("task")

    def reply(self) -> Optional[SavedReply]:
        """Open the reply that has yet to be sent."""
        try:
            return SavedReply(open(self.path / "reply", "rb"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path / 'reply'}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            _log.error("event=dropped what=reply reason=%s", error)
            self.forget_reply()
            return None

    def save_reply(self, announcement: bytes, objects: Iterable[tuple[str, int, Sequence[Buffer]]]) -> None:
        """Keep a finished reply before its first byte is sent.

        Parameters
        ----------
        announcement
            The request that announces it.
        objects
            Id, size and parts of each of its objects, in the order in which they are to be sent.
        """

        def parts() -> Iterable[Buffer]:
            yield _MAGIC + len(announcement).to_bytes(_LENGTH_BYTES, "little")
            yield announcement
            for object_id, size, content in objects:
                yield object_id.encode("ascii") + size.to_bytes(_LENGTH_BYTES, "little")
                yield from content

        self._write("reply", parts())

    def session(self) -> str:
        """Return the server's name for the exchange in which the reply was being sent; empty: not known."""
        content = self._read("session") or b""
        return content.decode("ascii", errors="ignore")

    def save_session(self, session: str) -> None:
        """Keep the server's name for the exchange that is about to begin."""
        # Losing it to a power cut costs little, so the disk is not made to hurry.
        self._write("session", [session.encode("ascii", errors="ignore")], durable=False)

    def forget_reply(self) -> None:
        """Drop the reply: the server has it, or does not want it."""
        self._remove("reply")
        self._remove("session")

    def _holder(self) -> str:
        self._lock.seek(0)
        pid = self._lock.read(20).strip()
        return f" (process {pid})" if pid.isdigit() else ""

    def _read(self, name: str) -> Optional[bytes]:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path / name}: cannot be read: {error.strerror}") from error

    def _write(self, name: str, parts: Iterable[Buffer], *, durable: bool = True) -> None:
        # One client holds the directory, so a fixed temporary name is safe and a kill leaves at most one behind.
        temporary = self.path / f"{name}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.writelines(parts)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
            if durable:
                self._sync()
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(f"{self.path / name}: cannot be written: {error.strerror}") from error

    def _remove(self, name: str) -> None:
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{self.path / name}: cannot be deleted: {error.strerror}") from error

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SavedReply:
    """A reply on disk: what announces it, and its objects, read one at a time.

    Parameters
    ----------
    file
        What `StateDirectory.save_reply` wrote; closed with the object.

    Attributes
    ----------
    announcement
        The request that announces it.
    object_ids
        Its objects in the order in which they are to be sent.

    Raises
    ------
    ValueError
        The file is something else.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        end = os.fstat(file.fileno()).st_size
        try:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("not a saved reply")
            self.announcement = file.read(self._length(end))
            while file.tell() < end:
                object_id = file.read(_ID_BYTES).decode("ascii")
                size = self._length(end)
                self._places[object_id] = (file.tell(), size)
                file.seek(size, os.SEEK_CUR)
        except BaseException:
            file.close()
            raise
        self.object_ids = list(self._places)

    def read(self, object_id: str) -> bytes:
        """Return an object's bytes."""
        start, size = self._places[object_id]
        return os.pread(self._file.fileno(), size, start)

    def size(self, object_id: str) -> int:
        """Return how many bytes an object has."""
        return self._places[object_id][1]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _length(self, end: int) -> int:
        """Read the length of what follows, which the file has to have."""
        field = self._file.read(_LENGTH_BYTES)
        length = int.from_bytes(field, "little")
        if len(field) != _LENGTH_BYTES or length > end - self._file.tell():
            raise ValueError("a saved reply cut short")
        return length
