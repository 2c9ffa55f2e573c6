from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deployment import connect, fleet
from deployment.connector import Completed, Connector, Progress, script
from deployment.errors import BusyError, CommandError, LostLinkError, UnreachableError
from deployment.fleet import Fleet, Session, Watcher
from deployment.inventory import DeviceEntry, Inventory, load_inventory
from deployment.lease import Lease
from deployment.local import LocalConnector
from deployment.steps import Step


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Three boards, each with a home of its own."""
    monkeypatch.setitem(connect._OPENERS, "local", lambda device, inventory: open_local(device, tmp_path))
    monkeypatch.setattr(fleet, "_WAIT_S", 0.01)
    file = tmp_path / "fleet.toml"
    file.write_text("".join(f'[[devices]]\nname = "{name}"\nconnect = "local"\n' for name in "abc"))
    return load_inventory(file)


def open_local(device: DeviceEntry, folder: Path) -> Connector:
    (folder / device.name).mkdir(exist_ok=True)
    return LocalConnector(device.name, home=folder / device.name)


def entries(inventory: Inventory) -> list[dict[str, object]]:
    return [json.loads(line) for line in (inventory.state / "journal.jsonl").read_text().splitlines()]


def test_one_that_fails_does_not_stop_the_others_and_the_journal_knows(inventory: Inventory) -> None:
    def work(session: Session) -> str:
        if session.device.name == "b":
            raise CommandError("b", "it went wrong")
        session.carry_out([Step("do it", lambda progress: 7)])
        return session.device.name

    outcomes = Fleet(inventory).each(inventory.devices, "work", work)
    assert [(outcome.device, outcome.error, outcome.value) for outcome in outcomes] == [
        ("a", "", "a"),
        ("b", "b: it went wrong", None),
        ("c", "", "c"),
    ]
    assert outcomes[0].report.moved_bytes == 7
    told = [
        (each["event"], each.get("step"), each.get("error")) for each in entries(inventory) if each["device"] != "c"
    ]
    assert sorted(told, key=str) == sorted(
        [
            *(("begin", None, None), ("step", "do it", None), ("done", None, "")),
            *(("begin", None, None), ("failed", None, "b: it went wrong")),
        ],
        key=str,
    )


def test_a_dry_run_reserves_and_writes_nothing(inventory: Inventory, tmp_path: Path) -> None:
    def work(session: Session) -> None:
        session.carry_out([Step("do it", lambda progress: pytest.fail("done in a dry run"))])

    outcomes = Fleet(inventory, dry_run=True).each(inventory.devices, "work", work)
    assert [outcome.planned for outcome in outcomes] == [("do it",)] * 3
    assert not inventory.state.exists()
    assert not list((tmp_path / "a").iterdir())


def test_a_lost_link_is_tried_anew_and_what_was_done_counts(inventory: Inventory) -> None:
    tries: dict[str, int] = {}

    def work(session: Session) -> int:
        tries[session.device.name] = tries.get(session.device.name, 0) + 1
        session.carry_out([Step("send", lambda progress: 5)])
        if tries[session.device.name] < 3 and session.device.name == "a":
            raise LostLinkError("a", "the link broke")
        if session.device.name == "b":
            raise LostLinkError("b", "the link broke")
        return tries[session.device.name]

    a, b, c = Fleet(inventory).each(inventory.devices, "work", work)
    assert (a.error, a.value, a.report.moved_bytes) == ("", 3, 15)
    assert (b.error, tries["b"]) == ("b: the link broke", 3)
    assert c.value == 1


def test_a_device_that_is_off_is_asked_once(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def off(device: DeviceEntry, inventory: Inventory) -> Connector:
        asked.append(device.name)
        raise UnreachableError(device.name, "no answer")

    monkeypatch.setitem(connect._OPENERS, "local", off)
    assert [each.error for each in Fleet(inventory).each(inventory.devices[:1], "w", lambda s: 0)] == ["a: no answer"]
    assert asked == ["a"]


def test_ctrl_c_ends_all_at_their_next_block(inventory: Inventory) -> None:
    began = threading.Barrier(3)
    ended = []

    def endless(progress: Progress) -> int:
        began.wait(60)
        try:
            while True:
                progress(1, 2000)
                time.sleep(0.01)
        finally:
            ended.append(1)

    class Impatient(Watcher):
        def finished(self, outcome: fleet.Outcome) -> None:
            raise KeyboardInterrupt

    def work(session: Session) -> None:
        if session.device.name != "c":
            session.carry_out([Step("endless", endless)])
        else:
            began.wait(60)

    with pytest.raises(KeyboardInterrupt):
        Fleet(inventory, watcher=Impatient()).each(inventory.devices, "work", work)
    assert len(ended) == 2
    failed = {each["error"] for each in entries(inventory) if each["event"] == "failed"}
    assert failed == {"a: interrupted", "b: interrupted"}


@pytest.fixture
def board(tmp_path: Path) -> LocalConnector:
    (tmp_path / "home").mkdir()
    return LocalConnector("board", home=tmp_path / "home")


def test_two_cannot_have_a_device_at_once(board: LocalConnector) -> None:
    with Lease(board, "d"):
        with pytest.raises(BusyError, match=r"board: \S+@\S+ is working on it; wait, or take it over with --take-over"):
            Lease(board, "d").__enter__()
        with Lease(board, "d", take_over=True):
            pass
    with Lease(board, "d") as lease:
        lease.keep_for(1000)


def test_a_lease_is_ours_again_after_a_broken_link(board: LocalConnector) -> None:
    Lease(board, "d", token="us").__enter__()
    with Lease(board, "d", token="us"):
        pass
    with Lease(board, "d"):
        pass


def test_a_lease_that_a_dead_process_left_is_free(board: LocalConnector, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deployment.lease import Lease\n"
        "from deployment.local import LocalConnector\n"
        "Lease(LocalConnector('board', home=Path(sys.argv[1])), 'd').__enter__()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], check=True, cwd=Path(__file__).parents[1])
    assert (tmp_path / "home/d/lease/holder").exists()
    with Lease(board, "d"):
        assert str(os.getpid()) in (tmp_path / "home/d/lease/holder").read_text()


def test_a_lease_ends_by_itself_and_with_a_restart(board: LocalConnector, tmp_path: Path) -> None:
    holder = tmp_path / "home/d/lease/holder"
    for line, value in ((0, "0"), (1, "another-boot")):
        Lease(board, "d").__enter__()
        lines = holder.read_text().splitlines()
        lines[line] = value
        lines[4] = "elsewhere:boot:1"
        holder.write_text("\n".join(lines) + "\n")
        with Lease(board, "d"):
            pass
    assert not holder.exists()


def test_of_many_at_once_one_gets_it(board: LocalConnector) -> None:
    got = []

    def take() -> None:
        try:
            Lease(board, "d").__enter__()
            got.append(1)
        except BusyError:
            pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_lease_on_storage_that_cannot_be_written(board: LocalConnector) -> None:
    with pytest.raises((CommandError, OSError), match="board: "):
        Lease(board, "/proc/d").__enter__()


def test_nothing_of_a_lease_is_left(board: LocalConnector) -> None:
    with Lease(board, "d"):
        pass
    assert board.run(script('ls -A "$HOME"')) == Completed(0, b"", b"")
