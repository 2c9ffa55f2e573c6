"""The ADB connector against a strict emulated daemon, which is itself checked with Google's ``adb``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deployment.adb import AdbConnector, AdbKey, server_devices
from deployment.connector import script
from deployment.errors import (
    CommandTimeoutError,
    DeploymentError,
    LostLinkError,
    NotThereError,
    PlatformError,
    UnauthorisedError,
    UnreachableError,
)
from tests.android_root import AndroidRoot, Answer
from tests.emulated_adbd import EmulatedAdbd
from tests.java_client import missing
from tests.superlink import free_port

SIZE = 3_000_000


def _android(words: Sequence[str]) -> Answer:
    return 0, " ".join(words)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AndroidRoot]:
    android = AndroidRoot(tmp_path_factory.mktemp("android"), _android)
    yield android
    android.close()


@pytest.fixture
def adbd(root: AndroidRoot) -> Iterator[EmulatedAdbd]:
    with EmulatedAdbd(root) as daemon:
        yield daemon
        assert not daemon.breaches
    for file in root.file("/data/local/tmp").iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adb") / "key"


@pytest.fixture
def phone(adbd: EmulatedAdbd, key: Path) -> Iterator[AdbConnector]:
    connector = AdbConnector("pixel", host="127.0.0.1", port=adbd.port, key=key)
    yield connector
    connector.close()


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_words_outputs_and_statuses_are_kept_apart(phone: AdbConnector) -> None:
    completed = phone.run(script('printf %s "$1"; pwd; echo "two words" >&2; cat; exit 7', "$HOME *"), stdin=b"in")
    assert (completed.status, completed.stdout) == (7, b"$HOME */data/local/tmp\nin")
    assert completed.stderr == b"two words\n"
    assert phone.run(["no-such-program"]).status == 127
    assert phone.run(["am", "it's", "so"]).text == "am it's so"


def test_input_and_output_of_megabytes(phone: AdbConnector) -> None:
    data = os.urandom(1_500_000)
    assert phone.run(["cat"], stdin=data).stdout == data
    assert phone.run(["true"], stdin=data).status == 0, "a command need not read what it is given"


def test_a_file_travels_once_and_back(phone: AdbConnector, root: AndroidRoot, big: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert phone.put(big, "folder/b", progress=lambda done, total: told.append((done, total))) == SIZE
    assert root.file("/data/local/tmp/folder/b").read_bytes() == big.read_bytes()
    assert told[0] == (0, SIZE)
    assert told[-1] == (SIZE, SIZE)
    assert phone.put(big, "folder/b") == 0
    assert phone.get("folder/b", tmp_path / "back") == SIZE
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert phone.free_bytes("folder/none") > SIZE
    shutil.rmtree(root.file("/data/local/tmp/folder"))


@pytest.mark.parametrize("cut", [0, 30, 100, 200_000, 1_000_000, 2_900_000])
def test_a_push_goes_on_where_it_was_cut(
    phone: AdbConnector, adbd: EmulatedAdbd, root: AndroidRoot, big: Path, cut: int
) -> None:
    phone.run(["true"])
    adbd.faults.cut_after = cut
    with pytest.raises(LostLinkError, match="pixel: the connection broke .*; run this again: it goes on"):
        phone.put(big, "b")
    assert not root.file("/data/local/tmp/b").exists()
    part = root.file("/data/local/tmp/b.part")
    there = part.stat().st_size if part.exists() else 0
    assert there >= cut - 600_000
    moved = phone.put(big, "b")
    # The daemon may have written what had arrived only after we looked.
    assert moved <= SIZE - there
    assert root.file("/data/local/tmp/b").read_bytes() == big.read_bytes()


@pytest.mark.parametrize("cut", [10, 150_000, 2_000_000])
def test_a_fetch_goes_on_where_it_was_cut(
    phone: AdbConnector, adbd: EmulatedAdbd, root: AndroidRoot, big: Path, tmp_path: Path, cut: int
) -> None:
    shutil.copy(big, root.file("/data/local/tmp/b"))
    adbd.faults.cut_sending_after = cut
    target = tmp_path / "back"
    with pytest.raises(LostLinkError):
        phone.get("b", target)
    assert not target.exists()
    part = target.with_name("back.part")
    there = part.stat().st_size if part.exists() else 0
    assert phone.get("b", target) == SIZE - there
    assert target.read_bytes() == big.read_bytes()


def test_what_stops_us_in_a_transfer_leaves_the_phone_usable(phone: AdbConnector, big: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 1_000_000:
            raise StopError

    with pytest.raises(StopError):
        phone.put(big, "b", progress=stop)
    assert phone.run(["echo", "here"]).text == "here"
    assert phone.put(big, "b") < SIZE


def test_a_command_that_takes_too_long(phone: AdbConnector) -> None:
    with pytest.raises(CommandTimeoutError, match=r"pixel: sleep took more than 0.3 s"):
        phone.run(["sleep", "5"], timeout_s=0.3)
    assert phone.run(["echo", "again"]).text == "again"


def _close_while_it_runs(connector: AdbConnector, root: AndroidRoot) -> None:
    """Let another thread close a connection while a command runs."""
    begun = root.file("/data/local/tmp/begun")

    def close() -> None:
        while not begun.exists():
            time.sleep(0.02)
        connector.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(LostLinkError, match="pixel: the connection broke"):
        connector.run(script("true > begun; sleep 20"))
    thread.join()


def test_one_thread_may_end_what_another_waits_for(phone: AdbConnector, root: AndroidRoot) -> None:
    _close_while_it_runs(phone, root)


def test_what_is_not_there(phone: AdbConnector, tmp_path: Path) -> None:
    assert phone.sha256("none") is None
    with pytest.raises(NotThereError, match="pixel: there is no none on it"):
        phone.get("none", tmp_path / "x")


def test_a_phone_asks_its_owner_once(root: AndroidRoot, key: Path) -> None:
    said: list[str] = []
    with EmulatedAdbd(root, ask="allow") as daemon:
        for _ in range(2):
            connector = AdbConnector("pixel", host="127.0.0.1", port=daemon.port, key=key, tell=said.append)
            assert connector.run(["echo", "in"]).text == "in"
            connector.close()
        assert len(daemon.dialogs) == 1
        assert b" pocketfleet@" in daemon.dialogs[0]
        assert not daemon.breaches
    assert len(said) == 1
    assert f"tap 'Allow' (key {AdbKey(key).fingerprint})" in said[0]


def test_a_phone_whose_owner_does_not_answer(root: AndroidRoot, key: Path) -> None:
    with EmulatedAdbd(root, ask="ignore") as daemon:
        connector = AdbConnector("pixel", host="127.0.0.1", port=daemon.port, key=key, allow_s=0.2)
        with pytest.raises(UnauthorisedError, match="pixel: it has not allowed this computer .*tap 'Allow', and run"):
            connector.run(["true"])
        assert not daemon.breaches


def test_a_protocol_that_wants_checksums(root: AndroidRoot, key: Path) -> None:
    with EmulatedAdbd(root, version=0x01000000, ask="allow") as daemon:
        connector = AdbConnector("pixel", host="127.0.0.1", port=daemon.port, key=key)
        assert connector.run(["cat"], stdin=b"x" * 300_000).stdout == b"x" * 300_000
        connector.close()
        assert not daemon.breaches


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state": "recovery"}, "it is in state 'recovery'; start its system"),
        ({"features": "cmd"}, "its adbd is older than Android 7"),
        ({"wants_tls": True}, "it wants the encrypted connection of Android's wireless debugging; connect it by USB"),
    ],
)
def test_phones_that_cannot_be_served(root: AndroidRoot, key: Path, options: dict[str, object], words: str) -> None:
    with EmulatedAdbd(root, **options) as daemon:  # type: ignore[arg-type]
        connector = AdbConnector("pixel", host="127.0.0.1", port=daemon.port, key=key)
        with pytest.raises(PlatformError) as caught:
            connector.run(["true"])
    assert f"pixel: {words}" in str(caught.value)


def test_nobody_there_or_somebody_else(key: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        connector = AdbConnector("pixel", host="127.0.0.1", port=port, key=key)
        other.settimeout(60)

        def greet() -> None:
            peer, _ = other.accept()
            peer.sendall(b"SSH-2.0-OpenSSH_9.2 is what I speak\r\n")
            peer.recv(1000)
            peer.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(LostLinkError, match="no greeting came .*is it an Android device's adbd"):
            connector.run(["true"])
        thread.join()
    with pytest.raises(UnreachableError, match=rf"pixel: 127.0.0.1:{port} cannot be reached .*adb tcpip {port}"):
        connector.run(["true"])


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(DeploymentError, match="key: not an unencrypted private key in PEM"):
        AdbKey(path)


def test_our_key_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETFLEET_HOME", str(tmp_path))
    made = AdbKey()
    assert made.path == tmp_path / "adb" / "key"
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert list(made.path.parent.iterdir()) == [made.path]
    assert AdbKey().fingerprint == made.fingerprint


# From here on with Google's own program.

GOOGLE = shutil.which("adb")


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Start a server of the ``adb`` program for this test alone."""
    if GOOGLE is None:
        missing("no adb (Debian: apt install adb)")
    port = free_port()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ADB_MDNS", "0")
    yield [GOOGLE, "-P", str(port)]
    subprocess.run([GOOGLE, "-P", str(port), "kill-server"], check=True, capture_output=True)


def _say(words: Sequence[str]) -> str:
    ran = subprocess.run(list(words), capture_output=True, text=True, timeout=120, check=False)
    return f"{ran.returncode} {ran.stdout}{ran.stderr}"


def test_the_emulated_daemon_is_one_to_googles_adb(adbd: EmulatedAdbd, google: list[str], root: AndroidRoot) -> None:
    serial = f"127.0.0.1:{adbd.port}"
    assert f"connected to {serial}" in _say([*google, "connect", serial])
    assert _say([*google, "-s", serial, "shell", "echo out; echo err >&2; exit 7"]) == "7 out\nerr\n"
    data = os.urandom(700_000)
    ran = subprocess.run([*google, "-s", serial, "shell", "cat"], input=data, capture_output=True, check=True)
    assert ran.stdout == data


def test_through_the_server_of_googles_adb(
    adbd: EmulatedAdbd, google: list[str], big: Path, tmp_path: Path, root: AndroidRoot
) -> None:
    serial = f"127.0.0.1:{adbd.port}"
    _say([*google, "connect", serial])
    assert server_devices() == {serial: "device"}
    connector = AdbConnector("pixel", serial=serial)
    completed = connector.run(script("echo out; echo err >&2; cat; exit 7"), stdin=b"in")
    assert (completed.status, completed.stdout, completed.stderr) == (7, b"out\nin", b"err\n")
    assert connector.put(big, "b") == SIZE
    assert connector.put(big, "b") == 0
    assert connector.get("b", tmp_path / "back") == SIZE
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    with pytest.raises(CommandTimeoutError):
        connector.run(["sleep", "5"], timeout_s=0.3)
    _close_while_it_runs(connector, root)
    assert connector.run(["true"], stdin=os.urandom(1_000_000)).status == 0
    root.file("/data/local/tmp/b").unlink()
    adbd.faults.cut_after = 1_000_000
    with pytest.raises(LostLinkError):
        connector.put(big, "b")
    connector.close()


def test_what_googles_server_says_of_a_phone(root: AndroidRoot, google: list[str]) -> None:
    with EmulatedAdbd(root, ask="ignore") as daemon:
        serial = f"127.0.0.1:{daemon.port}"
        _say([*google, "connect", serial])
        assert server_devices() == {serial: "unauthorized"}
        with pytest.raises(UnauthorisedError, match="it has not allowed this computer's adb; unlock it"):
            AdbConnector("pixel", serial=serial).run(["true"])
    with pytest.raises((UnreachableError, PlatformError), match="pixel: "):
        AdbConnector("pixel", serial="nobody").run(["true"])
