"""The SSH connector against OpenSSH's own server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.connector import script
from deployment.errors import (
    AuthenticationError,
    CommandTimeoutError,
    DeployError,
    HostKeyError,
    LostLinkError,
    NoSpaceError,
    ReadOnlyError,
    UnreachableError,
)
from deployment.inventory import DeviceEntry, Secret
from deployment.known_hosts import KnownHosts
from deployment.ssh import SshConnector
from deployment.ssh_login import host_keys
from tests.ssh_hosts import SshHost, cabled_host, loopback_host, make_key


def entry(host: SshHost, name: str = "board") -> DeviceEntry:
    return DeviceEntry(name, host=host.host, port=host.port, key=host.key)


def trust(host: SshHost, file: Path) -> DeviceEntry:
    device = entry(host)
    for known_as, key in host_keys(device, file):
        KnownHosts(file, device.name).trust(known_as, key)
    return device


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    with loopback_host(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture(scope="module")
def known(host: SshHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("known") / "known_hosts"
    trust(host, file)
    return file


@pytest.fixture(scope="module")
def board(host: SshHost, known: Path) -> Iterator[SshConnector]:
    connector = SshConnector(entry(host), known)
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big"
    path.write_bytes(os.urandom(12_000_000))
    return path


def test_commands_have_words_input_outputs_and_statuses(board: SshConnector, host: SshHost) -> None:
    completed = board.run(script('printf %s "$1"; echo "$HOME" >&2; cat; exit 5', "it's $HOME\n*"), stdin=b" in")
    assert (completed.stdout, completed.status) == (b"it's $HOME\n* in", 5)
    assert completed.stderr.decode() == f"{host.home}\n"
    assert board.run(["no-such-program"]).status == 127


def test_death_by_a_signal_is_a_status_and_no_lost_link(board: SshConnector) -> None:
    assert board.run(["sh", "-c", "kill -9 $$"]).status == 137


def test_errors_nobody_waits_for_do_not_stop_a_command(board: SshConnector) -> None:
    completed = board.run(["sh", "-c", "head -c 5000000 /dev/zero >&2; echo done"], timeout_s=30)
    assert (completed.text, len(completed.stderr)) == ("done", 5_000_000)


def test_a_command_that_takes_too_long(board: SshConnector) -> None:
    with pytest.raises(CommandTimeoutError, match=r"board: sleep took more than 0.3 s"):
        board.run(["sleep", "5"], timeout_s=0.3)
    assert board.run(["echo", "still there"]).text == "still there"


def test_files_travel_once_and_come_back(board: SshConnector, host: SshHost, big: Path, tmp_path: Path) -> None:
    assert board.put(big, "a b/'c'") == 12_000_000
    assert (host.home / "a b/'c'").read_bytes() == big.read_bytes()
    assert board.put(big, "a b/'c'") == 0
    assert board.get("a b/'c'", tmp_path / "back") == 12_000_000
    assert (tmp_path / "back").read_bytes() == big.read_bytes()


@contextlib.contextmanager
def storage(place: Path, options: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_full_storage_is_found_before_a_file_travels_and_while_it_does(
    board: SshConnector, host: SshHost, big: Path
) -> None:
    place = host.home / "small"
    with storage(place, "size=16m"):
        (place / "other").write_bytes(bytes(8_000_000))
        with pytest.raises(
            NoSpaceError, match=r"board: small/b needs 12.0 MB, and \d\.\d MB are free; make room on it"
        ):
            board.put(big, "small/b")
        (place / "other").unlink()

        def fill(done: int, total: int) -> None:
            with contextlib.suppress(OSError):
                (place / "other").write_bytes(bytes(16_000_000))

        with pytest.raises(NoSpaceError, match=r"board: its storage is full \(.*No space left on device\)"):
            board.put(big, "small/b", progress=fill)
        (place / "other").unlink()
        assert board.put(big, "small/b") < 12_000_000
        # A part that fits only once is gone on with all the same.
        (place / "b").unlink()
        (place / "b.part").write_bytes(big.read_bytes()[:10_000_000])
        assert board.put(big, "small/b") == 2_000_000
        assert sorted(path.name for path in place.iterdir()) == ["b"]


def test_storage_that_cannot_be_written(board: SshConnector, host: SshHost, big: Path) -> None:
    with (
        storage(host.home / "worn", "ro"),
        pytest.raises(ReadOnlyError, match=r"board: its storage is read-only .*; remount it"),
    ):
        board.put(big, "worn/a/b")


def test_an_unknown_host_is_refused_and_shows_what_to_compare(host: SshHost, tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match=r"board: the host key of .* is unknown: SHA256:\S{43} \(ssh-ed25519\)") as e:
        SshConnector(entry(host), tmp_path / "known_hosts")
    assert "pocketfleet fleet trust board" in str(e.value)
    assert not (tmp_path / "known_hosts").exists()


def test_a_changed_host_key_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    with loopback_host(tmp_path / "host") as host:
        known = tmp_path / "known_hosts"
        device = trust(host, known)
        SshConnector(device, known).close()
        host.stop()
        host.new_host_key()
        host.start()
        with pytest.raises(HostKeyError, match=r"has changed: trusted SHA256:(\S+) .*, now SHA256:(?!\1)\S+"):
            SshConnector(device, known)
        trust(host, known)
        SshConnector(device, known).close()
        assert len(known.read_text().splitlines()) == 1


def test_whom_it_does_not_let_in(host: SshHost, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "wrong")
    stranger = make_key(tmp_path / "stranger")
    locked = make_key(tmp_path / "locked", "open sesame")
    garbage = tmp_path / "garbage"
    garbage.write_text("no key")
    for change, text in (
        ({"key": stranger}, f"does not accept the key {stranger}; try: ssh-copy-id"),
        ({"key": None, "password": Secret(env="WORD")}, "does not accept the password"),
        ({"key": locked}, f"the key {locked} is locked; set passphrase"),
        ({"key": tmp_path / "none"}, "there is no key file"),
    ):
        with pytest.raises(AuthenticationError) as caught:
            SshConnector(dataclasses.replace(entry(host), **change), known)  # type: ignore[arg-type]
        assert text in str(caught.value)
    with pytest.raises(DeployError, match=r"board: "):
        SshConnector(dataclasses.replace(entry(host), key=garbage), known)


def test_the_agents_keys_are_tried(host: SshHost, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(re.findall(r"(SSH_\w+)=([^;]+);", started))
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", str(host.key)], check=True)
        connector = SshConnector(dataclasses.replace(entry(host), key=None), known)
        assert connector.run(["echo", "in"]).text == "in"
        connector.close()
    finally:
        os.kill(int(agent["SSH_AGENT_PID"]), signal.SIGTERM)


def test_where_nobody_is(host: SshHost, known: Path) -> None:
    for change, text in (
        ({"port": 1}, "nothing listens on 127.0.0.1 port 1; start sshd"),
        ({"host": "no-such-host.invalid"}, "there is no host"),
    ):
        with pytest.raises(UnreachableError) as caught:
            SshConnector(dataclasses.replace(entry(host), **change), known)  # type: ignore[arg-type]
        assert text in str(caught.value)


def test_through_a_jump_host(host: SshHost, known: Path, big: Path, tmp_path: Path) -> None:
    with loopback_host(tmp_path / "behind") as behind:
        (behind.folder / "client_key.pub").write_bytes((host.folder / "client_key.pub").read_bytes())
        behind.stop()
        behind.start()
        jumping = dataclasses.replace(entry(behind), key=host.key, jump=f"127.0.0.1:{host.port}")
        file = tmp_path / "known_hosts"
        shown = []
        for known_as, key in host_keys(jumping, file):
            KnownHosts(file, "board").trust(known_as, key)
            shown.append(known_as)
        assert shown == [f"[127.0.0.1]:{host.port}", f"[127.0.0.1]:{behind.port}"]
        connector = SshConnector(jumping, file)
        assert connector.put(big, "big") == 12_000_000
        connector.close()
        assert (behind.home / "big").stat().st_size == 12_000_000
        behind.stop()
        with pytest.raises(UnreachableError, match=f"board: 127.0.0.1:{host.port} cannot reach 127.0.0.1"):
            SshConnector(jumping, file)


def test_a_cable_pulled_in_mid_push_shows_in_seconds_and_the_rest_goes_on(
    big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployment.ssh_login.DEAD_S", 3)
    with cabled_host(tmp_path / "host") as host:
        known = tmp_path / "known_hosts"
        device = trust(host, known)
        connector = SshConnector(device, known)
        pulled = []

        def pull(done: int, total: int) -> None:
            if done > 4_000_000 and not pulled:
                pulled.append(time.monotonic())
                host.pull_cable()

        with pytest.raises(LostLinkError, match="board: the link broke.*; run this again: it goes on where it stopped"):
            connector.put(big, "big", progress=pull)
        assert pulled
        connector.close()
        assert not (host.home / "big").exists()
        host.plug_cable()
        there = (host.home / "big.part").stat().st_size
        assert there > 1_000_000
        connector = SshConnector(device, known)
        assert connector.put(big, "big") <= 12_000_000 - there
        assert (host.home / "big").read_bytes() == big.read_bytes()

        # A command that says nothing over a dead link is a lost link, not a status.
        threading.Timer(0.3, host.pull_cable).start()
        with pytest.raises(LostLinkError):
            connector.run(["sleep", "100"], timeout_s=90)
        host.plug_cable()
        connector.close()
