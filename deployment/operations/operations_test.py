"""Operations on this machine as a board, with the real client."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from deployment.connector import Completed, no_progress
from deployment.errors import CommandError, DeployError, InventoryError, NoSpaceError, NotThereError, PlatformError
from deployment.facts import platform, read_facts
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.local import LocalConnector
from deployment.operations.collect import collect, read_log
from deployment.operations.key import public_key
from deployment.operations.push import push, roll_back
from deployment.operations.start import start
from deployment.operations.status import read_status
from deployment.operations.stop import stop
from deployment.operations.uninstall import uninstall
from deployment.releases import Release, make_release
from deployment.steps import Report, Step, carry_out


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def here(home: Path) -> LocalConnector:
    return LocalConnector("board", home=home)


@pytest.fixture
def server(tmp_path: Path) -> ServerEntry:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    return ServerEntry(address="http://127.0.0.1:9", bundle=tmp_path / "bundle")


@pytest.fixture
def board(tmp_path: Path) -> DeviceEntry:
    (tmp_path / "shard.npz").write_bytes(os.urandom(500_000))
    return DeviceEntry("board", "local", data=tmp_path / "shard.npz", python=sys.executable, install="none", nice=1)


def release(board: DeviceEntry, server: ServerEntry) -> Release:
    return make_release(board, server, [], "3.11")


def apply(steps: Iterable[Step]) -> tuple[Report, list[str]]:
    done: list[str] = []
    return carry_out(steps, done=lambda step, moved: done.append(step.describe)), done


def test_a_dry_run_names_the_very_steps_and_changes_nothing(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry
) -> None:
    new = release(board, server)
    planned = [step.describe for step in push(here, board, new)]
    assert not list(home.iterdir())
    report, done = apply(push(here, board, new))
    assert done == planned
    assert planned[1] == "send data.npz (0.5 MB)"
    assert report.moved_bytes == sum(part.size_bytes for part in new.blobs)


def test_a_second_push_has_nothing_to_do_and_a_change_moves_only_itself(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry, tmp_path: Path
) -> None:
    first = release(board, server)
    apply(push(here, board, first))
    assert list(push(here, board, release(board, server))) == []
    other = tmp_path / "other.npz"
    other.write_bytes(b"other data")
    second = release(dataclasses.replace(board, data=other), server)
    report, _ = apply(push(here, board, second))
    assert report.moved_bytes == len(b"other data")
    root = home / board.directory
    assert (root / "current/data.npz").read_bytes() == b"other data"
    assert (root / "current").resolve().name == second.id

    # Back, and forth again; both without a byte.
    _, done = apply(roll_back(here, board))
    assert done == [f"switch back to release {first.id} (was {second.id})"]
    assert (root / "current/data.npz").stat().st_size == 500_000
    report, _ = apply(push(here, board, second))
    assert (report.moved_bytes, (root / "current").resolve().name) == (0, second.id)


def test_what_no_release_needs_is_removed(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry, tmp_path: Path
) -> None:
    pushed = []
    for number in range(3):
        data = tmp_path / f"{number}.npz"
        data.write_bytes(b"data" * (number + 1))
        pushed.append(release(dataclasses.replace(board, data=data), server))
        apply(push(here, board, pushed[-1]))
    root = home / board.directory
    assert {path.name for path in (root / "releases").iterdir()} == {pushed[1].id, pushed[2].id}
    needed = {part.sha256 for kept in pushed[1:] for part in kept.blobs}
    assert {path.name for path in (root / "blobs").iterdir()} == needed
    for private in ("blobs", "releases", "state", "logs"):
        assert (root / private).stat().st_mode & 0o77 == 0, "others on the board can read it"
    assert {path.name for path in root.iterdir()} == {
        *("blobs", "releases", "current", "previous", "state", "logs", "run")
    }


def test_the_release_that_runs_stays_until_the_next_start(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry, tmp_path: Path
) -> None:
    running = release(board, server)
    apply(push(here, board, running))
    (home / board.directory / "run/release").write_text(f"releases/{running.id}\n")
    for number in range(2):
        data = tmp_path / f"{number}.npz"
        data.write_bytes(b"data" * (number + 1))
        apply(push(here, board, release(dataclasses.replace(board, data=data), server)))
    place = home / board.directory / "releases" / running.id
    assert (place / "data.npz").stat().st_size == 500_000


def test_a_file_that_was_damaged_on_the_device_is_not_used(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry
) -> None:
    new = release(board, server)
    steps = list(push(here, board, new))
    for step in steps[:3]:
        step.apply(no_progress)
    data = next(part for part in new.parts if part.name == "data.npz")
    blob = home / board.directory / data.blob
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(CommandError, match=r"board: .*data.npz is damaged on the device, and was removed"):
        steps[3].apply(no_progress)
    assert not (home / board.directory / "current").exists()
    _, done = apply(push(here, board, new))
    assert done[0] == "send data.npz (0.5 MB)"
    assert read_status(here, board).release == new.id


def test_a_push_that_broke_off_anywhere_is_completed_by_another(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry
) -> None:
    new = release(board, server)
    moved = 0
    for _ in range(len(list(push(here, board, new)))):
        moved += next(iter(push(here, board, new))).apply(no_progress)
        if read_status(here, board).release == new.id:
            break
    assert moved == sum(part.size_bytes for part in new.blobs)
    assert list(push(here, board, new)) == []


def test_too_little_space_is_said_before_anything_travels(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "free_bytes", lambda path: 100_000)
    with pytest.raises(NoSpaceError, match=r"board: the release needs 0\.\d MB and 0.1 MB are free; make room"):
        list(push(here, board, release(board, server)))
    assert not list(home.iterdir())
    # What has arrived of a file needs no room again.
    new = release(board, server)
    needed = sum(part.size_bytes * (2 if part.unpack else 1) for part in new.parts)
    data = next(part for part in new.parts if part.name == "data.npz")
    (home / board.directory / "blobs").mkdir(parents=True)
    (home / board.directory / f"{data.blob}.part").write_bytes(bytes(400_000))
    monkeypatch.setattr(here, "free_bytes", lambda path: needed - 400_000)
    assert list(push(here, board, new))


@pytest.mark.parametrize(
    ("device", "given", "message"),
    [
        ({"data": None}, {}, "board: it has no data"),
        ({}, {"address": ""}, "board: it cannot know its server"),
        ({}, {"address": "https://h:1"}, "board: it cannot trust its server"),
        ({}, {"bundle": None}, "board: it has nothing to train"),
        ({"data": Path("/nowhere.npz")}, {}, "board: there is no /nowhere.npz to send$"),
        (
            {},
            {"address": "https://h:1", "ca": Path("/nowhere/ca.pem")},
            "no /nowhere/ca.pem to send; .*pocketfleet invite",
        ),
    ],
)
def test_an_inventory_that_does_not_say_enough(
    board: DeviceEntry, server: ServerEntry, device: dict[str, Path], given: dict[str, object], message: str
) -> None:
    with pytest.raises(InventoryError, match=message):
        release(dataclasses.replace(board, **device), dataclasses.replace(server, **given))  # type: ignore[arg-type]


def test_names_and_arguments_reach_the_client_as_they_are(board: DeviceEntry, server: ServerEntry) -> None:
    odd = dataclasses.replace(board, arguments=("--state", "a b; touch 'x'"), threads=2, profile="generic")
    run = release(odd, server).run
    assert shlex.split(run.replace("\\\n", ""))[-2:] == ["--state", "a b; touch 'x'"]
    assert "--threads 2" in run
    assert "--insecure" in run
    assert "nice -n 1" in run


def test_the_client_is_started_once_kept_running_and_stopped_in_good_order(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry, tmp_path: Path
) -> None:
    (tmp_path / "signer.pem").write_text("only read when a bundle comes")
    server = dataclasses.replace(server, bundle=None, trust=tmp_path / "signer.pem")
    np.savez(board.data or "", x=np.zeros((4, 8, 8, 1), np.uint8), y=np.zeros(4, np.int64))
    facts = {"service": ""}
    with pytest.raises(NotThereError, match=r"board: there is no release on it; run: pocketfleet fleet push --device"):
        list(start(here, board, facts))
    with pytest.raises(NotThereError):
        public_key(here, board)
    apply(push(here, board, release(board, server)))
    key = public_key(here, board)
    assert key.startswith(b"-----BEGIN PUBLIC KEY-----")
    (home / board.directory / "run/pid").write_text("1\n")  # of a supervisor before the board was switched off
    _, done = apply(start(here, board, facts))
    assert (home / board.directory / "run/pid").read_text() != "1\n"
    try:
        assert done == [f"start release {release(board, server).id} under a supervisor"]
        assert list(start(here, board, facts)) == []
        client = wait_for_client(home / board.directory, 0)
        os.kill(client, signal.SIGKILL)
        again = wait_for_client(home / board.directory, client)
        assert again != client
        assert "the client ended with status 137; again in 1 s" in read_log(here, board, 100)

        apply(collect(here, board, facts, tmp_path / "collected"))
        known = json.loads((tmp_path / "collected/board/facts.json").read_text())
        assert known["status"]["running"] == "supervisor"
        assert (tmp_path / "collected/board/client.log").read_text()

        # A new release takes the place of the running one.
        changed = release(dataclasses.replace(board, processor="npu"), server)
        apply(push(here, board, changed))
        status = read_status(here, board)
        assert (status.release, status.running_release) == (changed.id, release(board, server).id)
        _, done = apply(start(here, board, facts))
        assert [line.split(" ")[0] for line in done] == ["stop", "start"]
        assert read_status(here, board).running_release == changed.id
    finally:
        apply(stop(here, board))
    assert read_status(here, board).running == ""
    assert list(stop(here, board)) == []
    assert not running(home)
    assert public_key(here, board) == key

    apply(uninstall(here, board))
    assert [path.name for path in (home / board.directory).iterdir()] == ["state"]
    assert list(uninstall(here, board)) == []
    apply(uninstall(here, board, forget_key=True))
    assert list((home / board.directory).iterdir()) == []


def wait_for_client(root: Path, other_than: int) -> int:
    for _ in range(2400):
        for pid in running(root / "state"):
            if pid != other_than and "event=unreachable" in (root / "logs/client.log").read_text().rpartition("137")[2]:
                return pid
        time.sleep(0.05)
    raise AssertionError((root / "logs/client.log").read_text())


def running(place: Path) -> list[int]:
    """Return the processes with a word that names a place, supervisors left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(place).encode() in words and b"edge_client.cli" in words:
            found.append(int(path.parent.name))
    return found


def test_a_directory_of_somebody_elses_is_left_alone(
    here: LocalConnector, home: Path, board: DeviceEntry, server: ServerEntry
) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "thesis.tex").write_text("chapter 1")
    own = dataclasses.replace(board, directory="mine")
    assert list(uninstall(here, own)) == []
    (home / "mine" / "logs").mkdir()
    (home / "mine" / "logs" / "1.txt").write_text("day 1")
    assert list(uninstall(here, own, forget_key=True)) == []
    with pytest.raises(DeployError, match="board: mine has a logs in it that we did not make; name a `directory`"):
        next(push(here, own, release(own, server)))
    assert sorted(path.name for path in (home / "mine").iterdir()) == ["logs", "thesis.tex"]


def test_going_back_where_there_is_nothing(here: LocalConnector, board: DeviceEntry, server: ServerEntry) -> None:
    apply(push(here, board, release(board, server)))
    with pytest.raises(PlatformError, match="board: there is no earlier release on it"):
        list(roll_back(here, board))


def test_facts_decide_what_fits(here: LocalConnector) -> None:
    facts = read_facts(here, sys.executable)
    assert facts["python"] == "{}.{}".format(*sys.version_info[:2])
    assert int(facts["memory_kib"]) > 100_000
    assert platform(facts).pointer_bits == 64
    assert "python" not in read_facts(here, "no-such-python", only_platform=True)


def test_facts_of_a_jetson_and_a_board_without_glibc() -> None:
    class Told(LocalConnector):
        def run(self, words: object, *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
            return Completed(0, b"machine=aarch64\njetson_linux=# R32 (release), REVISION: 7.1\npython=3.6\n", b"")

    known = platform(read_facts(Told("nano")))
    assert (known.jetpack, known.python, known.glibc) == (4, (3, 6), None)


def test_a_release_is_named_by_its_content(board: DeviceEntry, server: ServerEntry) -> None:
    one = release(board, server)
    assert one == release(board, server)
    assert board.data is not None
    data = next(part for part in one.parts if part.name == "data.npz")
    assert data.sha256 == hashlib.sha256(board.data.read_bytes()).hexdigest()
    board.data.write_bytes(b"new")
    assert release(board, server).id != one.id
