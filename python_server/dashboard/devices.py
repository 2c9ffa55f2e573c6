"""What a dashboard knows of each device: its last round, what became of its rounds, battery, temperature, joules."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from python_server.dashboard.energy_sums import EnergySums
from python_server.energy_figures import TRACE, all_figures, figures_of
from python_server.run_reader import RunReader
from python_server.run_rows import (
    BATTERY,
    ENERGY,
    ENERGY_EXCLUDED,
    PREDICTED,
    TEMPERATURE,
    DeviceRoundRow,
    Json,
    MeasurementRow,
)

__all__ = ["DeviceStates"]

_AT_ONCE = 4000
"""Measurements read in one look: a long run shows its rounds before all of its joules are added up."""
_LAST = (
    "round", "outcome", "reason", "download_s", "train_s", "upload_s", "replied_after_s", "train_loss", "steps",
    "planned_steps",
)  # fmt: skip
_COLUMNS = (*_LAST, "device", "name", "examples_processed", "energy_j", "energy_idle_j", "energy_source",
            "energy_method")  # fmt: skip


class DeviceStates:
    """The devices of a run, kept up to date from what is new in its store.

    Attributes
    ----------
    states
        By id, in the form that the page takes.
    reading
        Whether there are more measurements to read at once.
    predicted
        What the planner foretold of the fleet, by quantity.
    """

    def __init__(self) -> None:
        self.states: dict[str, Json] = {}
        self.reading = False
        self.predicted: dict[str, float] = {}
        self._energy = EnergySums()
        self._last_measurement = 0
        self._losses: dict[int, tuple[float, int]] = {}
        self._columns: dict[tuple[int, str], sqlite3.Row] = {}
        self._begun = False
        self._waiting: set[str] = set()

    def read(self, reader: RunReader, last_round: int) -> set[str]:
        """Read what is new after a round; return the ids of the devices that changed."""
        changed = self._add_devices(reader.select("SELECT device, name, processor, last_seen_at, facts FROM devices"))
        changed |= self._add_rounds(
            reader.select(
                f"SELECT {', '.join(_COLUMNS)} FROM device_rounds WHERE round > ? ORDER BY round",  # noqa: S608
                [last_round],
            )
        )
        if not self._begun:  # rounds and devices are shown first
            self._begun = self.reading = True
            return changed
        self._waiting |= changed | self._add_measurements(reader)
        if self.reading:
            return changed
        changed, self._waiting = self._waiting, set()
        for device in changed:
            self.states[device]["energy"] = self._energy.of(device)
        return changed

    def train_loss(self, number: int) -> float | None:
        """Return the mean training loss of a round over its devices, weighted by examples."""
        total, examples = self._losses.get(number, (0.0, 0))
        return total / examples if examples else None

    def _add_devices(self, rows: Iterable[sqlite3.Row]) -> set[str]:
        changed = set()
        for row in rows:
            state = self._state(row["device"], row["name"])
            told = {"name": row["name"], "processor": row["processor"], "seen_at": row["last_seen_at"]}
            if any(state[key] != value for key, value in told.items()):
                state.update(told)
                battery = json.loads(row["facts"]).get("battery-percent")
                if isinstance(battery, (int, float)) and state["battery"] is None:
                    state["battery"] = battery
                changed.add(row["device"])
        return changed

    def _add_rounds(self, rows: Sequence[sqlite3.Row]) -> set[str]:
        last: dict[str, sqlite3.Row] = {}
        for row in rows:
            device, number = row["device"], row["round"]
            last[device] = row
            state = self._state(device, row["name"])
            outcome = row["outcome"]
            state["outcomes"][outcome] = state["outcomes"].get(outcome, 0) + 1
            seen = row["examples_processed"]
            if seen and row["train_loss"] is not None:
                total, examples = self._losses.get(number, (0.0, 0))
                self._losses[number] = total + row["train_loss"] * seen, examples + seen
            if row["energy_j"] is not None:
                self._columns[number, device] = row
        for device, row in last.items():
            self.states[device]["last"] = {key: row[key] for key in _LAST}
        return set(last)

    def _add_measurements(self, reader: RunReader) -> set[str]:
        found = reader.select(
            "SELECT rowid AS id, * FROM measurements WHERE rowid > ? ORDER BY rowid LIMIT ?",
            [self._last_measurement, _AT_ONCE],
        )
        self.reading = len(found) == _AT_ONCE
        if self.reading:
            # The figures of one device's round stand together, and are read together.
            whole = len(found)
            while whole and _belongs(found[whole - 1]) == _belongs(found[-1]):
                whole -= 1
            found = found[:whole] or found
        if found:
            self._last_measurement = found[-1]["id"]
        rows = [_measurement(row) for row in found]
        if any(TRACE in row.info for row in rows):
            return self._count_anew(reader, rows)
        changed = self._note(rows)
        for row in rows:
            if row.quantity in (ENERGY, ENERGY_EXCLUDED) and row.info.get("phase") == "train":
                self._columns.pop((row.round, row.device), None)
        figures = figures_of(rows, [])
        if not self.reading:  # what no measurement tells of is told by the columns alone
            figures += figures_of([], map(_from_columns, self._columns.values()))
            self._columns = {}
        return changed | self._energy.add(figure for figure in figures if figure.device in self.states)

    def _count_anew(self, reader: RunReader, rows: list[MeasurementRow]) -> set[str]:
        """Add everything up once more: a trace tells of rounds that were counted by another figure."""
        self._last_measurement = reader.select("SELECT coalesce(max(rowid), 0) FROM measurements")[0][0]
        self.reading = False
        self._columns = {}
        self._energy = EnergySums()
        self._note(rows)
        self._energy.add(figure for figure in all_figures(reader) if figure.device in self.states)
        return set(self.states)

    def _note(self, rows: Iterable[MeasurementRow]) -> set[str]:
        """Note what is not summed up: temperature, battery, and what was foretold."""
        changed = set()
        for row in rows:
            if row.method == PREDICTED:
                if not row.device:
                    self.predicted[row.quantity] = row.value
            elif row.quantity in (TEMPERATURE, BATTERY) and row.device in self.states:
                self.states[row.device][row.quantity] = row.value
                changed.add(row.device)
        return changed

    def _state(self, device: str, name: str) -> Json:
        state = self.states.get(device)
        if state is None:
            state = self.states[device] = {
                "device": device, "name": name, "processor": "", "seen_at": None, "last": None, "outcomes": {},
                "battery": None, "temperature": None, "energy": None,
            }  # fmt: skip
        return state


def _belongs(row: sqlite3.Row) -> tuple[str, int]:
    return row["device"], row["round"]


def _measurement(row: sqlite3.Row) -> MeasurementRow:
    """Read a row; of what is not a figure of energy or foretold, ``info`` is not needed and left out."""
    quantity, method = row["quantity"], row["method"]
    info = {} if quantity in (TEMPERATURE, BATTERY) else json.loads(row["info"])
    return MeasurementRow(row["round"], row["device"], quantity, row["value"], row["unit"], row["source"], method, info)


def _from_columns(row: sqlite3.Row) -> DeviceRoundRow:
    return DeviceRoundRow(
        row["round"], row["device"], row["name"], row["outcome"],
        energy_j=row["energy_j"], energy_idle_j=row["energy_idle_j"],
        energy_source=row["energy_source"], energy_method=row["energy_method"],
    )  # fmt: skip
