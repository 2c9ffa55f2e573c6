"""Joules, temperatures and battery charges that devices report, as rows of the store; nothing of it is trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from edge_client.energy import COVERS, EXCLUDED, METHODS
from edge_client.records import (
    BATTERY_AT,
    DOWNLOAD_ENERGY,
    DOWNLOAD_S,
    ENERGY_COVERS,
    ENERGY_FLAGS,
    ENERGY_METHOD,
    ENERGY_SOURCE,
    PREVIOUS_UPLOAD_ENERGY,
    TEMPERATURE_AT,
    TEMPERATURE_SOURCE,
    WAIT_ENERGY,
)
from edge_client.records import ENERGY as ENERGY_METRICS
from python_server.energy_figures import PRECEDENCE
from python_server.run_rows import (
    BATTERY,
    ENERGY,
    ENERGY_EXCLUDED,
    EVALUATION_DOWNLOAD,
    TEMPERATURE,
    MeasurementRow,
)
from python_server.tasks import Answer

__all__ = [
    "condition_rows",
    "energy_rows",
    "evaluation_download_rows",
    "merged",
    "number_in",
    "upload_energy_row",
    "words_in",
]

SIMULATED = "simulated"
"""Among the words of an answer: true where a simulation made it up."""
_MOST_WORDS = 500
_MOST_FLAGS = 20
_PHASES = ("download", "wait", "upload")
"""Before a flag that is not about the task's own phase."""


def number_in(figures: Mapping[str, Any], key: str) -> Optional[float]:
    """Return a figure as a float; None for what is missing, negative, not finite or no number."""
    value = figures.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def words_in(info: Mapping[str, Any], key: str) -> str:
    """Return words as one line of limited length; empty for what is missing or no text."""
    value = info.get(key)
    return " ".join(value.split())[:_MOST_WORDS] if isinstance(value, str) else ""


def energy_rows(number: int, device: str, answer: Answer, phase: str) -> list[MeasurementRow]:
    """Return the energies of an answer that have a source: of the task itself, its download and the wait before.

    Parameters
    ----------
    number
        The round.
    device
        The device's id.
    answer
        Its answer.
    phase
        ``train`` or ``evaluate``: what the task was.
    """
    rows = [
        _row(number, device, answer, phase, ENERGY_METRICS),
        _row(number, device, answer, "download", DOWNLOAD_ENERGY),
        _row(number, device, answer, "wait", WAIT_ENERGY),
    ]
    return [row for row in rows if row is not None]


def upload_energy_row(number: int, device: str, answer: Answer) -> Optional[MeasurementRow]:
    """Return the energy of the upload before an answer, which was of round ``number``; None if it is not told."""
    return _row(number, device, answer, "upload", PREVIOUS_UPLOAD_ENERGY)


def condition_rows(number: int, device: str, answer: Answer) -> list[MeasurementRow]:
    """Return temperature and battery charge as a device's training began and ended."""
    rows = []
    for quantity, unit, source, keys in (
        (TEMPERATURE, "°C", words_in(answer.info, TEMPERATURE_SOURCE) or "not told", TEMPERATURE_AT),
        (BATTERY, "%", "battery's gauge", BATTERY_AT),
    ):
        for at, key in zip(("start", "end"), keys):
            value = number_in(answer.metrics, key)
            if value is None:
                continue
            if answer.info.get(SIMULATED) is True:
                source, method = "the simulation's model", "modelled"
            else:
                method = "measured"
            rows.append(MeasurementRow(number, device, quantity, value, unit, source, method, {"at": at}))
    return rows


def evaluation_download_rows(number: int, device: str, answer: Answer) -> list[MeasurementRow]:
    """Return how long an evaluation's download took, if the device tells."""
    seconds = number_in(answer.metrics, DOWNLOAD_S)
    if seconds is None:
        return []
    return [MeasurementRow(number, device, EVALUATION_DOWNLOAD, seconds, "s", "device's clock", "measured")]


def merged(rows: Iterable[MeasurementRow]) -> list[MeasurementRow]:
    """Return rows with those of the same round, device and phase of energy added up, as of two downloads in a round.

    What is added to a figure that does not count does not count either. Figures of two methods are not added up: the
    better one stands alone, and says what is left out of it.
    """
    found: dict[tuple[object, ...], MeasurementRow] = {}
    for row in rows:
        energy = row.quantity in (ENERGY, ENERGY_EXCLUDED)
        key = (row.round, row.device, row.info.get("phase")) if energy else (len(found), "other")
        found[key] = _sum(found[key], row) if key in found else row
    return list(found.values())


def _sum(a: MeasurementRow, b: MeasurementRow) -> MeasurementRow:
    """Return the sum of two figures; of rate and coverage the worse, as their seconds are not told."""
    if a.method != b.method:
        kept, other = sorted((a, b), key=lambda row: (row.quantity == ENERGY_EXCLUDED, PRECEDENCE.index(row.method)))
        flag = f"{other.value:.3g} J of another task of the round are left out: they were {other.method}"
        return replace(kept, info={**kept.info, "flags": [*kept.info["flags"], flag]})
    info = {**a.info, "flags": list(dict.fromkeys([*a.info["flags"], *b.info["flags"]]))}
    for key, together in (("idle_j", sum), ("uncertainty_j", sum), ("rate_hz", min), ("coverage", min)):
        both = (a.info[key], b.info[key])
        info[key] = None if None in both else together(both)
    quantity = ENERGY_EXCLUDED if ENERGY_EXCLUDED in (a.quantity, b.quantity) else ENERGY
    return replace(a, quantity=quantity, value=a.value + b.value, info=info)


def _row(number: int, device: str, answer: Answer, phase: str, keys: Sequence[str]) -> Optional[MeasurementRow]:
    gross, idle, rate_hz, coverage, uncertainty = (number_in(answer.metrics, key) for key in keys)
    source, method = words_in(answer.info, ENERGY_SOURCE), words_in(answer.info, ENERGY_METHOD)
    if gross is None or not source or method not in METHODS:
        return None
    flags = _flags(answer.info, phase)
    excluded = any(flag.startswith(EXCLUDED) for flag in flags)
    info = {
        "phase": phase,
        "idle_j": idle,
        "covers": _covers(answer.info),
        "rate_hz": rate_hz,
        "coverage": _share(coverage),
        "uncertainty_j": uncertainty,
        "flags": [flag[len(EXCLUDED) :] if flag.startswith(EXCLUDED) else flag for flag in flags],
    }
    return MeasurementRow(number, device, ENERGY_EXCLUDED if excluded else ENERGY, gross, "J", source, method, info)


def _flags(info: Mapping[str, Any], phase: str) -> list[str]:
    """Return the flags about a phase, without its name."""
    text = info.get(ENERGY_FLAGS)
    lines = [" ".join(line.split())[:_MOST_WORDS] for line in text.splitlines()] if isinstance(text, str) else []
    found = []
    for line in filter(None, lines):
        about = next((each for each in _PHASES if line.startswith(f"{each}: ")), None)
        if about == phase:
            found.append(line[len(phase) + 2 :])
        elif about is None and phase not in _PHASES:
            found.append(line)
    return found[:_MOST_FLAGS]


def _covers(info: Mapping[str, Any]) -> str:
    covers = words_in(info, ENERGY_COVERS)
    return covers if covers in COVERS else ""


def _share(value: Optional[float]) -> Optional[float]:
    return value if value is not None and value <= 1 else None
