from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from python_server.dashboard.folder import RunsFolder
from python_server.errors import StoreError
from python_server.store import DATABASE
from python_server.store_test import a_commit, create

EXPERIMENT = 'name = "x"\nrounds = 1\n[model]\nbundle = "b"\n'


def test_what_is_below_the_folder_is_found_and_nothing_else(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for place in ("runs/one", "demo/runs/two", ".hidden/three", "a/b/c/four"):
        create(top / place).close()
    create(tmp_path / "outside").close()
    (top / "linked").symlink_to(tmp_path / "outside")
    (top / "e.toml").write_text(EXPERIMENT)
    (top / "demo" / "experiment.toml").write_text(EXPERIMENT)
    (top / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (top / "broken.toml").write_text("name = ")
    (top / "far.toml").symlink_to(tmp_path / "e.toml")
    folder = RunsFolder(top)
    found = folder.find()
    assert found.runs == {"runs/one": top / "runs/one", "demo/runs/two": top / "demo/runs/two"}
    assert sorted(found.experiments) == ["demo/experiment.toml", "e.toml"]
    for name in ("outside", "../outside", "linked", str(tmp_path / "outside"), "", ".", "runs"):
        assert folder.run(name) is None
    assert folder.new_runs == top / "runs"
    assert RunsFolder(top / "runs").new_runs == top / "runs"
    assert RunsFolder(top / "demo").new_runs == top / "demo" / "runs"


def test_a_run_alone(tmp_path: Path) -> None:
    create(tmp_path / "one").close()
    create(tmp_path / "two").close()
    (tmp_path / "one" / "e.toml").write_text(EXPERIMENT)
    folder = RunsFolder(tmp_path / "one")
    assert folder.single == "one"
    assert folder.find().runs == {"one": tmp_path / "one"}
    assert folder.find().experiments == {}


def test_the_list_tells_how_each_run_stands(tmp_path: Path) -> None:
    going = create(tmp_path / "going")
    going.start()
    done = create(tmp_path / "done")
    done.commit(a_commit(0))
    done.finish("finished")
    done.close()
    killed = create(tmp_path / "killed")
    killed.start()
    killed.close()
    create(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer" / DATABASE) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / DATABASE).touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / DATABASE).write_bytes(b"SQLite format 3\x00" + b"x" * 4096)
    folder = RunsFolder(tmp_path)
    for _ in range(2):  # the second time from what is remembered
        lines = {line["run"]: line for line in folder.list_runs(folder.find())}
        assert {name: line["status"] for name, line in lines.items()} == {
            "going": "running", "done": "finished", "killed": "killed", "newer": "unreadable", "empty": "unreadable",
            "damaged": "unreadable",
        }  # fmt: skip
        assert "schema version 99, this program reads 1" in lines["newer"]["problem"]
        assert (lines["done"]["accuracy"], lines["done"]["round"]) == (0.5, 0)
    going.close()
    shutil.rmtree(tmp_path / "done")
    lines = {line["run"]: line for line in folder.list_runs(folder.find())}
    assert lines["going"]["status"] == "killed"
    assert "done" not in lines


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no directory"):
        RunsFolder(tmp_path / "nowhere")
