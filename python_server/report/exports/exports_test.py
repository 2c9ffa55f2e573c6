"""Exports, each opened by the reader of the program that it is for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from python_server.report.exports import to_parquet, to_tensorboard
from python_server.report.exports.tensorboard import crc32c
from python_server.run_rows import (
    ENERGY,
    ENERGY_EXCLUDED,
    TEMPERATURE,
    DeviceRoundRow,
    DeviceRow,
    MeasurementRow,
    RoundRow,
)
from python_server.store import RoundCommit, RunStore

ROOT = Path(__file__).parents[3]
READ_MLFLOW = """
import json, sys
from python_server.cli import main
for _ in range(2):  # the second replaces the first
    code = main(["report", sys.argv[1], "-o", sys.argv[2], "--mlflow", sys.argv[3]])
    assert code == 0, code
import mlflow
client = mlflow.MlflowClient(f"sqlite:///{sys.argv[3]}/mlflow.db")
(run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
print("found", json.dumps({
    "name": run.info.run_name,
    "status": run.info.status,
    "params": run.data.params,
    "accuracy": [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "server/accuracy")],
    "energy": [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "devices/p_1/energy_j")],
    "files": sorted(f.path for f in client.list_artifacts(run.info.run_id)),
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "digits-1"
    store = RunStore.create(path, b'name = "digits"\n[train]\nepochs = 2\n', {"name": "digits", "bundle_sha256": "b"})
    device = DeviceRow("d", "p#1", "cpu", True, 0.0, 1.0, {})
    for number in range(3):
        row = RoundRow(
            number, 1, 1000.0 + 10 * number, 10.0, 9.0, 0.1, 0.2, 1, 1, 5, "", "",
            accuracy=number / 2, loss=None if number == 1 else 1.0,
        )  # fmt: skip
        info = {"phase": "train", "flags": ["charging"]}
        measured = [
            MeasurementRow(number, "d", ENERGY, 8.0, "J", "profile", "modelled", {**info, "flags": [], "idle_j": 2.0}),
            MeasurementRow(number, "d", ENERGY_EXCLUDED, 99.0, "J", "gauge", "battery", info),
            MeasurementRow(number, "d", TEMPERATURE, 40.0 + number, "°C", "zone", "measured", {"at": "end"}),
        ]
        rows = [DeviceRoundRow(number, "d", "p#1", "ok", plan={"epochs": 2}, train_s=4.0, steps=8)]
        commit = RoundCommit(
            row, {"w": np.zeros(1, np.float32)}, devices=[device],
            device_rounds=rows if number else [], measurements=measured if number else [],
        )  # fmt: skip
        store.commit(commit)
    store.finish("finished", uploads=[])
    store.close()
    return path


def test_parquet_holds_the_tables(run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    files = to_parquet(run, tmp_path / "tables")
    tables = {file.stem: parquet.read_table(file).to_pylist() for file in files}
    assert sorted(tables) == ["device_rounds", "devices", "energy", "events", "measurements", "rounds"]
    assert [row["accuracy"] for row in tables["rounds"]] == [0.0, 0.5, 1.0]
    assert [row["loss"] for row in tables["rounds"]] == [1.0, None, 1.0]
    assert json.loads(tables["device_rounds"][0]["plan"]) == {"epochs": 2}
    assert (tables["devices"][0]["name"], tables["devices"][0]["enrolled"]) == ("p#1", True)
    energy = [(row["round"], row["gross_j"], row["excluded"], row["counts"], row["flags"]) for row in tables["energy"]]
    assert energy[:2] == [(1, 8.0, False, True, []), (1, 99.0, True, False, ["charging"])]
    assert tables["events"] == []
    assert str(parquet.read_schema(next(f for f in files if f.stem == "events")).field("at").type) == "double"


def test_tensorboard_reads_the_scalars(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorBoard's own switch to its reader without TensorFlow, which would take seconds to import.
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # the second replaces the first
        to_tensorboard(run, tmp_path / "logs")
    events = reader.EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert [(e.step, e.value, e.wall_time) for e in events.Scalars("server/accuracy")] == [
        (0, 0.0, 1010.0), (1, 0.5, 1020.0), (2, 1.0, 1030.0),
    ]  # fmt: skip
    assert [e.step for e in events.Scalars("server/loss")] == [0, 2]
    assert [e.value for e in events.Scalars("devices/p#1/energy_j")] == [8.0, 8.0]
    assert [e.value for e in events.Scalars("devices/p#1/temperature_c")] == [41.0, 42.0]
    assert [e.value for e in events.Scalars("spent/energy_j")] == [0.0, 8.0, 16.0]


def test_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_mlflow_reads_the_run(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    command = [sys.executable, "-c", READ_MLFLOW, str(run), str(tmp_path / "r.html"), str(tmp_path / "ml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("found ")).removeprefix("found ")
    )
    assert (found["name"], found["status"]) == ("digits-1", "FINISHED")
    assert found["params"] == {"name": '"digits"', "train.epochs": "2", "bundle_sha256": "b"}
    assert found["accuracy"] == [[0, 0.0], [1, 0.5], [2, 1.0]]
    assert found["energy"] == [[1, 8.0], [2, 8.0]]
    assert "report.html" in found["files"]
    assert "experiment.toml" in found["files"]


def test_what_is_missing_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pyarrow is not here .*: pip install 'pocketfleet\[exports\]'"):
        to_parquet(run, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
