"""What a dashboard may show and start: runs and experiment files below one folder, and nothing else.

What a browser names is looked up among what was found; no path is ever made of it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import tomllib

from python_server.errors import StoreError
from python_server.run_lock import holder
from python_server.run_reader import RunReader
from python_server.run_rows import Json
from python_server.store import DATABASE, EXPERIMENT

__all__ = ["Found", "RunsFolder"]

_DEPTH = 3
_MOST_ENTRIES = 20_000
_MOST_EXPERIMENT_BYTES = 2**20
_SKIPPED = {"node_modules", "__pycache__", "weights", "strategy", "logs"}


@dataclass(frozen=True)
class Found:
    """What there is, by id: the path from the folder.

    Attributes
    ----------
    runs
        Run directories.
    experiments
        Experiment files that are not a run's copy.
    cut_short
        Whether there was too much to look through.
    """

    runs: dict[str, Path] = field(default_factory=dict)
    experiments: dict[str, Path] = field(default_factory=dict)
    cut_short: bool = False


class RunsFolder:
    """The folder that a dashboard serves, or the one run.

    Parameters
    ----------
    path
        A folder with runs below it, at most three folders deep, or a run directory.

    Attributes
    ----------
    single
        The id of the run, if it is only one.

    Raises
    ------
    StoreError
        There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise StoreError(f"there is no directory {path}; runs are made by `pocketfleet train`")
        self.path = path.resolve()
        self.single = self.path.name if (self.path / DATABASE).is_file() else ""
        self._found = Found()
        self._told: dict[Path, tuple[tuple[int, ...], Json]] = {}
        self._experiments: dict[Path, tuple[tuple[int, ...], bool]] = {}

    @property
    def new_runs(self) -> Path:
        """Where runs that are started here go: the folder itself if it holds runs, else ``runs`` in it."""
        holds = any((entry / DATABASE).is_file() and not entry.is_symlink() for entry in self.path.iterdir())
        return self.path if holds or self.path.name == "runs" else self.path / "runs"

    def find(self) -> Found:
        """Look for runs and experiment files; hidden folders and links are left out."""
        self._found = Found({self.single: self.path}) if self.single else self._search()
        return self._found

    def _search(self) -> Found:
        found = Found()
        left = _MOST_ENTRIES
        for path, depth in _walk(self.path):
            left -= 1
            if left == 0:
                return Found(found.runs, found.experiments, cut_short=True)
            name = path.relative_to(self.path).as_posix()
            if path.is_dir():
                if (path / DATABASE).is_file():
                    found.runs[name] = path
            elif depth <= _DEPTH and path.suffix == ".toml" and self._is_experiment(path):
                found.experiments[name] = path
        return found

    def run(self, name: str) -> Optional[Path]:
        """Return the run of this id, if there is one."""
        path = self._found.runs.get(name)
        if path is not None and not path.is_symlink() and (path / DATABASE).is_file():
            return path
        return self.find().runs.get(name)

    def _is_experiment(self, path: Path) -> bool:
        stamp = _stamp(path)
        before = self._experiments.get(path)
        if before is None or before[0] != stamp:
            before = stamp, _is_experiment(path)
            self._experiments[path] = before
        return before[1]

    def list_runs(self, found: Found) -> list[Json]:
        """Return a line about each run, the newest first."""
        lines = [self._describe(name, path) for name, path in found.runs.items()]
        self._told = {path: told for path, told in self._told.items() if path in set(found.runs.values())}
        return sorted(lines, key=lambda line: (line["created_at"], line["run"]), reverse=True)

    def _describe(self, name: str, path: Path) -> Json:
        stamp = _stamp(path / DATABASE, path / f"{DATABASE}-wal")
        before = self._told.get(path)
        if before is None or before[0] != stamp:
            before = stamp, _summary(name, path)
            self._told[path] = before
        line = before[1]
        if line["status"] == "running" and holder(path) is None:
            return {**line, "status": "killed"}
        return line


def _walk(top: Path) -> Iterator[tuple[Path, int]]:
    """Yield files and folders, each folder before what is in it, but nothing of what a run holds."""
    waiting = [(top, 1)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED or entry.is_symlink():
                continue
            path = Path(entry.path)
            yield path, depth
            if entry.is_dir() and depth < _DEPTH and not (path / DATABASE).is_file():
                waiting.append((path, depth + 1))


def _is_experiment(path: Path) -> bool:
    """Tell whether a file looks like an experiment's; whether it is sound, `train` says."""
    if path.name == EXPERIMENT and (path.parent / DATABASE).is_file():
        return False
    try:
        if path.stat().st_size > _MOST_EXPERIMENT_BYTES:
            return False
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(table.get("model"), dict) and "rounds" in table and "name" in table


def _stamp(*files: Path) -> tuple[int, ...]:
    stamp: list[int] = []
    for file in files:
        try:
            told = file.stat()
            stamp += [told.st_ino, told.st_size, told.st_mtime_ns]
        except OSError:
            stamp.append(0)
    return tuple(stamp)


def _summary(name: str, path: Path) -> Json:
    line: Json = {"run": name, "name": path.name, "status": "unreadable", "round": None, "rounds": 0}
    try:
        with RunReader(path) as reader:
            last = reader.last_round()
            return {
                **line,
                "name": reader.meta.get("name", path.name),
                "status": reader.status,
                "round": last.round if last else None,
                "rounds": int(reader.meta.get("rounds", 0)),
                "accuracy": (last.accuracy if last.accuracy is not None else last.client_accuracy) if last else None,
                "created_at": float(reader.meta.get("created_at", 0.0)),
            }
    except (StoreError, sqlite3.Error, ValueError) as error:
        return {**line, "accuracy": None, "created_at": 0.0, "problem": str(error)}
