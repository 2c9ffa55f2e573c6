"""Write a run's report: ``report.html``, and beside it the same figures as JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from model_export.files import write_atomically
from python_server.report.figures import RunFigures, gather
from python_server.report.page import render
from python_server.run_reader import RunReader
from python_server.run_rows import DeviceRoundRow, RoundRow

__all__ = ["as_csv", "as_json", "energy_csv", "finite", "write_report"]


_LARGE = ("device_rounds", "energy_by_round")
"""What is left to the CSV and Parquet files: a line a device and round."""


def write_report(run: Path, output: Optional[Path] = None) -> Path:
    """Write the report of a run, finished or going on.

    Parameters
    ----------
    run
        The run directory.
    output
        The HTML file; None writes ``report.html`` into the run directory. The JSON and CSV files go beside it, named
        after it (``report.json``, ``report_rounds.csv``, ``report_device_rounds.csv``, ``report_energy.csv``).

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    python_server.errors.StoreError
        It is not a run directory, or cannot be read.
    OSError
        A file could not be written.
    """
    page = output or run / "report.html"
    with RunReader(run) as reader:
        figures = gather(reader)
        tables = {kind: as_csv(*reader.lines(kind)) for kind in (RoundRow, DeviceRoundRow)}
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page.with_suffix(".json"), as_json(figures).encode())
    for kind, table in tables.items():
        write_atomically(page.with_name(f"{page.stem}_{kind.TABLE}.csv"), table.encode())
    write_atomically(page.with_name(f"{page.stem}_energy.csv"), energy_csv(figures).encode())
    write_atomically(page, render(figures).encode())
    return page


def as_json(figures: RunFigures) -> str:
    """Return all that the page tells as JSON; NaN and infinities become null.

    The rows of device rounds are not in it: they are in the CSV file.
    """
    shown = {name: value for name, value in vars(figures).items() if name not in _LARGE}
    try:
        return _by_line(shown)
    except ValueError:  # a number that is none
        return _by_line(finite(shown))


def as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV with a header line; what does not exist is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_harmless(value) if type(value) is str else value for value in row] for row in rows)
    return out.getvalue()


def energy_csv(figures: RunFigures) -> str:
    """Return the energy of each device and phase as CSV, with how it was obtained; excluded figures have a reason."""
    names = ("device", "phase", "gross_j", "above_idle_j", "uncertainty_j", "methods", "covers", "coverage")
    rows = [
        (
            *(line.device, line.phase, e.gross_j, e.above_idle_j, e.uncertainty_j),
            *("; ".join(e.methods), "; ".join(e.covers), e.coverage),
            *(e.covered, e.asked, "; ".join(e.sources), "; ".join(e.flags), ""),
        )
        for line in figures.energy
        for e in (line.energy,)
    ]
    left_out = [
        (x.device, x.phase, x.gross_j, None, None, "", "", None, len(x.rounds), None, "", "", x.reason)
        for x in figures.excluded_energy
    ]
    head = (*names, "device_rounds", "asked", "sources", "flags", "excluded_because")
    return as_csv(head, [*rows, *left_out])


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a device's own words for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _by_line(shown: dict[str, Any]) -> str:
    """Return an object with a line for each key: indenting all of it takes ten times as long."""
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)}"
        for key, value in shown.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def finite(value: Any) -> Any:
    """Return a value as JSON can hold it: dataclasses as objects, NaN and infinities as null."""
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
