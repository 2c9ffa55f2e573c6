"""What a run writes down: one dataclass a table, whose fields are the table's columns.

``docs/run_directory.md`` explains every column. Times are seconds (``_s``) or Unix time (``_at``), sizes bytes,
energies joules. None means that the figure does not exist, never zero.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar, Union

__all__ = [
    "ACCURACY_OF",
    "BATTERY",
    "ENERGY",
    "ENERGY_EXCLUDED",
    "ENERGY_PHASES",
    "OUTCOMES",
    "PREDICTED",
    "SCHEMA_VERSION",
    "TEMPERATURE",
    "DeviceRoundRow",
    "DeviceRow",
    "EventRow",
    "Json",
    "MeasurementRow",
    "RoundRow",
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


def to_columns(row: _Row) -> dict[str, Union[int, float, str, None]]:
    """Return a row's columns as SQLite takes them."""
    return {
        name: json.dumps(getattr(row, name), sort_keys=True) if kind == Json else getattr(row, name)
        for name, (kind, _) in _columns(type(row)).items()
    }


def from_columns(kind: type[Row], columns: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Invert `to_columns` for rows read from SQLite."""
    types = _columns(kind)
    return [
        kind(**{name: _value(types[name][0], line[name]) for name in types})  # fields are the columns
        for line in columns
    ]


def _value(kind: object, value: Any) -> Any:
    if value is None:
        return None
    if kind == Json:
        return json.loads(value)
    return bool(value) if kind is bool else value


@functools.cache
def _columns(row: type[_Row]) -> dict[str, tuple[object, bool]]:
    """Return each field's plain type and whether it may be None."""
    hints = typing.get_type_hints(row)
    columns: dict[str, tuple[object, bool]] = {}
    for item in dataclasses.fields(row):  # type: ignore[arg-type]  # every _Row is a dataclass
        hint = hints[item.name]
        arguments = typing.get_args(hint) if typing.get_origin(hint) is Union else ()
        optional = type(None) in arguments
        columns[item.name] = (next(a for a in arguments if a is not type(None)) if optional else hint, optional)
    return columns
