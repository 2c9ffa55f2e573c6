"""Summaries of runs as text, in the form of Tables 2a, 2b and 3 of the on-device paper (Mathur et al. 2021, §5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from python_server.report.energy import EnergyFigures
from python_server.report.summary import Summary
from python_server.report.words import share

__all__ = ["energy_text", "table_2", "table_3", "text_table"]


def table_2(summaries: Sequence[Summary], *, vary: str) -> str:
    """Return runs as Table 2: what varies, accuracy, convergence time, energy.

    Parameters
    ----------
    summaries
        One line each.
    vary
        ``epochs`` for Table 2a, ``clients`` for Table 2b.
    """
    head = {"epochs": "Local Epochs (E)", "clients": "Number of Clients (C)"}[vary]
    rows = [
        [
            str((s.local_epochs or "mixed") if vary == "epochs" else s.clients),
            share(s.accuracy),
            f"{s.time_s / 60:.2f}",
            "–" if s.energy is None else f"{s.energy.gross_j / 1000:.3f}",
            energy_text(s.energy),
        ]
        for s in summaries
    ]
    return text_table([head, "Accuracy", "Convergence Time (mins)", "Energy Consumed (kJ)", "Energy by"], rows)


def table_3(named: Mapping[str, Summary]) -> str:
    """Return runs as Table 3: accuracy and training time by processor and cutoff, the first as the 1.0x of the others.

    Parameters
    ----------
    named
        Runs by the heading of their column, such as ``CPU (τ = 2.23)``.
    """
    summaries = list(named.values())
    base_s = summaries[0].time_s if summaries else 0.0
    rows = [
        ["Accuracy", *(share(s.accuracy) for s in summaries)],
        ["Accuracy lost (points)", *(_points(summaries[0].accuracy, s.accuracy) for s in summaries)],
        ["Training time (mins)", *(f"{s.time_s / 60:.2f} ({s.time_s / base_s:.2f}x)" for s in summaries)],
        ["Cut-off device rounds", *(str(s.partial) for s in summaries)],
    ]
    return text_table(["", *named], rows)


def energy_text(energy: Optional[EnergyFigures]) -> str:
    """Return how an energy figure was obtained, with its coverage where it is not complete."""
    if energy is None:
        return "no source"
    coverage = "" if energy.covered == energy.asked else f", {energy.covered} of {energy.asked} device rounds"
    return " and ".join(energy.methods) + coverage


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown with aligned columns."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    written = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([written[0], rule, *written[1:]])


def _points(before: Optional[float], after: Optional[float]) -> str:
    return "–" if before is None or after is None else f"{100 * (before - after):.1f}"
