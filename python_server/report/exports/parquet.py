"""A run's tables as Parquet files: rounds, devices, device rounds, measurements, events, and energies that count."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from model_export.files import write_atomically
from python_server.energy_figures import EnergyFigure, all_figures, counted
from python_server.report.exports.optional import needed
from python_server.run_reader import RunReader
from python_server.run_rows import (
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    MeasurementRow,
    RoundRow,
    column_types,
)

__all__ = ["to_parquet"]

_TABLES = (DeviceRow, RoundRow, DeviceRoundRow, MeasurementRow, EventRow)


def to_parquet(run: Path, folder: Path) -> list[Path]:
    """Write a run's tables, a file each; JSON stays text, what does not exist is null.

    ``energy.parquet`` holds every energy, one line a device, round and phase, with ``counts``: whether it is the one
    that sums are made of.

    Parameters
    ----------
    run
        The run directory.
    folder
        Where the files go; it is made.

    Returns
    -------
    The files.

    Raises
    ------
    python_server.errors.StoreError
        The run cannot be read.
    ImportError
        PyArrow is not installed.
    OSError
        A file could not be written.
    """
    arrow = needed("pyarrow")
    types: dict[object, Any] = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
    tables: dict[str, Any] = {}
    with RunReader(run) as reader, reader.snapshot():
        for kind in _TABLES:
            names, lines = reader.lines(kind)
            columns = list(zip(*lines)) or [()] * len(names)
            plain = [types.get(sort, arrow.string()) for sort in column_types(kind).values()]
            arrays = [
                arrow.array(map(bool, column) if sort == arrow.bool_() else column, type=sort)
                for sort, column in zip(plain, columns)
            ]
            tables[kind.TABLE] = arrow.table(arrays, names=names)
        tables["energy"] = _energy(reader, arrow)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, table in tables.items():
        out = io.BytesIO()
        needed("pyarrow.parquet").write_table(table, out)
        files.append(folder / f"{name}.parquet")
        write_atomically(files[-1], out.getvalue())
    return files


def _energy(reader: RunReader, arrow: Any) -> Any:
    figures = all_figures(reader)
    counting = counted(figures)
    schema = [
        ("round", arrow.int64()),
        ("device", arrow.string()),
        ("phase", arrow.string()),
        ("gross_j", arrow.float64()),
        ("idle_j", arrow.float64()),
        ("method", arrow.string()),
        ("source", arrow.string()),
        ("covers", arrow.string()),
        ("rate_hz", arrow.float64()),
        ("coverage", arrow.float64()),
        ("uncertainty_j", arrow.float64()),
        ("flags", arrow.list_(arrow.string())),
        ("excluded", arrow.bool_()),
        ("trace", arrow.string()),
    ]
    columns = [arrow.array([_cell(figure, name) for figure in figures], type=sort) for name, sort in schema]
    columns.append(arrow.array([counting.get(figure.key) is figure for figure in figures], type=arrow.bool_()))
    return arrow.table(columns, names=[*(name for name, _ in schema), "counts"])


def _cell(figure: EnergyFigure, name: str) -> Any:
    value = getattr(figure, name)
    return list(value) if isinstance(value, tuple) else value
