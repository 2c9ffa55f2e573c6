from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_server.dashboard import devices as devices_module
from python_server.dashboard.follow import RunFollower
from python_server.energy_figures import TRACE, all_figures, counted
from python_server.live import LiveFile
from python_server.run_reader import RunReader
from python_server.run_rows import (
    ENERGY,
    ENERGY_EXCLUDED,
    PREDICTED,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    Json,
    MeasurementRow,
)
from python_server.store import DATABASE, RoundCommit, RunStore
from python_server.store_test import a_round, create

PHASES = ("download", "train", "wait")


def joules(number: int, device: str, phase: str, value: float, **info: Any) -> MeasurementRow:
    told = {"phase": phase, "idle_j": value / 4, "covers": "board", "flags": [], **info}
    return MeasurementRow(number, device, ENERGY, value, "J", "a meter", "measured", told)


def commit(store: RunStore, number: int, devices: int = 2, *extra: MeasurementRow, columns: bool = False) -> None:
    ids = [f"d{index}" for index in range(devices)]
    row = DeviceRoundRow(number, "", "", "ok", train_loss=2.0, examples_processed=10, download_bytes=5, upload_bytes=7)
    if columns:
        row = replace(row, energy_j=3.0, energy_idle_j=1.0, energy_source="cpu time", energy_method="modelled")
    rows = [replace(row, device=each, name=f"device {each}", train_loss=1.0 + index) for index, each in enumerate(ids)]
    figures = [] if columns else [joules(number, each, phase, 8.0) for each in ids for phase in PHASES]
    store.commit(
        RoundCommit(
            a_round(number, accuracy=number / 10, loss=1.0),
            weights={"w": np.zeros(1, np.float32)},
            devices=[DeviceRow(each, f"device {each}", "cpu", True, 1.0, float(number)) for each in ids],
            device_rounds=rows if number else [],
            measurements=[*figures, *extra] if number else list(extra),
        )
    )


def merged(state: Json, change: Json) -> Json:
    """Do what the page does with a change."""
    if change.get("whole"):
        return {key: value for key, value in change.items() if key != "whole"}
    new = {**state, **change}
    for key in ("rounds", "events"):
        new[key] = [*state[key], *change.get(key, [])]
    for key in ("devices", "charts"):
        new[key] = {**state[key], **change.get(key, {})}
    return new


def settled(follower: RunFollower) -> Json:
    """Look until all joules are added up; return the whole."""
    follower.look()
    while follower.state["reading"]:
        follower.look()
    return follower.snapshot()


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> Any:
    store = create(tmp_path / "run")
    store.start()
    yield store
    store.close()


def test_changes_add_up_to_the_whole(store: RunStore) -> None:
    follower = RunFollower(store.path)
    state = merged({}, follower.look())
    assert (state["rounds"], state["meta"]["status"], state["meta"]["running"]) == ([], "running", True)
    state = merged(state, follower.look())
    assert not state["reading"]
    for number in range(4):
        commit(store, number)
        change = follower.look()
        assert [row["round"] for row in change["rounds"]] == [number]
        state = merged(state, change)
        assert follower.look() == {}, "nothing new, nothing told"
    store.add_event(EventRow(5.0, "late", "d1 came late"))
    change = follower.look()
    assert "rounds" not in change
    state = merged(state, change)
    assert [event["text"] for event in state["events"]] == ["d1 came late"]
    (store.path / "logs" / "superlink.log").write_text("x\n")
    state = merged(state, follower.look())
    assert state["logs"] == {"superlink": 2}
    store.finish("finished")
    state = merged(state, follower.look())
    assert state["meta"]["status"] == "finished"
    fresh = settled(RunFollower(store.path))
    for key, value in state.items():
        assert fresh[key] == value, key
    follower.close()


def test_rounds_devices_and_joules_are_the_stores(store: RunStore) -> None:
    for number in range(3):
        commit(store, number)
    commit(store, 3, 2, MeasurementRow(3, "d1", ENERGY_EXCLUDED, 1e6, "J", "a meter", "measured",
                                       {"phase": "upload", "flags": ["stuck sensor"]}),
           MeasurementRow(3, "d0", "temperature", 55.5, "°C", "zone", "measured", {"at": "end"}),
           MeasurementRow(0, "", "round time", 12.5, "s", "planner", PREDICTED),
           MeasurementRow(3, "d0", ENERGY, 99.0, "J", "planner", PREDICTED, {"phase": "upload"}))  # fmt: skip
    state = settled(RunFollower(store.path))
    assert [row["train_loss"] for row in state["rounds"]] == [None, 1.5, 1.5, 1.5]
    first, second = (state["devices"][device] for device in ("d0", "d1"))
    assert first["outcomes"] == {"ok": 3}
    assert (first["last"]["round"], first["temperature"]) == (3, 55.5)
    assert first["energy"]["phases"] == dict.fromkeys(PHASES, 24.0), "what was predicted is not added"
    assert (first["energy"]["gross_j"], first["energy"]["net_j"]) == (72.0, 54.0)
    assert (second["energy"]["excluded"], second["energy"]["flags"]) == (1, ["stuck sensor"])
    assert second["energy"]["gross_j"] == 72.0
    assert state["predicted"] == {"round time": 12.5}
    assert all("<svg" in state["charts"][name] for name in ("accuracy", "loss", "time", "energy"))


def test_joules_of_older_runs_stand_in_columns(store: RunStore) -> None:
    follower = RunFollower(store.path)
    for number in range(3):
        commit(store, number, columns=True)
        follower.look()
    for state in (settled(follower), settled(RunFollower(store.path))):
        assert state["devices"]["d0"]["energy"]["phases"] == {"train": 6.0}
        assert state["devices"]["d0"]["energy"]["net_j"] == 4.0


def test_a_trace_that_comes_later_takes_the_place_of_what_was_told(store: RunStore) -> None:
    follower = RunFollower(store.path)
    commit(store, 0)
    commit(store, 1)
    assert settled(follower)["devices"]["d0"]["energy"]["gross_j"] == 24.0
    commit(store, 2, 2, joules(1, "d0", "train", 100.0, **{TRACE: "bench.csv"}))
    follower.look()
    for state in (follower.state, settled(RunFollower(store.path))):
        assert state["devices"]["d0"]["energy"]["phases"]["train"] == 108.0
    with RunReader(store.path) as reader:
        assert sum(each.gross_j for each in counted(all_figures(reader)).values()) == sum(
            device["energy"]["gross_j"] for device in follower.state["devices"].values()
        )


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("at_once", [1, 4, 7, 10_000])
def test_a_long_run_is_read_in_pieces_and_adds_up_to_the_same(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, at_once: int, columns: bool
) -> None:
    for number in range(5):
        commit(store, number, 3, columns=columns)
    monkeypatch.setattr(devices_module, "_AT_ONCE", at_once)
    follower = RunFollower(store.path)
    state = merged({}, follower.look())
    assert len(state["rounds"]) == 5, "rounds come first"
    assert state["devices"]["d0"]["energy"] is None
    looks = 1
    while state["reading"]:
        state = merged(state, follower.look())
        looks += 1
        assert looks < 100
    assert (looks > 2) is (at_once < 12 and not columns)
    whole = 12.0 if columns else 96.0
    assert [device["energy"]["gross_j"] for device in state["devices"].values()] == [whole] * 3


def test_between_commits_the_live_file_tells(store: RunStore) -> None:
    commit(store, 0)
    follower = RunFollower(store.path)
    settled(follower)
    live = LiveFile(store.path)
    live.round_started(1, 5, {"d0": "pi", "d1": "phone"})
    live.answered(DeviceRoundRow(1, "d1", "phone", "ok"))
    change = follower.look()
    assert set(change) == {"live"}
    assert change["live"]["asked"] == {"d0": "pi", "d1": "phone"}
    assert list(change["live"]["answered"]) == ["d1"]
    (store.path / "live.jsonl").write_text("")  # caught while it is written
    assert follower.look() == {}


def test_a_killed_run_says_so_and_a_resumed_one_too(store: RunStore) -> None:
    commit(store, 0)
    follower = RunFollower(store.path)
    settled(follower)
    store.close()
    changes = [follower.look() for _ in range(6)]
    (change,) = [change for change in changes if change]
    assert (change["meta"]["status"], change["meta"]["running"]) == ("killed", False)
    again = RunStore.open(store.path)
    again.start()
    told = follower.look()
    again.close()
    assert (told["meta"]["status"], told["meta"]["running"]) == ("running", True)


def test_a_run_that_vanishes_says_so_and_may_come_back(store: RunStore, tmp_path: Path) -> None:
    commit(store, 0)
    follower = RunFollower(store.path)
    follower.look()
    store.path.rename(tmp_path / "elsewhere")
    change = follower.look()
    assert change["whole"]
    assert "is gone" in change["problem"]
    assert (follower.look(), change["rounds"]) == ({}, [])
    (tmp_path / "elsewhere").rename(store.path)
    change = follower.look()
    assert (change["whole"], change["problem"], len(change["rounds"])) == (True, "", 1)


def test_another_run_in_its_place_is_read_from_the_start(store: RunStore, tmp_path: Path) -> None:
    commit(store, 0)
    commit(store, 1)
    follower = RunFollower(store.path)
    follower.look()
    shutil.rmtree(store.path)
    other = create(store.path)
    commit(other, 0)
    change = follower.look()
    assert (change["whole"], len(change["rounds"])) == (True, 1)
    other.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not the database of a run"), (b"SQLite format 3\x00" + b"x" * 5000, "not the database of a run")],
)
def test_half_written_and_damaged_runs_say_so(tmp_path: Path, content: bytes, message: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / DATABASE).write_bytes(content)
    follower = RunFollower(run)
    assert message in follower.look()["problem"]
    assert follower.look() == {}
    (run / DATABASE).unlink()
    assert "is gone" in follower.look()["problem"]


def test_a_newer_schema_is_named(store: RunStore) -> None:
    store.close()
    with sqlite3.connect(store.path / DATABASE) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    assert "schema version 99, this program reads 1" in RunFollower(store.path).look()["problem"]
