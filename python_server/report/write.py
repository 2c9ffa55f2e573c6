"""Write a run's report: ``report.html``, and beside it ``report.json``, ``rounds.csv`` and ``device_rounds.csv``."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from model_export.files import write_atomically
from python_server.report.figures import RunFigures, gather
from python_server.report.page import render
from python_server.run_reader import RunReader
from python_server.run_rows import DeviceRoundRow, RoundRow, to_columns

__all__ = ["as_csv", "as_json", "write_report"]


def write_report(run: Path, output: Optional[Path] = None) -> Path:
    """Write the report of a run, finished or going on.

    Parameters
    ----------
    run
        The run directory.
    output
        The HTML file; None writes ``report.html`` into the run directory. The JSON and CSV files go beside it, named
        after it (``report.json``, ``report_rounds.csv``, ``report_device_rounds.csv``).

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    python_server.errors.StoreError
        It is not a run directory.
    OSError
        A file could not be written.
    """
    page = output or run / "report.html"
    with RunReader(run) as reader:
        figures = gather(reader)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page.with_suffix(".json"), as_json(figures).encode())
    write_atomically(page.with_name(f"{page.stem}_rounds.csv"), as_csv(RoundRow, figures.rounds).encode())
    device_rounds = as_csv(DeviceRoundRow, figures.device_rounds).encode()
    write_atomically(page.with_name(f"{page.stem}_device_rounds.csv"), device_rounds)
    write_atomically(page, render(figures).encode())
    return page


def as_json(figures: RunFigures) -> str:
    """Return all figures as JSON; NaN and infinities become null."""
    return json.dumps(_finite(dataclasses.asdict(figures)), indent=1, ensure_ascii=False, allow_nan=False)


def as_csv(kind: type[RoundRow | DeviceRoundRow], rows: Sequence[RoundRow | DeviceRoundRow]) -> str:
    """Return rows as CSV with a header line; what does not exist is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in to_columns(row).items()} for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """Keep a spreadsheet from taking a device's own words for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
