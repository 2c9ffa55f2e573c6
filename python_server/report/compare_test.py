from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from python_server.cli import main
from python_server.errors import StoreError
from python_server.report.compare import compare, differences, write_comparison
from python_server.run_rows import DeviceRoundRow, RoundRow
from python_server.store import RoundCommit, RunStore


def _run(path: Path, accuracies: list[float], epochs: int = 1, energy_j: float | None = None) -> Path:
    store = RunStore.create(path, f'name = "x"\n[train]\nepochs = {epochs}\n'.encode(), {"name": "x", "rounds": "3"})
    for number, accuracy in enumerate(accuracies):
        row = RoundRow(number, 1, 0.0, 4.0, 3.0, 0.1, 0.2, 1, 1, 5, "", "", accuracy=accuracy)
        rows = [
            DeviceRoundRow(
                number, "d", "pi", "ok", download_bytes=1000, energy_j=energy_j, energy_source="meter",
                energy_method="measured",
            )
        ]  # fmt: skip
        store.commit(RoundCommit(row, {"w": np.zeros(1, np.float32)}, device_rounds=rows if number else []))
    store.close()
    return path


def _with_schema(path: Path, version: str) -> Path:
    with sqlite3.connect(path / "run.sqlite") as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (version,))
    connection.close()
    return path


def test_runs_lie_over_one_another(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "a", [0.1, 0.4, 0.3], energy_j=5.0), _run(tmp_path / "b", [0.1, 0.2], epochs=5)]
    found = write_comparison(runs, tmp_path / "out" / "c.html")
    assert (list(found.runs), found.left_out) == (["a", "b"], {})
    page = (tmp_path / "out" / "c.html").read_text()
    assert page.count("<svg") == 4
    assert page.count("<polyline") == 7  # two runs against rounds, time and traffic, one against energy
    assert "train.epochs" in page
    assert "1 of 3" in page
    summaries = json.loads((tmp_path / "out" / "c.json").read_text())["runs"]
    assert summaries["a"]["summary"]["best_accuracy"] == 0.4
    with open(tmp_path / "out" / "c_rounds.csv", newline="") as file:
        rows = [(r["run"], r["round"], r["time_s"], r["energy_j"], r["bytes_moved"]) for r in csv.DictReader(file)]
    assert rows[2] == ("a", "2", "8.0", "10.0", "2000")
    assert rows[4] == ("b", "1", "4.0", "", "1000")


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = _run(tmp_path / "good", [0.1, 0.5])
    newer = _with_schema(_run(tmp_path / "newer", [0.1]), "2")
    older = _with_schema(_run(tmp_path / "older", [0.1]), "0")
    damaged = _run(tmp_path / "damaged", [0.1])
    (damaged / "run.sqlite").write_bytes(b"SQLite format 3" + bytes(5000))
    (tmp_path / "empty").mkdir()
    output = tmp_path / "c.html"
    runs = [good, newer, older, damaged, tmp_path / "empty"]
    logs = tmp_path / "logs"
    assert main(["report", *map(str, runs), "-o", str(output), "--tensorboard", str(logs), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["report"] == str(output)
    assert [folder.name for folder in logs.iterdir()] == ["good"]
    assert [line.split("left out: ")[1].removeprefix(str(tmp_path)) for line in err.splitlines()] == [
        "/newer has schema version 2, this program reads 1: update pocketfleet",
        "/older has schema version 0, this program reads 1: read it with the pocketfleet that wrote it",
        "/damaged/run.sqlite is not the database of a run, or is damaged",
        "/empty is not a run directory: it has no run.sqlite",
    ]
    assert "update pocketfleet" in output.read_text()
    assert main(["report", str(newer), str(older), "-o", str(tmp_path / "none.html")]) == 1
    assert not (tmp_path / "none.html").exists()


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "x" / "run", [0.1]), _run(tmp_path / "y" / "run", [0.1]), tmp_path / "x" / "run"]
    assert list(compare(runs).runs) == ["x/run", "y/run"]


def test_a_table_without_a_column_is_told(tmp_path: Path) -> None:
    path = _run(tmp_path / "old", [0.1])
    with sqlite3.connect(path / "run.sqlite") as connection:
        connection.execute("ALTER TABLE rounds DROP COLUMN accuracy")
    connection.close()
    with pytest.raises(StoreError, match="no such column: accuracy"):
        compare([path])


def test_a_database_that_lost_its_end_is_told(tmp_path: Path) -> None:
    path = _run(tmp_path / "cut", [0.1] * 60)
    with sqlite3.connect(path / "run.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    database = path / "run.sqlite"
    database.write_bytes(database.read_bytes()[:-8192])
    with pytest.raises(StoreError, match=r"no run to compare: .*cut/run.sqlite"):
        compare([path])


def test_differences_are_by_key() -> None:
    texts = {"a": "n = 1\n[[groups]]\nname = 'x'\n", "b": "n = 1\nm = [1, 2]\n[[groups]]\nname = 'y'\n", "c": "n = ["}
    assert differences({"a": texts["a"], "b": texts["b"]}) == {
        "groups[1].name": {"a": '"x"', "b": '"y"'},
        "m": {"a": "–", "b": "[1, 2]"},
    }
    assert differences(texts)["n"] == {"a": "1", "b": "1", "c": "–"}
