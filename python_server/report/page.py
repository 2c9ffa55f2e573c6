"""The HTML page of a report: charts, tables and the words about how each figure was obtained."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Optional

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from python_server.report.charts import line_chart, stacked_bars
from python_server.report.figures import PHASES, RunFigures
from python_server.report.tables import energy_text

__all__ = ["render"]


def render(figures: RunFigures) -> str:
    """Return the page; it loads nothing from anywhere."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        seconds=_seconds, bytes=_bytes, joules=_joules, share=_share, when=_when, number=_number, energy=energy_text
    )
    here = files("python_server.report")
    template = environment.from_string((here / "page.html.j2").read_text(encoding="utf-8"))
    style = Markup((here / "page.css").read_text(encoding="utf-8"))  # noqa: S704 our own file
    charts = {name: Markup(svg) for name, svg in _charts(figures).items()}  # noqa: S704 charts escape their words
    return template.render(run=figures, charts=charts, style=style, phases=PHASES, now=time.time())


def _charts(figures: RunFigures) -> dict[str, str]:
    rounds = figures.rounds
    accuracy: dict[str, list[tuple[float, Optional[float]]]] = {
        "server's test data": [(float(r.round), r.accuracy) for r in rounds],
        "clients' own data": [(float(r.round), r.client_accuracy) for r in rounds],
        **{name: [(float(n), y) for n, y in sorted(each.items())] for name, each in figures.architectures.items()},
    }
    loss = {
        "server's test data": [(float(r.round), r.loss) for r in rounds],
        "clients' own data": [(float(r.round), r.client_loss) for r in rounds],
        "training, mean over clients": [(float(r.round), _mean_train_loss(figures, r.round)) for r in rounds],
    }
    parts = ("train phase", "aggregate", "evaluate", "rest")
    trained = [r for r in rounds if r.round > 0]
    walls = {
        part: [
            (float(r.round), _wall_parts(r.wall_s, r.train_phase_s, r.aggregate_s, r.evaluate_s)[i]) for r in trained
        ]
        for i, part in enumerate(parts)
    }
    energy = {
        d.name: (
            {"above idle": d.energy.above_idle_j, "idle": d.energy.gross_j - d.energy.above_idle_j}
            if d.energy.above_idle_j is not None
            else {"gross": d.energy.gross_j}
        )
        for d in figures.devices
        if d.energy is not None
    }
    moved = {d.name: {"download": d.download_bytes / 1e6, "upload": d.upload_bytes / 1e6} for d in figures.devices}
    return {
        "partition": _partition(figures),
        "accuracy": line_chart(
            _present(accuracy), title="Accuracy by round", x_label="round", y_label="accuracy", y_range=(0.0, 1.0)
        ),
        "loss": line_chart(_present(loss), title="Loss by round", x_label="round", y_label="cross-entropy loss"),
        "walls": line_chart(walls, title="Wall time of a round", x_label="round", y_label="seconds", form=_seconds),
        "split": stacked_bars(
            {d.name: d.seconds for d in figures.devices},
            title="Round time by device",
            x_label="seconds per round, mean",
            parts_order=PHASES,
            form=_seconds,
        ),
        "energy": stacked_bars(
            energy,
            title="Energy by device",
            x_label="joules over the run",
            parts_order=("above idle", "idle", "gross"),
            form=_joules,
        ),
        "bytes": stacked_bars(
            moved,
            title="Bytes moved by device",
            x_label="megabytes over the run",
            parts_order=("download", "upload"),
            form=lambda mb: _bytes(mb * 1e6),
        ),
    }


def _partition(figures: RunFigures) -> str:
    """Draw how a simulation shares its samples out; empty for a run of real devices, which do not tell."""
    held: dict[str, list[int]] = json.loads(figures.meta.get("split", "{}"))
    if not held:
        return ""
    return stacked_bars(
        {name: {str(label): float(count) for label, count in enumerate(counts)} for name, counts in held.items()},
        title="Samples by class and device",
        x_label="samples",
        parts_order=[str(label) for label in range(max(map(len, held.values())))],
    )


def _present(series: dict[str, list[tuple[float, Optional[float]]]]) -> dict[str, list[tuple[float, Optional[float]]]]:
    return {name: points for name, points in series.items() if any(y is not None for _, y in points)}


def _wall_parts(wall_s: float, *parts: float) -> tuple[float, ...]:
    return (*parts, max(0.0, wall_s - sum(parts)))


def _mean_train_loss(figures: RunFigures, number: int) -> Optional[float]:
    rows = [r for r in figures.device_rounds if r.round == number and r.train_loss is not None and r.examples_processed]
    total = sum(r.examples_processed or 0 for r in rows)
    return sum((r.train_loss or 0.0) * (r.examples_processed or 0) for r in rows) / total if total else None


def _seconds(value: Optional[float]) -> str:
    if value is None:
        return "–"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def _bytes(value: Optional[float]) -> str:
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _joules(value: Optional[float]) -> str:
    if value is None:
        return "–"
    return f"{value / 1000:.2f} kJ" if value >= 1000 else f"{value:.3g} J"


def _share(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _when(value: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
