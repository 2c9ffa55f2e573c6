"""Tables of an experiment file: `device_profiles.toml_tables` with this package's error."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from device_profiles.toml_tables import TableError, setting
from device_profiles.toml_tables import read_table as read_any_table
from python_server.errors import ExperimentError

__all__ = ["read_table", "setting"]

Table = TypeVar("Table")


def read_table(kind: type[Table], raw: object, where: str, base: Path) -> Table:
    """Turn a table into the dataclass ``kind``, as `device_profiles.toml_tables.read_table` does.

    Raises
    ------
    ExperimentError
        A key is unknown or missing, or its value makes no sense.
    """
    try:
        return read_any_table(kind, raw, where, base, whole="the experiment")
    except TableError as error:
        raise ExperimentError(str(error)) from None
