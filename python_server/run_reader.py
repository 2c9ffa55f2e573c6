"""Read a run directory: what reports, dashboards and comparisons are made from.

>>> with RunReader(Path("runs/digits-20260101-120000")) as run:  # doctest: +SKIP
...     for row in run.rounds():
...         print(row.round, row.accuracy)
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, TypeVar

import numpy as np

from model_export import tensors
from python_server.errors import StoreError
from python_server.run_rows import (
    ACCURACY_OF,
    SCHEMA_VERSION,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    Json,
    MeasurementRow,
    RoundRow,
    from_columns,
)
from python_server.store import DATABASE, EXPERIMENT, STRATEGY

__all__ = ["RunReader"]

_Row = TypeVar("_Row", DeviceRow, RoundRow, DeviceRoundRow, MeasurementRow, EventRow)
_ORDER: dict[type, str] = {
    DeviceRow: "name, device",
    RoundRow: "round",
    DeviceRoundRow: "round, name, device",
    MeasurementRow: "rowid",
    EventRow: "at, rowid",
}


class RunReader:
    """A run as it stands, also while it is being written.

    Parameters
    ----------
    path
        The run directory.

    Raises
    ------
    StoreError
        It is not a run directory, or one of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        database = self.path / DATABASE
        if not database.is_file():
            raise StoreError(f"{self.path} is not a run directory: it has no {DATABASE}")
        self._connection = _open_for_reading(database)
        self._connection.row_factory = sqlite3.Row
        try:
            self.meta: dict[str, str] = dict(
                tuple(line) for line in self._connection.execute("SELECT key, value FROM meta")
            )
        except sqlite3.DatabaseError:
            self.close()
            raise StoreError(f"{database} is not the database of a run, or is damaged") from None
        version = self.meta.get("schema_version", "none")
        if version != str(SCHEMA_VERSION):
            self.close()
            newer = version.isdigit() and int(version) > SCHEMA_VERSION
            advice = "update pocketfleet" if newer else "read it with the pocketfleet that wrote it"
            raise StoreError(f"{self.path} has schema version {version}, this program reads {SCHEMA_VERSION}: {advice}")

    def __enter__(self) -> RunReader:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything within as of one moment, also while the run goes on."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @property
    def run_id(self) -> str:
        """The run's id: the name of its directory."""
        return self.path.resolve().name

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``interrupted`` or ``failed``; a killed run still says ``running``."""
        return self.meta.get("status", "running")

    def experiment_text(self) -> str:
        """Return the experiment file as it was given."""
        return (self.path / EXPERIMENT).read_text(encoding="utf-8")

    def rounds(self) -> list[RoundRow]:
        """Return all committed rounds in order; the first is round 0, the state before training."""
        return self._rows(RoundRow)

    def last_round(self) -> Optional[RoundRow]:
        """Return the last committed round; None while there is none."""
        lines = self._connection.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT 1")
        return next(iter(from_columns(RoundRow, lines)), None)

    def devices(self) -> list[DeviceRow]:
        """Return all devices that took part, by name."""
        return self._rows(DeviceRow)

    def device_rounds(self) -> list[DeviceRoundRow]:
        """Return one row per device and round, by round and name."""
        return self._rows(DeviceRoundRow)

    def measurements(self) -> list[MeasurementRow]:
        """Return the measured figures with their sources, in the order they came."""
        return self._rows(MeasurementRow)

    def architectures(self) -> dict[str, dict[int, float]]:
        """Return the accuracy on the server's test data by architecture and round, of runs that train several."""
        found: dict[str, dict[int, float]] = {}
        for row in self.measurements():
            if row.quantity.startswith(ACCURACY_OF):
                found.setdefault(row.quantity.removeprefix(ACCURACY_OF), {})[row.round] = row.value
        return found

    def events(self) -> list[EventRow]:
        """Return what happened, in order of time."""
        return self._rows(EventRow)

    def weights(self, number: int) -> dict[str, np.ndarray]:
        """Return the global weights after round ``number`` by variable path.

        Raises
        ------
        StoreError
            The round was not committed, or its weights were not kept.
        """
        line = self._connection.execute("SELECT weights_file FROM rounds WHERE round = ?", (number,)).fetchone()
        if line is None:
            raise StoreError(f"{self.path} has no round {number}")
        file = self.path / line["weights_file"]
        if not file.is_file():
            raise StoreError(f"{file} is not there: the run kept only the last weights")
        return tensors.load(file)

    def strategy_state(self, number: int) -> tuple[Json, dict[str, np.ndarray]]:
        """Return the strategy's state after round ``number``: what is JSON, and what is arrays."""
        line = self._connection.execute("SELECT strategy_state FROM rounds WHERE round = ?", (number,)).fetchone()
        if line is None:
            raise StoreError(f"{self.path} has no round {number}")
        file = self.path / STRATEGY / f"round_{number:04d}.safetensors"
        return json.loads(line["strategy_state"]), tensors.load(file) if file.is_file() else {}

    def lines(self, kind: type[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return a table as SQLite holds it: the names of its columns and its lines, JSON as text.

        Parameters
        ----------
        kind
            One of the rows' dataclasses.

        Raises
        ------
        StoreError
            The database cannot be read.
        """
        found = self._select(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        return names, [tuple(line) for line in found]

    def _rows(self, kind: type[_Row]) -> list[_Row]:
        try:
            return from_columns(kind, self._select(kind))
        except ValueError as error:
            raise StoreError(f"{self.path / DATABASE}: {error}; another version of pocketfleet wrote it") from None

    def _select(self, kind: type[Any]) -> list[sqlite3.Row]:
        names = ", ".join(field.name for field in dataclasses.fields(kind))
        try:
            query = f"SELECT {names} FROM {kind.TABLE} ORDER BY {_ORDER[kind]}"  # noqa: S608
            return self._connection.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path / DATABASE} cannot be read: {error}") from None

    def select(self, query: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query of one's own, for what follows a run and reads only what is new.

        ``PRAGMA data_version`` changes whenever the run has written.
        """
        return self._connection.execute(query, parameters).fetchall()


def _open_for_reading(database: Path) -> sqlite3.Connection:
    """Open read-only; on a read-only file system, where WAL's side files cannot be made, as it is."""
    address = database.resolve().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        connection = sqlite3.connect(f"{address}?immutable=1", uri=True)
    return connection
