"""What a run writes down: one dataclass a table, whose fields are the table's columns.

``docs/run_directory.md`` explains every column. Times are seconds (``_s``) or Unix time (``_at``), sizes bytes,
energies joules. None means that the figure does not exist, never zero.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar, Union

__all__ = [
    "ACCURACY_OF",
    "BATTERY",
    "ENERGY",
    "ENERGY_EXCLUDED",
    "ENERGY_PHASES",
    "EVALUATION_ANSWERED",
    "EVALUATION_DOWNLOAD",
    "EVALUATION_STARTED",
    "OUTCOMES",
    "PREDICTED",
    "SCHEMA_VERSION",
    "TEMPERATURE",
    "TRAINING_STARTED",
    "DeviceRoundRow",
    "DeviceRow",
    "EventRow",
    "Json",
    "MeasurementRow",
    "RoundRow",
    "column_types",
    "from_columns",
    "schema",
    "to_columns",
]

SCHEMA_VERSION = 1

Json = dict[str, Any]
Row = TypeVar("Row", bound="_Row")

OUTCOMES = ("ok", "partial", "late", "rejected", "error", "skipped")
"""What became of one device's work in one round.

``ok``: used in full. ``partial``: used, but the cutoff struck before the plan was done. ``late``: no answer before the
deadline. ``rejected``: the answer came and was refused (wrong shape, unknown or missing name, NaN ...). ``error``: the
device said that it failed, or went away. ``skipped``: it was not asked, for the reason given, such as its battery.
"""

ACCURACY_OF = "accuracy of "
"""Before the name of an architecture: a measurement's quantity, in runs that train several."""

ENERGY = "energy"
"""A measurement's quantity: joules of one device in one phase of a round, which its ``info`` names."""
ENERGY_EXCLUDED = "energy, excluded"
"""The same, of a figure that cannot be trusted and counts in no sum; the flags of its ``info`` say why."""
ENERGY_PHASES = ("download", "train", "evaluate", "upload", "wait")
"""Phases of a device's round; ``wait`` is polling between its last answer and the next task."""
TEMPERATURE = "temperature"
BATTERY = "battery"
"""Measurements' quantities, in °C and %; ``info["at"]`` is ``start`` or ``end`` of training."""
TRAINING_STARTED = "training started"
EVALUATION_STARTED = "evaluation started"
EVALUATION_ANSWERED = "evaluation answered"
"""Measurements' quantities: Unix times at which a round's exchanges began, from which the columns ``…_after_s`` of the
devices count, and at which a device's answer to the second was announced."""
EVALUATION_DOWNLOAD = "evaluation download"
"""Measurements' quantity: the seconds that a device fetched what it evaluated, by its own clock."""
PREDICTED = "predicted"
"""Method of a measurement that the planner foretold; its round is 0 where it holds for every round."""


class _Row:
    """A row of a table; ``TABLE`` names it, ``KEY`` its primary key (empty: rows are only appended)."""

    TABLE: typing.ClassVar[str]
    KEY: typing.ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class DeviceRow(_Row):
    """A device that took part. ``device`` is the SHA-256 of its public key, shortened: it survives restarts."""

    TABLE = "devices"
    KEY = ("device",)

    device: str
    name: str
    processor: str
    enrolled: bool
    first_seen_at: float
    last_seen_at: float
    facts: Json = field(default_factory=dict)


@dataclass(frozen=True)
class RoundRow(_Row):
    """A committed round. Round 0 is the state before training."""

    TABLE = "rounds"
    KEY = ("round",)

    round: int
    seed: int
    started_at: float
    wall_s: float
    train_phase_s: float
    aggregate_s: float
    evaluate_s: float
    asked: int
    used: int
    weight: int
    weights_file: str
    weights_sha256: str
    loss: Optional[float] = None
    accuracy: Optional[float] = None
    examples: Optional[int] = None
    client_loss: Optional[float] = None
    client_accuracy: Optional[float] = None
    client_examples: Optional[int] = None
    strategy_state: Json = field(default_factory=dict)
    strategy_arrays_sha256: str = ""


@dataclass(frozen=True)
class DeviceRoundRow(_Row):
    """One device in one round: what it was asked, what it answered, what became of it."""

    TABLE = "device_rounds"
    KEY = ("round", "device")

    round: int
    device: str
    name: str
    outcome: str
    reason: str = ""
    plan: Json = field(default_factory=dict)
    weight: Optional[int] = None
    num_examples: Optional[int] = None
    examples_processed: Optional[int] = None
    steps: Optional[int] = None
    planned_steps: Optional[int] = None
    train_loss: Optional[float] = None
    download_s: Optional[float] = None
    prepare_s: Optional[float] = None
    train_s: Optional[float] = None
    upload_s: Optional[float] = None
    sent_after_s: Optional[float] = None
    replied_after_s: Optional[float] = None
    read_after_s: Optional[float] = None
    download_bytes: Optional[int] = None
    upload_bytes: Optional[int] = None
    energy_j: Optional[float] = None
    energy_idle_j: Optional[float] = None
    energy_source: str = ""
    energy_method: str = ""
    cpu_s: Optional[float] = None
    peak_memory_bytes: Optional[int] = None
    eval_loss: Optional[float] = None
    eval_accuracy: Optional[float] = None
    eval_examples: Optional[int] = None
    evaluate_s: Optional[float] = None
    info: Json = field(default_factory=dict)


@dataclass(frozen=True)
class MeasurementRow(_Row):
    """A measured figure with where it comes from (a figure without a source does not exist)."""

    TABLE = "measurements"

    round: int
    device: str
    quantity: str
    value: float
    unit: str
    source: str
    method: str
    info: Json = field(default_factory=dict)


@dataclass(frozen=True)
class EventRow(_Row):
    """Something worth telling a person: a late answer dropped, a device refused, a resume."""

    TABLE = "events"

    at: float
    kind: str
    text: str
    round: Optional[int] = None
    device: str = ""


_TABLES: tuple[type[_Row], ...] = (DeviceRow, RoundRow, DeviceRoundRow, MeasurementRow, EventRow)
_SQL_OF_TYPE: dict[object, str] = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", Json: "TEXT"}


def schema() -> str:
    """Return the SQL that creates all tables, derived from the dataclasses."""
    statements = ["CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"]
    for row in _TABLES:
        columns = [
            f"{name} {_SQL_OF_TYPE[kind]}" + ("" if optional else " NOT NULL")
            for name, (kind, optional) in _columns(row).items()
        ]
        if row.KEY:
            columns.append(f"PRIMARY KEY ({', '.join(row.KEY)})")
        statements.append(f"CREATE TABLE {row.TABLE} ({', '.join(columns)});")
    return "\n".join(statements)


def column_types(kind: type[_Row]) -> dict[str, object]:
    """Return the type of each column: ``int``, ``float``, ``str``, ``bool`` or `Json`."""
    return {name: sort for name, (sort, _) in _columns(kind).items()}


def to_columns(row: _Row) -> dict[str, Union[int, float, str, None]]:
    """Return a row's columns as SQLite takes them."""
    columns = dict(vars(row))
    for name, (kind, _) in _columns(type(row)).items():
        if kind == Json:
            columns[name] = json.dumps(columns[name], sort_keys=True)
    return columns


def from_columns(kind: type[Row], columns: Iterable[sqlite3.Row]) -> list[Row]:
    """Invert `to_columns` for rows read from SQLite; columns that ``kind`` does not have are left out.

    Raises
    ------
    ValueError
        A column is missing, or what should be JSON is not.
    """
    lines = list(columns)
    if not lines:
        return []
    types = _columns(kind)
    found = list(lines[0].keys())
    if missing := types.keys() - set(found):
        raise ValueError(f"the table {kind.TABLE} has no column {', '.join(sorted(missing))}")
    by_name = dict(zip(found, zip(*lines)))
    values: list[Iterable[Any]] = []
    for name, (sort, _) in types.items():
        column: Iterable[Any] = by_name[name]
        if sort == Json:
            column = json.loads(f"[{','.join(by_name[name])}]")  # at once: twice as fast as one by one
        elif sort is bool:
            column = map(bool, by_name[name])
        values.append(column)
    rows: list[Row] = []
    names = tuple(types)
    for line in zip(*values):
        row = object.__new__(kind)  # a frozen dataclass's own __init__ takes three times as long
        vars(row).update(zip(names, line))
        rows.append(row)
    return rows


_COLUMNS: dict[type, dict[str, tuple[object, bool]]] = {}


def _columns(row: type[_Row]) -> dict[str, tuple[object, bool]]:
    """Return each field's plain type and whether it may be None; worked out once, as it takes longer than a row."""
    if row not in _COLUMNS:
        _COLUMNS[row] = _find_columns(row)
    return _COLUMNS[row]


def _find_columns(row: type[_Row]) -> dict[str, tuple[object, bool]]:
    hints = typing.get_type_hints(row)
    columns: dict[str, tuple[object, bool]] = {}
    for item in dataclasses.fields(row):  # type: ignore[arg-type]  # every _Row is a dataclass
        hint = hints[item.name]
        arguments = typing.get_args(hint) if typing.get_origin(hint) is Union else ()
        optional = type(None) in arguments
        columns[item.name] = (next(a for a in arguments if a is not type(None)) if optional else hint, optional)
    return columns
