from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from deployment import transfer
from deployment.connector import Completed, check, failure, script
from deployment.errors import (
    CommandError,
    CommandTimeoutError,
    DeploymentError,
    IntegrityError,
    NoSpaceError,
    NotThereError,
    ReadOnlyError,
)
from deployment.local import LocalConnector


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def here(home: Path) -> LocalConnector:
    return LocalConnector("here", home=home)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(3_000_000))
    return path


def test_words_are_not_expanded_and_outputs_are_apart(here: LocalConnector, home: Path) -> None:
    completed = here.run(script('printf %s "$1"; echo "$HOME" >&2; cat', "$HOME *"), stdin=b" in")
    assert completed == Completed(0, b"$HOME * in", f"{home}\n".encode())


def test_statuses_are_those_of_a_shell(here: LocalConnector) -> None:
    assert here.run(["sh", "-c", "exit 7"]).status == 7
    assert here.run(["sh", "-c", "kill -9 $$"]).status == 137
    assert here.run(["no-such-program"]).status == 127


def test_a_command_that_takes_too_long_is_ended_with_its_children(here: LocalConnector, home: Path) -> None:
    os.mkfifo(home / "held")
    ours = os.open(home / "held", os.O_RDONLY | os.O_NONBLOCK)
    theirs = os.open(home / "held", os.O_WRONLY)
    with pytest.raises(CommandTimeoutError, match=r"here: sh took more than 0.5 s"):
        here.run(["sh", "-c", "sleep 1000 > held & wait"], timeout_s=0.5)
    os.close(theirs)
    assert select.select([ours], [], [], 60)[0], "the child lives on: it holds the pipe"
    os.close(ours)


def test_a_file_travels_once(here: LocalConnector, home: Path, big: Path) -> None:
    told: list[tuple[int, int]] = []
    assert here.put(big, "a/b", progress=lambda done, total: told.append((done, total))) == 3_000_000
    assert (home / "a/b").read_bytes() == big.read_bytes()
    assert told[0] == (0, 3_000_000)
    assert told[-1] == (3_000_000, 3_000_000)
    assert here.put(big, "a/b") == 0


def test_a_transfer_goes_on_where_it_was_cut(here: LocalConnector, home: Path, big: Path) -> None:
    class CutError(Exception):
        pass

    def cut(done: int, total: int) -> None:
        if done > 1_000_000:
            raise CutError

    with pytest.raises(CutError):
        here.put(big, "b", progress=cut)
    there = (home / "b.part").stat().st_size
    assert 0 < there < 3_000_000
    assert not (home / "b").exists()
    assert here.put(big, "b") == 3_000_000 - there

    target = big.with_name("back")
    with pytest.raises(CutError):
        here.get("b", target, progress=cut)
    there = target.with_name("back.part").stat().st_size
    assert here.get("b", target) == 3_000_000 - there
    assert target.read_bytes() == big.read_bytes()
    assert here.get("b", target) == 0


@pytest.mark.parametrize("rest", [b"something else", b"\0" * 4_000_000])
def test_the_rest_of_another_file_is_not_used(here: LocalConnector, home: Path, big: Path, rest: bytes) -> None:
    (home / "b.part").write_bytes(rest)
    assert here.put(big, "b") == 3_000_000
    assert (home / "b").read_bytes() == big.read_bytes()


def test_a_link_that_breaks_leaves_what_arrived(here: LocalConnector, home: Path, big: Path) -> None:
    words = script(transfer._FRESH, "b", transfer.file_sha256(big), "3000000")
    assert here.run(words, stdin=big.read_bytes()[:2_000_000]).status != 0
    assert here.put(big, "b") == 1_000_000
    assert (home / "b").read_bytes() == big.read_bytes()


def test_the_writer_of_a_broken_link_does_no_harm(here: LocalConnector, home: Path, big: Path) -> None:
    (home / "b.part").write_bytes(big.read_bytes()[:1_000_000])
    with (home / "b.part").open("ab") as old:

        def late(done: int, total: int) -> None:
            old.write(b"late")
            old.flush()

        assert here.put(big, "b", progress=late) == 2_000_000
    assert (home / "b").read_bytes() == big.read_bytes()


def test_a_file_that_changes_while_it_travels_is_not_put_in_place(here: LocalConnector, home: Path, big: Path) -> None:
    def meddle(done: int, total: int) -> None:
        with big.open("r+b") as file:
            file.seek(-7, os.SEEK_END)
            file.write(b"meddled")

    with pytest.raises(IntegrityError, match="here: b arrived damaged, and was removed; run this again"):
        here.put(big, "b", progress=meddle)
    assert not list(home.iterdir())


def test_what_is_not_there(here: LocalConnector, tmp_path: Path) -> None:
    assert here.sha256("nothing") is None
    with pytest.raises(NotThereError, match="here: there is no nothing on it"):
        here.get("nothing", tmp_path / "x")
    with pytest.raises(DeploymentError, match="nothing: cannot be read: no such file or directory"):
        here.put(tmp_path / "nothing", "x")
    assert not (tmp_path / "x.part").exists()


def test_full_storage_is_found_before_anything_travels(here: LocalConnector, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x" * 5000)
    with pytest.raises(NoSpaceError, match=r"here: /proc/a needs 0.0 MB, and 0.0 MB are free; make room"):
        here.put(small, "/proc/a")


@pytest.mark.parametrize(
    ("complaint", "kind", "text"),
    [
        (b"cat: write error: No space left on device", NoSpaceError, "its storage is full"),
        (b"mkdir: cannot create directory 'x': Read-only file system", ReadOnlyError, "its storage is read-only"),
        (b"one\nother trouble\n", CommandError, "x: mkdir a failed with status 3: other trouble"),
    ],
)
def test_failures_say_what_to_do(complaint: bytes, kind: type[Exception], text: str) -> None:
    error = failure("x", Completed(3, b"", complaint), ["mkdir", "a"])
    assert type(error) is kind
    assert text in str(error)


def test_check_names_device_and_command(here: LocalConnector) -> None:
    with pytest.raises(CommandError, match="here: false failed with status 1"):
        check(here, ["false"])
