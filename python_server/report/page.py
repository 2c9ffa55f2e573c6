"""The HTML page of a report: charts, tables and the words about how each figure was obtained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from python_server.report import words
from python_server.report.charts import cells, line_chart, stacked_bars, timeline
from python_server.report.devices import DeviceFigures
from python_server.report.figures import RunFigures
from python_server.report.learning import accuracy_series, axes, present
from python_server.report.phases import PHASES, TIMELINE_PARTS, run_timeline
from python_server.report.stragglers import CLASSES, slowness
from python_server.report.tables import energy_text

__all__ = ["environment", "render", "style"]

_MOST_BARS = 30
_MOST_LANES = 100
_MOST_LINES = 8
# The order gives the colours: those of PHASES, as far as they are the same.
_ENERGY_PARTS = ("download", "evaluate", "train", "upload", "wait")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates' environment; everything that devices say is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        seconds=words.seconds,
        bytes=words.bytes_text,
        joules=words.joules,
        share=words.share,
        when=words.when,
        number=words.number,
        percent=words.signed_percent,
        energy=energy_text,
    )
    return made


def style() -> Markup:
    """Return the pages' CSS."""
    return Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))  # noqa: S704 our own file


def render(figures: RunFigures) -> str:
    """Return the page; it loads nothing from anywhere."""
    charts = {name: Markup(svg) for name, svg in _charts(figures).items()}  # noqa: S704 charts escape their words
    template = environment().get_template("page.html.j2")
    return template.render(
        run=figures,
        charts=charts,
        style=style(),
        phases=PHASES,
        slowed=[pace for pace in figures.paces if pace.verdict],
        now=time.time(),
        most_bars=_MOST_BARS,
        cut=_cut_from_timeline(figures),
    )


def _charts(figures: RunFigures) -> dict[str, str]:
    return {**_learning(figures), **_time(figures), **_energy(figures), "partition": _partition(figures)}


def _learning(figures: RunFigures) -> dict[str, str]:
    rounds = figures.rounds
    loss = {
        "server's test data": [(float(r.round), r.loss) for r in rounds],
        "clients' own data": [(float(r.round), r.client_loss) for r in rounds],
        "training, mean over clients": list(_mean_train_loss(figures).items()),
    }
    accuracy = present(accuracy_series(figures))
    charts = {"loss": line_chart(present(loss), title="Loss by round", x_label="round", y_label="cross-entropy loss")}
    for axis, (label, at) in axes([figures]).items():
        charts[f"accuracy_{axis}"] = line_chart(
            {
                name: [(at[0][number], y) for number, y in points if number in at[0]]
                for name, points in accuracy.items()
            },
            title=f"Accuracy by {label}",
            x_label=label,
            y_label="accuracy",
            y_range=(0.0, 1.0),
        )
    return charts


def _time(figures: RunFigures) -> dict[str, str]:
    trained = [r for r in figures.rounds if r.round > 0]
    walls: dict[str, list[tuple[float, Optional[float]]]] = {
        "train phase": [(float(r.round), r.train_phase_s) for r in trained],
        "aggregate": [(float(r.round), r.aggregate_s) for r in trained],
        "evaluate": [(float(r.round), r.evaluate_s) for r in trained],
        "rest": [(float(r.round), max(0.0, r.wall_s - r.train_phase_s - r.evaluate_s)) for r in trained],
    }
    by_round = figures.by_round()
    lanes = _lanes(figures)
    line = run_timeline(figures.rounds, by_round, lanes)
    found = {r.round: slowness(by_round.get(r.round, ())) for r in trained}
    steps = {
        pace.device: [(float(n), speed) for n, speed in sorted(pace.steps_per_s.items())]
        for pace in figures.paces[:_MOST_LINES]
    }
    heat = {
        pace.device: [(float(n), value) for n, value in sorted(pace.temperature_c.items())]
        for pace in figures.paces[:_MOST_LINES]
        if pace.temperature_c
    }
    return {
        "walls": line_chart(
            walls, title="Where the server's round goes", x_label="round", y_label="seconds", form=words.seconds
        ),
        "split": stacked_bars(
            {d.name: d.seconds for d in _largest(figures, lambda d: sum(d.seconds.values()))},
            title="Round time by device",
            x_label="seconds per round, mean",
            parts_order=PHASES,
            form=words.seconds,
        ),
        "timeline": timeline(
            line.lanes,
            title="What each device did in each round",
            parts_order=TIMELINE_PARTS,
            marks=line.marks,
            end=line.end_s,
            width=1040 if len(line.marks) <= 12 else min(30_000, max(1200, 110 * len(line.marks))),
        ),
        "pace": cells(
            {name: [found[r.round].get(device) for r in trained] for device, name in lanes.items()},
            title="How fast each device answered in each round",
            x_label="round",
            classes=CLASSES,
            first=trained[0].round if trained else 1,
            width=1060,
        ),
        "steps": line_chart(steps, title="Training speed by round", x_label="round", y_label="steps per second"),
        "heat": line_chart(
            heat,
            title="Temperature at the end of training by round",
            x_label="round",
            y_label="°C",
            form="{:.1f} °C".format,
        )
        if heat
        else "",
    }


def _energy(figures: RunFigures) -> dict[str, str]:
    energy: dict[str, dict[str, float]] = {}
    for line in figures.energy:
        energy.setdefault(line.device, {})[line.phase] = line.energy.gross_j
    most = sorted(energy, key=lambda name: -sum(energy[name].values()))[:_MOST_BARS]
    return {
        "energy": stacked_bars(
            {name: values for name, values in energy.items() if name in set(most)},
            title="Energy by device and phase",
            x_label="joules over the run",
            parts_order=_ENERGY_PARTS,
            form=words.joules,
        ),
        "bytes": stacked_bars(
            {
                d.name: {"download": d.download_bytes / 1e6, "upload": d.upload_bytes / 1e6}
                for d in _largest(figures, lambda d: d.download_bytes + d.upload_bytes)
            },
            title="Bytes moved by device",
            x_label="megabytes over the run",
            parts_order=PHASES,
            form=lambda mb: words.bytes_text(mb * 1e6),
        ),
    }


def _lanes(figures: RunFigures) -> dict[str, str]:
    """Return devices' names by id: all by name, or, where there are many, those that rounds waited for longest."""
    if len(figures.names) <= _MOST_LANES:
        return figures.names
    id_of = {name: device for device, name in figures.names.items()}
    slowest = [each.device for each in figures.stragglers if each.device in id_of]
    return {id_of[name]: name for name in slowest[:_MOST_LANES]}


def _cut_from_timeline(figures: RunFigures) -> dict[str, int]:
    line = run_timeline(figures.rounds, {}, _lanes(figures))
    return {"devices": line.left_out + len(figures.names) - len(_lanes(figures)), "rounds": line.rounds_left_out}


def _largest(figures: RunFigures, size: Any) -> list[DeviceFigures]:
    """Return the devices with the longest bars, in the order of their names."""
    kept = {d.name for d in sorted(figures.devices, key=lambda d: -size(d))[:_MOST_BARS]}
    return [d for d in figures.devices if d.name in kept]


def _partition(figures: RunFigures) -> str:
    """Draw how a simulation shares its samples out; empty for a run of real devices, which do not tell."""
    held: Mapping[str, list[int]] = json.loads(figures.meta.get("split", "{}"))
    if not held:
        return ""
    return stacked_bars(
        {name: {str(label): float(count) for label, count in enumerate(counts)} for name, counts in held.items()},
        title="Samples by class and device",
        x_label="samples",
        parts_order=[str(label) for label in range(max(map(len, held.values())))],
    )


def _mean_train_loss(figures: RunFigures) -> dict[float, Optional[float]]:
    sums: dict[float, tuple[float, int]] = {float(r.round): (0.0, 0) for r in figures.rounds}
    for row in figures.device_rounds:
        if row.train_loss is not None and row.examples_processed:
            loss, examples = sums.get(float(row.round), (0.0, 0))
            sums[float(row.round)] = (loss + row.train_loss * row.examples_processed, examples + row.examples_processed)
    return {number: loss / examples if examples else None for number, (loss, examples) in sums.items()}
