"""The run directory: everything a run leaves behind, written so that a kill at any moment loses at most one round.

A round is committed in two steps. First the weights (and the strategy's arrays) are written to files of their own, each
durable before it gets its name. Then one SQLite transaction adds the round's row with the hashes of those files, its
device rows, measurements and events. The transaction is the commit: files without a row are leftovers, and are removed
when the run is resumed. The random state is the seed of a round's row: all that is drawn in a round comes from a
generator seeded by it.

Interface
---------
`RunStore.create` and `RunStore.open` give the one writer (a lock keeps a second one out); `RunStore.commit` commits a
round; `RunStore.checkpoint` returns what to resume from. For reading, use `python_server.run_reader.RunReader`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, TextIO, Union

import numpy as np

from model_export import tensors
from model_export.errors import TensorFileError
from model_export.files import write_atomically
from python_server import run_lock
from python_server.errors import DiskFullError, StoreError
from python_server.run_rows import (
    SCHEMA_VERSION,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    Json,
    MeasurementRow,
    RoundRow,
    from_columns,
    schema,
    to_columns,
)

__all__ = ["DATABASE", "EXPERIMENT", "LOGS", "Checkpoint", "RoundCommit", "RunStore", "Upload"]

DATABASE = "run.sqlite"
EXPERIMENT = "experiment.toml"
LOGS = "logs"
WEIGHTS = "weights"
STRATEGY = "strategy"

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SQLITE_NO_SPACE = {sqlite3.SQLITE_FULL} | {sqlite3.SQLITE_IOERR | (detail << 8) for detail in (3, 4, 6, 19)}
"""Full, or a write, fsync, truncate or growth of shared memory that failed (https://www.sqlite.org/rescode.html)."""

Arrays = Mapping[str, np.ndarray]
_Row = Union[DeviceRow, RoundRow, DeviceRoundRow, MeasurementRow, EventRow]


@dataclass(frozen=True)
class Upload:
    """How long a device's upload of an earlier round took, which it can only tell afterwards."""

    round: int
    device: str
    seconds: float
    bytes: Optional[int]
    measurements: tuple[MeasurementRow, ...] = ()


@dataclass(frozen=True)
class RoundCommit:
    """All that one round adds to the run. ``row``'s file names and hashes are filled in by the store."""

    row: RoundRow
    weights: Arrays
    strategy_arrays: Arrays = field(default_factory=dict)
    devices: Sequence[DeviceRow] = ()
    device_rounds: Sequence[DeviceRoundRow] = ()
    measurements: Sequence[MeasurementRow] = ()
    uploads: Sequence[Upload] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The last committed round: what a resumed run goes on from."""

    row: RoundRow
    weights: dict[str, np.ndarray]
    strategy_state: Json
    strategy_arrays: dict[str, np.ndarray]


class RunStore:
    """The one writer of a run directory.

    Attributes
    ----------
    path
        The run directory.
    keep
        ``"all"`` keeps the weights of every round, ``"last"`` only those that a resume needs.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: TextIO, keep: str) -> None:
        self.path = path
        self.keep = keep
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(cls, path: Path, experiment: bytes, info: Mapping[str, str], *, keep: str = "all") -> RunStore:
        """Make a new run directory; on failure nothing of it stays.

        Parameters
        ----------
        path
            Directory to make; its parents are made too.
        experiment
            The experiment file's bytes, kept as they are.
        info
            Facts about the run, all text: name, bundle hash, versions.

        Raises
        ------
        StoreError
            The directory exists or cannot be written.
        DiskFullError
            No space left.
        """
        with _telling(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.mkdir()
            except FileExistsError:
                raise StoreError(f"{path} exists; choose another run id, or resume it with --resume") from None
            try:
                for folder in (WEIGHTS, STRATEGY, LOGS):
                    (path / folder).mkdir()
                write_atomically(path / EXPERIMENT, experiment)
                lock = run_lock.take(path)
                connection = _connect(path)
                with _transaction(connection):
                    for statement in schema().split(";\n"):
                        connection.execute(statement)
                    facts = {**info, "schema_version": str(SCHEMA_VERSION), "created_at": repr(time.time())}
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", sorted(facts.items()))
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
        return cls(path, connection, lock, keep)

    @classmethod
    def open(cls, path: Path, *, keep: str = "all") -> RunStore:
        """Open an existing run for writing, and remove what a killed writer left half done.

        Raises
        ------
        StoreError
            There is no run, it is in use by another process, or it was written by another version.
        """
        if not (path / DATABASE).is_file():
            raise StoreError(f"{path} is not a run directory: it has no {DATABASE}")
        with _telling(path):
            lock = run_lock.take(path)
            store = cls(path, _connect(path), lock, keep)
            try:
                found = store._meta().get("schema_version")
                if found != str(SCHEMA_VERSION):
                    raise StoreError(f"{path} has schema version {found}, this program writes {SCHEMA_VERSION}")
                store._remove_leftovers()
            except BaseException:
                store.close()
                raise
        return store

    def checkpoint(self) -> Optional[Checkpoint]:
        """Return the last committed round, or None before round 0 was committed.

        Raises
        ------
        StoreError
            A file that the database names is missing or damaged.
        """
        with _telling(self.path):
            line = self._connection.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT 1").fetchone()
            if line is None:
                return None
            weights = self._load(self.path / line["weights_file"], line["weights_sha256"])
            arrays: dict[str, np.ndarray] = {}
            if line["strategy_arrays_sha256"]:
                arrays = self._load(self._strategy_file(line["round"]), line["strategy_arrays_sha256"])
            (row,) = from_columns(RoundRow, [line])
            return Checkpoint(row, weights, row.strategy_state, arrays)

    def latest_device_rounds(self, most: int) -> list[DeviceRoundRow]:
        """Return what each device did in the last ``most`` rounds that have a row of it, by round and name."""
        query = (
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY device ORDER BY round DESC) AS place"
            " FROM device_rounds) WHERE place <= ? ORDER BY round, name, device"
        )
        with _telling(self.path):
            return from_columns(DeviceRoundRow, self._connection.execute(query, (most,)))

    def commit(self, commit: RoundCommit) -> RoundRow:
        """Commit a round: afterwards a kill cannot undo it, before it has never happened.

        Returns
        -------
        The row as written, with names and hashes of its files.

        Raises
        ------
        DiskFullError
            No space left; the run still ends with the round before and can be resumed.
        StoreError
            Another failure of the file system or the database.
        """
        number = commit.row.round
        weights_file = f"{WEIGHTS}/round_{number:04d}.safetensors"
        with _telling(self.path):
            columns = to_columns(commit.row)
            columns["weights_file"] = weights_file
            columns["weights_sha256"] = _save(self.path / weights_file, commit.weights)
            if commit.strategy_arrays:
                columns["strategy_arrays_sha256"] = _save(self._strategy_file(number), commit.strategy_arrays)
            with _transaction(self._connection):
                _insert(self._connection, "rounds", [columns])
                self._upsert_devices(commit.devices)
                self._add(commit.device_rounds)
                self._add(commit.measurements)
                self._set_uploads(commit.uploads)
            if self.keep == "last":
                self._remove_weights_before(number)
        return RoundRow(**{**vars(commit.row), **{k: columns[k] for k in _FILE_COLUMNS}})

    def replace_measurements(self, doomed: Callable[[MeasurementRow], bool], rows: Sequence[MeasurementRow]) -> int:
        """Remove the measurements that ``doomed`` picks and add others, in one transaction; return how many went."""
        with _telling(self.path), _transaction(self._connection):
            lines = self._connection.execute("SELECT rowid AS id, * FROM measurements").fetchall()
            ids = [(line["id"],) for line, row in zip(lines, from_columns(MeasurementRow, lines)) if doomed(row)]
            self._connection.executemany("DELETE FROM measurements WHERE rowid = ?", ids)
            self._add(rows)
        return len(ids)

    def add_event(self, event: EventRow) -> None:
        """Write down an event at once; it stays even if its round is never committed."""
        with _telling(self.path), _transaction(self._connection):
            self._add([event])

    def add_measurements(self, rows: Sequence[MeasurementRow]) -> None:
        """Note figures that belong to no round's commit, such as what was foretold."""
        with _telling(self.path), _transaction(self._connection):
            self._add(rows)

    def finish(self, status: str, *, uploads: Sequence[Upload] = ()) -> None:
        """Record how the run ended (``finished``, ``interrupted`` or ``failed``) and the last upload times."""
        with _telling(self.path), _transaction(self._connection):
            self._set_uploads(uploads)
            self._set_meta("status", status)
            self._set_meta("ended_at", repr(time.time()))

    def start(self) -> None:
        """Record that a server works on the run."""
        with _telling(self.path), _transaction(self._connection):
            self._set_meta("status", "running")

    def close(self) -> None:
        """Close the database and let another writer in."""
        self._connection.close()
        self._lock.close()

    def _meta(self) -> dict[str, str]:
        try:
            return dict(tuple(line) for line in self._connection.execute("SELECT key, value FROM meta"))
        except sqlite3.DatabaseError:
            raise StoreError(f"{self.path / DATABASE} is not the database of a run") from None

    def _strategy_file(self, number: int) -> Path:
        return self.path / STRATEGY / f"round_{number:04d}.safetensors"

    def _load(self, file: Path, sha256: str) -> dict[str, np.ndarray]:
        try:
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                raise StoreError(f"{file} was altered: its SHA-256 is not the one in {DATABASE}")
            return tensors.unpack(bytearray(data))
        except FileNotFoundError:
            raise StoreError(f"{file} is missing, but {DATABASE} names it: the run cannot be resumed") from None
        except TensorFileError as error:
            raise StoreError(f"{file}: {error}") from None

    def _remove_leftovers(self) -> None:
        last = self._connection.execute("SELECT max(round) FROM rounds").fetchone()[0]
        for folder in (self.path / WEIGHTS, self.path / STRATEGY):
            for file in folder.iterdir():
                number = file.name.removeprefix("round_").removesuffix(".safetensors")
                if not number.isdigit() or last is None or int(number) > last:
                    file.unlink()

    def _remove_weights_before(self, number: int) -> None:
        for folder in (self.path / WEIGHTS, self.path / STRATEGY):
            for file in folder.iterdir():
                if file.name != f"round_{number:04d}.safetensors":
                    file.unlink()

    def _upsert_devices(self, devices: Iterable[DeviceRow]) -> None:
        for device in devices:
            columns = to_columns(device)
            names = ", ".join(columns)
            marks = ", ".join(f":{name}" for name in columns)
            updates = ", ".join(f"{name} = :{name}" for name in columns if name != "first_seen_at")
            self._connection.execute(
                f"INSERT INTO devices ({names}) VALUES ({marks}) ON CONFLICT DO UPDATE SET {updates}",  # noqa: S608
                columns,
            )

    def _add(self, rows: Sequence[_Row]) -> None:
        if rows:
            _insert(self._connection, rows[0].TABLE, [to_columns(row) for row in rows])

    def _set_uploads(self, uploads: Sequence[Upload]) -> None:
        self._connection.executemany(
            "UPDATE device_rounds SET upload_s = ?, upload_bytes = coalesce(?, upload_bytes) "
            "WHERE round = ? AND device = ?",
            [(upload.seconds, upload.bytes, upload.round, upload.device) for upload in uploads],
        )
        self._add([row for upload in uploads for row in upload.measurements])

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


_FILE_COLUMNS = ("weights_file", "weights_sha256", "strategy_arrays_sha256")


def _save(file: Path, arrays: Arrays) -> str:
    data = tensors.pack(arrays)
    write_atomically(file, data)
    return hashlib.sha256(data).hexdigest()


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    marks = ", ".join(f":{name}" for name in names)
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608 - own names


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path / DATABASE, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn failures of disk and database into one clear line."""
    full = DiskFullError(
        f"no space left for {path}: nothing was half written; make room, then go on with `--resume {path}`"
    )
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise full from error
        raise StoreError(f"{path}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in _SQLITE_NO_SPACE:
            raise full from error
        raise StoreError(f"{path / DATABASE}: {error}") from error
