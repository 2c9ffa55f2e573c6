from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from python_server import store as store_module
from python_server.errors import DiskFullError, StoreError
from python_server.run_reader import RunReader
from python_server.run_rows import DeviceRoundRow, DeviceRow, EventRow, MeasurementRow, RoundRow
from python_server.store import RoundCommit, RunStore, Upload


def a_round(number: int, **changes: object) -> RoundRow:
    values: dict[str, object] = {
        "round": number,
        "seed": 7,
        "started_at": 1.0,
        "wall_s": 2.0,
        "train_phase_s": 1.5,
        "aggregate_s": 0.1,
        "evaluate_s": 0.2,
        "asked": 1,
        "used": 1,
        "weight": 10,
        "weights_file": "",
        "weights_sha256": "",
    }
    return RoundRow(**{**values, **changes})  # type: ignore[arg-type]


def a_commit(number: int) -> RoundCommit:
    return RoundCommit(
        a_round(number, accuracy=0.5, strategy_state={"number": number}),
        weights={"w": np.full((3, 2), number, np.float32)},
        strategy_arrays={"velocity": np.full(2, number, np.float64)},
        devices=[DeviceRow("d1", "pi", "cpu", True, 1.0, float(number), {"threads": 4})],
        device_rounds=[DeviceRoundRow(number, "d1", "pi", "ok", plan={"epochs": 2}, train_s=1.25)],
        measurements=[MeasurementRow(number, "d1", "energy", 3.5, "J", "rapl", "counter difference")],
        uploads=[Upload(number - 1, "d1", 0.25, 1000)] if number else [],
    )


def create(path: Path) -> RunStore:
    return RunStore.create(path, b'name = "x"\n', {"name": "x"})


def test_round_trip(tmp_path: Path) -> None:
    store = create(tmp_path / "run")
    for number in range(3):
        store.commit(a_commit(number))
    store.add_event(EventRow(1.0, "late", "pi answered too late", round=2, device="d1"))
    store.finish("finished", uploads=[Upload(2, "d1", 0.5, None)])
    told, last = store.latest_device_rounds(3), store.latest_device_rounds(1)
    store.close()
    with RunReader(tmp_path / "run") as run:
        assert (run.run_id, run.status) == ("run", "finished")
        assert run.experiment_text() == 'name = "x"\n'
        assert [row.round for row in run.rounds()] == [0, 1, 2]
        assert run.rounds()[1].strategy_state == {"number": 1}
        assert run.devices() == [DeviceRow("d1", "pi", "cpu", True, 1.0, 2.0, {"threads": 4})]
        assert [(row.upload_s, row.upload_bytes) for row in run.device_rounds()] == [(0.25, 1000)] * 2 + [(0.5, None)]
        assert run.device_rounds()[0].plan == {"epochs": 2}
        assert told == run.device_rounds()
        assert last == run.device_rounds()[-1:]
        assert run.measurements()[0].source == "rapl"
        assert run.events()[0].text == "pi answered too late"
        assert run.weights(1)["w"].tolist() == [[1, 1]] * 3
        assert run.strategy_state(2)[1]["velocity"].tolist() == [2, 2]


def test_checkpoint_is_the_last_committed_round(tmp_path: Path) -> None:
    store = create(tmp_path / "run")
    assert store.checkpoint() is None
    store.commit(a_commit(0))
    store.commit(a_commit(1))
    store.close()
    # What a kill between the files and the transaction leaves:
    leftover = tmp_path / "run" / "weights" / "round_0002.safetensors"
    leftover.write_bytes(b"half")
    (tmp_path / "run" / "weights" / ".round_0002.safetensors.tmp").write_bytes(b"half")
    store = RunStore.open(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "weights").iterdir()) == [
        "round_0000.safetensors",
        "round_0001.safetensors",
    ]
    checkpoint = store.checkpoint()
    assert checkpoint is not None
    assert checkpoint.row.round == 1
    assert checkpoint.strategy_state == {"number": 1}
    assert checkpoint.weights["w"].tolist() == [[1, 1]] * 3
    assert checkpoint.strategy_arrays["velocity"].tolist() == [1, 1]
    store.close()


def test_keeps_only_the_last_weights_on_request(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b"", {}, keep="last")
    for number in range(3):
        store.commit(a_commit(number))
    for folder in ("weights", "strategy"):
        assert [p.name for p in (tmp_path / "run" / folder).iterdir()] == ["round_0002.safetensors"]
    store.close()
    with RunReader(tmp_path / "run") as run, pytest.raises(StoreError, match="kept only the last"):
        run.weights(0)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    store = create(tmp_path / "run")
    with pytest.raises(StoreError, match="is in use"):
        RunStore.open(tmp_path / "run")
    store.close()
    RunStore.open(tmp_path / "run").close()


def test_an_altered_weights_file_is_not_resumed(tmp_path: Path) -> None:
    store = create(tmp_path / "run")
    store.commit(a_commit(0))
    file = tmp_path / "run" / "weights" / "round_0000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="was altered"):
        store.checkpoint()
    file.unlink()
    with pytest.raises(StoreError, match="is missing"):
        store.checkpoint()
    store.close()


@pytest.mark.parametrize("text", [None, "no database"])
def test_not_a_run_directory(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.sqlite").write_text(text * 1000)
    with pytest.raises(StoreError, match="not a run directory|not the database"):
        RunReader(tmp_path)


def test_full_disk_while_the_run_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "write_atomically", full)
    with pytest.raises(DiskFullError, match="no space left"):
        create(tmp_path / "runs" / "run")
    assert list((tmp_path / "runs").iterdir()) == []


def test_full_disk_in_a_round_keeps_the_round_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = create(tmp_path / "run")
    store.commit(a_commit(0))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match="--resume"):
            store.commit(a_commit(1))
    assert [p.name for p in (tmp_path / "run" / "weights").iterdir()] == ["round_0000.safetensors"]
    checkpoint = store.checkpoint()
    assert checkpoint is not None
    assert checkpoint.row.round == 0
    store.commit(a_commit(1))
    store.close()


def test_full_disk_in_the_database(tmp_path: Path) -> None:
    store = create(tmp_path / "run")
    store.commit(a_commit(0))
    store._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(DiskFullError):
        store.finish("x" * 200_000)
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.commit(a_commit(1))
    store.close()
