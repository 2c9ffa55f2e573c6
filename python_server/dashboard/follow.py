"""Follow one run: read what is new since the last look, and tell it in the form that the page takes.

A look costs two file stats and one `PRAGMA data_version` while nothing happens. What was read is kept as the page's
own state, so that a browser that comes late gets all of it at once, and the others only what changed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Optional

from python_server.dashboard.devices import DeviceStates
from python_server.dashboard.pictures import draw_energy, draw_rounds
from python_server.errors import StoreError
from python_server.live import Live, read_live
from python_server.run_lock import holder
from python_server.run_reader import RunReader
from python_server.run_rows import Json
from python_server.store import DATABASE, LOGS

__all__ = ["RunFollower"]

_EVENTS = 200
_PAUSE_S = 0.1
_HEAD_START_S = 0.3
_HOLDER_LOOKS = 5
"""Who holds the lock is asked at every so many looks."""
_META = ("name", "status", "rounds", "strategy", "mode", "created_at", "ended_at", "host")
_ROUND = (
    "round", "accuracy", "loss", "client_accuracy", "client_loss", "wall_s", "train_phase_s", "aggregate_s",
    "evaluate_s", "asked", "used", "started_at",
)  # fmt: skip


class RunFollower:
    """Follows a run directory, also one that is half written, damaged, or vanishes.

    Parameters
    ----------
    path
        The run directory.

    Attributes
    ----------
    state
        What the page shows: ``meta``, ``rounds``, ``devices`` (by id), ``live``, ``events``, ``logs``, ``charts``,
        ``reading`` (whether joules are still being added up), ``predicted`` (by quantity, for the whole fleet) and
        ``problem`` (why there is nothing, in words).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: Optional[RunReader] = None
        self._forget()

    def _forget(self) -> None:
        self.state: Json = {
            "meta": {}, "rounds": [], "devices": {}, "live": {}, "events": [], "logs": {}, "charts": {},
            "reading": False, "predicted": {}, "problem": "",
        }  # fmt: skip
        self._version = -1
        self._file_id: tuple[int, int] = (0, 0)
        self._last_event = 0
        self._devices = DeviceStates()
        self._looks = 0
        self._holder: Optional[int] = None

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look, in seconds."""
        if self.state["reading"]:  # the page draws its rounds before we go on to the joules
            return _HEAD_START_S if self._looks == 1 else 0.0
        return _PAUSE_S

    def close(self) -> None:
        """Close the database."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def look(self) -> Json:
        """Return what changed since the last look, and keep it; empty where nothing did.

        ``whole`` in it says that the page has to forget what it knew.
        """
        try:
            return self._look()
        except (StoreError, sqlite3.Error, OSError, ValueError) as error:
            return self._trouble(_words(error, self.path))

    def snapshot(self) -> Json:
        """Return all of the state, as a change of everything."""
        if not self.state["meta"] and not self.state["problem"]:
            self.look()
        return {**self.state, "whole": True}

    def _look(self) -> Json:
        database = self.path / DATABASE
        try:
            told = database.stat()
        except FileNotFoundError:
            return self._trouble(f"the run directory {self.path} is gone")
        whole = False
        if self._reader is None or (told.st_dev, told.st_ino) != self._file_id:
            reader = RunReader(self.path)
            self.close()
            self._forget()
            self._reader = reader
            self._file_id = (told.st_dev, told.st_ino)
            whole = True
        change: Json = {}
        version = self._reader.select("PRAGMA data_version")[0][0]
        written = version != self._version
        if written or self.state["reading"]:
            change = self._read(self._reader)
            self._version = version
        self._looks += 1
        if self._looks % _HOLDER_LOOKS == 1 or written:
            self._holder = holder(self.path)
        for key, value in (("live", self._live()), ("logs", self._logs()), ("meta", self._meta(self._reader, written))):
            if value != self.state[key]:
                self.state[key] = change[key] = value
        return {**self.state, "whole": True} if whole else change

    def _trouble(self, problem: str) -> Json:
        if problem == self.state["problem"]:
            return {}
        self.close()
        self._forget()
        self.state["problem"] = problem
        return {**self.state, "whole": True}

    def _meta(self, reader: RunReader, written: bool) -> Json:
        if written:
            reader.meta = {row["key"]: row["value"] for row in reader.select("SELECT key, value FROM meta")}
        meta: Json = {key: reader.meta.get(key, "") for key in _META}
        meta["status"] = reader.status
        meta["running"] = self._holder is not None
        if meta["status"] == "running" and self._holder is None:
            meta["status"] = "killed"
        meta["report"] = (self.path / "report.html").is_file()
        return meta

    def _live(self) -> Json:
        live = read_live(self.path)
        if not live.stage:  # it is being written, or never was
            return dict(self.state["live"])
        return _live_json(live)

    def _logs(self) -> Json:
        sizes = {}
        for file in sorted((self.path / LOGS).glob("*.log")):
            if not file.is_symlink():
                sizes[file.stem] = file.stat().st_size
        return sizes

    def _read(self, reader: RunReader) -> Json:
        """Read what was committed since."""
        state = self.state
        change: Json = {}
        last = state["rounds"][-1]["round"] if state["rounds"] else -1
        reader.select("BEGIN")  # lest a commit comes between two tables
        try:
            rounds = reader.select(f"SELECT {', '.join(_ROUND)} FROM rounds WHERE round > ? ORDER BY round", [last])  # noqa: S608
            changed = self._devices.read(reader, last)
            events = reader.select(
                "SELECT * FROM (SELECT rowid AS id, at, kind, text FROM events WHERE rowid > ? ORDER BY rowid DESC"
                " LIMIT ?) ORDER BY id",
                [self._last_event, _EVENTS],
            )
        finally:
            reader.select("COMMIT")
        if changed:
            states = [self._devices.states[device] for device in changed]
            change["devices"] = {each["device"]: each for each in sorted(states, key=lambda each: each["name"])}
            state["devices"] = {**state["devices"], **change["devices"]}
        if rounds:
            change["rounds"] = [{**dict(row), "train_loss": self._devices.train_loss(row["round"])} for row in rounds]
            state["rounds"] = [*state["rounds"], *change["rounds"]]
        if events:
            self._last_event = events[-1]["id"]
            change["events"] = [{"at": row["at"], "kind": row["kind"], "text": row["text"]} for row in events]
            state["events"] = [*state["events"], *change["events"]][-_EVENTS:]
        if self._devices.reading != state["reading"]:
            state["reading"] = change["reading"] = self._devices.reading
        if self._devices.predicted != state["predicted"]:
            state["predicted"] = change["predicted"] = dict(self._devices.predicted)
        charts = draw_rounds(state["rounds"]) if rounds else {}
        if changed and not self._devices.reading:
            charts["energy"] = draw_energy(list(state["devices"].values()))
        if charts:
            change["charts"] = charts
            state["charts"] = {**state["charts"], **charts}
        return change


def _live_json(live: Live) -> Json:
    return {
        "stage": live.stage,
        "at": live.at,
        "round": live.round,
        "present": live.present,
        "needed": live.needed,
        "asked": live.asked,
        "answered": {device: list(told) for device, told in live.answered.items()},
    }


def _words(error: Exception, path: Path) -> str:
    if isinstance(error, StoreError):
        return str(error)
    return f"{path} cannot be read: {error}"
