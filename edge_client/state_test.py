from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_client.errors import StateError, StateInUseError
from edge_client.state import SavedReply, StateDirectory

OBJECTS = [("a" * 64, 3, (b"ab", memoryview(b"c"))), ("b" * 64, 0, ()), ("c" * 64, 4, (b"wxyz",))]


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "new" / "state") as state:
        assert (state.node_id(), state.task(), state.reply(), state.session()) == (None, None, None, "")
        state.save_node_id(2**64 - 1)
        state.save_task(b"task")
        state.save_reply(b"announcement", OBJECTS)
        state.save_session("s-1")
    with StateDirectory(tmp_path / "new" / "state") as state:
        assert state.node_id() == 2**64 - 1
        assert state.task() == b"task"
        assert state.session() == "s-1"
        reply = state.reply()
        assert reply is not None
        assert reply.announcement == b"announcement"
        assert reply.object_ids == ["a" * 64, "b" * 64, "c" * 64]
        assert [reply.read(object_id) for object_id in reversed(reply.object_ids)] == [b"wxyz", b"", b"abc"]
        reply.close()
        state.forget_task()
        state.forget_reply()
        assert (state.task(), state.reply(), state.session()) == (None, None, "")
        state.forget_task()


def test_two_clients_cannot_share_one(tmp_path: Path) -> None:
    with StateDirectory(tmp_path), pytest.raises(StateInUseError, match=rf"\(process {os.getpid()}\).*--state"):
        StateDirectory(tmp_path)
    StateDirectory(tmp_path).close()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from edge_client.state import StateDirectory; "
        "state = StateDirectory(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).resolve().parent.parent
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -9
    StateDirectory(tmp_path).close()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"pocketfleet reply 1\n" + (5).to_bytes(8, "little") + b"12345" + b"a" * 64]
)
def test_a_reply_that_is_none_is_dropped(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reply").write_bytes(content + b"\xff" * 7)
    with StateDirectory(tmp_path) as state:
        assert state.reply() is None
    assert not (tmp_path / "reply").exists()


def test_a_reply_cut_short_is_none(tmp_path: Path) -> None:
    with StateDirectory(tmp_path) as state:
        state.save_reply(b"announcement", OBJECTS)
        whole = (tmp_path / "reply").read_bytes()
        for length in (len(whole) - 1, len(whole) - 5, 25):
            (tmp_path / "reply").write_bytes(whole[:length])
            with pytest.raises(ValueError, match="saved reply"):
                SavedReply((tmp_path / "reply").open("rb"))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StateDirectory(tmp_path) as state:
        state.save_task(b"old")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match=f"{tmp_path / 'task'}: cannot be written: No space left on device"):
            state.save_task(b"new")
        assert state.task() == b"old"
        assert not list(tmp_path.glob("*.tmp"))


def test_a_damaged_node_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text('{"node-id": {}}')
    with StateDirectory(tmp_path) as state, pytest.raises(StateError, match=r"node\.json: damaged"):
        state.node_id()


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="file: cannot be used as a state directory"):
        StateDirectory(tmp_path / "file")
