"""What goes wrong between a laptop and boards: each fault names its device and what to do; doing it again completes.

Faults of a single connection are in `tests.deploy_ssh_test`, of phones in `tests.adb_test`, of Device Farm in
`tests.device_farm_test`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.errors import AuthenticationError, CommandError, LostLinkError, UnreachableError
from deployment.fleet import Fleet, Outcome, Session, Watcher
from deployment.inventory import DeviceEntry, Secret, load_inventory
from deployment.known_hosts import KnownHosts
from deployment.operations.push import push
from deployment.operations.release_for import releases_for
from deployment.ssh import SshConnector
from deployment.ssh_login import host_keys
from python_server.cli import main
from tests.proxy import Forwarder
from tests.ssh_hosts import SshHost, cabled_host, loopback_host, make_key

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(name="host", scope="module")
def make_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    with loopback_host(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("deployment.fleet._WAIT_S", 0.3)
    (tmp_path / "d.npz").write_bytes(os.urandom(400_000))
    return tmp_path


def inventory(lab: Path, *tables: str) -> Path:
    """Write an inventory, each device by its own lines beside what all have."""
    text = '[server]\naddress = "http://127.0.0.1:9"\ntrust = "d.npz"\n'
    usual = {"data": "d.npz", "python": sys.executable, "install": "none"}
    for table in tables:
        given = {line.partition(" = ")[0] for line in table.splitlines()}
        more = [f'{key} = "{value}"' for key, value in usual.items() if key not in given]
        text += "\n".join(["[[devices]]", table, *more, ""])
    (lab / "fleet.toml").write_text(text)
    return lab / "fleet.toml"


def lines(host: SshHost, name: str = "board", **more: str) -> str:
    """Return an inventory's lines for a device on a host."""
    told = {"name": name, "host": host.host, "key": host.key, "directory": name, **more}
    return "\n".join([*(f'{key} = "{value}"' for key, value in told.items()), f"port = {host.port}"])


def push_all(lab: Path, watcher: Watcher | None = None, *, take_over: bool = False) -> list[Outcome]:
    known = load_inventory(lab / "fleet.toml")

    def work(session: Session) -> int:
        release = next(releases_for(session.connector, session.device, known.server))
        session.carry_out(push(session.connector, session.device, release))
        return sum(part.size_bytes for part in release.blobs)

    return Fleet(known, watcher=watcher, take_over=take_over).each(known.devices, "push", work)


def entry(host: SshHost, known: Path, **more: object) -> DeviceEntry:
    """Return a device whose host keys are trusted."""
    device = DeviceEntry("board", host=host.host, port=host.port, **{"key": host.key, **more})  # type: ignore[arg-type]
    for known_as, key in host_keys(device, known):
        KnownHosts(known, device.name).trust(known_as, key)
    return device


def test_each_fault_is_a_line_and_the_others_go_on(
    host: SshHost, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = host.home / "python3.6"
    old.write_text("#!/bin/sh\necho python=3.6\necho pointer_bits=64\n")
    old.chmod(0o755)
    stranger = make_key(lab / "stranger")
    tables = {
        "well": lines(host, "well"),
        "worn": lines(host, "worn", directory="worn/us"),
        "full": lines(host, "full", directory="full/us"),
        "old": lines(host, "old", python=str(old), install="wheels"),
        "none": lines(host, "none", python="no-such-python"),
        "closed": lines(host, "closed", key=str(stranger)),
        "off": lines(host, "off").replace(f"port = {host.port}", "port = 1"),
    }
    inventory(lab, tables["off"], tables["well"])
    assert main(["fleet", "trust", "--yes"]) == 1
    out, told = capsys.readouterr()
    assert out.startswith("well: trusted ")
    assert told.splitlines()[-1].startswith("pocketfleet: off: nothing listens on 127.0.0.1 port 1;")
    inventory(lab, *tables.values())
    with mounted(host.home / "worn", "ro") as worn, mounted(host.home / "full", "size=300k"):
        capsys.readouterr()
        assert main(["fleet", "push"]) == 1
        told = capsys.readouterr().err
        for name, words in {
            "worn": "its storage is read-only",
            "full": " MB and 0.3 MB are free; make room on it",
            "old": "it has Python 3.6; the client needs 3.9 to 3.13",
            "none": "there is no no-such-python on it; mend `python` in its table",
            "closed": f"does not accept the key {stranger}; try: ssh-copy-id",
            "off": "nothing listens on 127.0.0.1 port 1; start sshd on it",
        }.items():
            (line,) = [line for line in told.splitlines() if line.startswith(f"pocketfleet: {name}: ")]
            assert words in line
        assert told.splitlines()[-1] == "pocketfleet: 6 of 7 devices failed"
        assert (host.home / "well/current/data.npz").exists()

        subprocess.run(["mount", "-o", "remount,rw", worn], check=True)
        subprocess.run(["mount", "-o", "remount,size=9m", host.home / "full"], check=True)
        assert main(["fleet", "push", "worn", "full"]) == 0
        for name in ("worn", "full"):
            assert (host.home / name / "us/current/data.npz").read_bytes() == (lab / "d.npz").read_bytes()


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_links_that_are_cut_at_any_byte(host: SshHost, lab: Path) -> None:
    with Forwarder("127.0.0.1", host.port, seed=4) as forwarder:
        inventory(lab, lines(host, "cut").replace(f"port = {host.port}", f"port = {forwarder.port}"))
        assert main(["fleet", "trust", "--yes"]) == 0
        broken = 0
        for most in (30, 4_000, 9_000, 60_000, 300_000):
            forwarder.cut_after = most
            (outcome,) = push_all(lab, take_over=True)
            assert not outcome.error or outcome.error.startswith("cut: "), outcome.error
            assert "\n" not in outcome.error
            assert "unexpected" not in outcome.error
            broken += bool(outcome.error)
        assert broken > 1
        assert forwarder.cuts > 5
        forwarder.cut_after = 0
        # A lease that this process could not give back is that of a living one.
        (outcome,) = push_all(lab, take_over=True)
        assert not outcome.error
        assert (host.home / "cut/current/data.npz").read_bytes() == (lab / "d.npz").read_bytes()
        assert not list(host.home.glob("cut/blobs/*.part"))


class SwitchOff(Watcher):
    """Kills everything on a board in mid-file; it is back before it is tried again."""

    def __init__(self, host: SshHost) -> None:
        self._host = host
        self.troubles = 0
        self._off = False

    def moved(self, device: str, done: int, total: int) -> None:
        if not self._off and done > 6_000_000:
            self._off = True
            self._host.switch_off()

    def trouble(self, device: str, text: str) -> None:
        self.troubles += 1
        self._host.start()


def test_a_board_that_reboots_in_mid_push(lab: Path) -> None:
    (lab / "d.npz").write_bytes(os.urandom(12_000_000))
    with cabled_host(lab / "host") as board:
        inventory(lab, lines(board))
        assert main(["fleet", "trust", "--yes"]) == 0
        watcher = SwitchOff(board)
        (outcome,) = push_all(lab, watcher)
        assert watcher.troubles == 1
        assert not outcome.error
        assert 0 < outcome.report.moved_bytes < outcome.value - 4_000_000
        assert (board.home / "board/current/data.npz").read_bytes() == (lab / "d.npz").read_bytes()


def test_of_two_pushes_at_once_one_is_told_to_wait(
    host: SshHost, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "d.npz").write_bytes(os.urandom(4_000_000))
    inventory(lab, lines(host, "twice"))
    assert main(["fleet", "trust", "--yes"]) == 0
    capsys.readouterr()
    meanwhile = Meanwhile()
    (outcome,) = push_all(lab, meanwhile)
    assert (outcome.error, outcome.report.moved_bytes) == ("", outcome.value)
    assert meanwhile.codes == [1]
    assert "pocketfleet: twice: " in (told := capsys.readouterr().err)
    assert "is working on it; wait, or take it over with --take-over" in told
    (outcome,) = push_all(lab)
    assert (outcome.error, outcome.report.steps) == ("", 0)


class Meanwhile(Watcher):
    """Has somebody else push in mid-file."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def moved(self, device: str, done: int, total: int) -> None:
        if not self.codes and done > 1_000_000:
            self.codes.append(main(["fleet", "push"]))


def test_a_login_shell_that_prints(lab: Path) -> None:
    with loopback_host(lab / "host") as host:
        host.stop()
        host.preamble = "echo Welcome to the lab; echo a warning >&2; printf 'ready: '; "
        host.start()
        connector = SshConnector(entry(host, lab / "known"), lab / "known")
        assert connector.run(["echo", "word"]).stdout == b"word\n"
        assert connector.run(["cat"], stdin=b"in").stdout == b"in"
        assert connector.put(lab / "d.npz", "there") == 400_000
        assert connector.get("there", lab / "back") == 400_000
        assert (lab / "back").read_bytes() == (lab / "d.npz").read_bytes()
        connector.close()

        host.stop()
        host.preamble = "echo This account is currently not available.; exit 1; "
        host.start()
        connector = SshConnector(entry(host, lab / "known"), lab / "known")
        with pytest.raises(
            CommandError,
            match=r"board: its login shell runs no commands \(This account is currently not available.\); give",
        ):
            connector.run(["echo", "word"])
        with pytest.raises(CommandError, match="runs no commands"):
            connector.put(lab / "d.npz", "there")
        connector.close()


def test_a_device_behind_a_jump_host_that_dies(host: SshHost, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_CONNECT_S": 4, "_HOP_DEAD_S": 3, "_ASK_S": 0.2}.items():
        monkeypatch.setattr(f"deployment.ssh_login.{name}", seconds)
    big = lab / "big"
    big.write_bytes(os.urandom(12_000_000))
    with cabled_host(lab / "behind") as behind:
        (behind.folder / "client_key.pub").write_bytes((host.folder / "client_key.pub").read_bytes())
        behind.stop()
        behind.start()
        device = entry(behind, lab / "known", jump=f"127.0.0.1:{host.port}", key=host.key)
        connector = SshConnector(device, lab / "known")
        assert connector.run(["sleep", "3.5"]).status == 0, "silence of a command is none of the link"

        def pull(done: int, total: int) -> None:
            if done > 4_000_000:
                behind.pull_cable()

        with pytest.raises(LostLinkError, match="board: the link broke"):
            connector.put(big, "big", progress=pull)
        connector.close()
        with pytest.raises(UnreachableError, match=r"board: .*10\.\S+.* (check host and port|is it switched on)"):
            SshConnector(device, lab / "known")
        behind.plug_cable()
        connector = SshConnector(device, lab / "known")
        assert 0 < connector.put(big, "big") < 12_000_000
        connector.close()


class PasswordHost(SshHost):
    """An sshd that knows root's password; the machine's own does not change."""

    def _command(self) -> list[str]:
        made = subprocess.run(["openssl", "passwd", "-6", "right"], capture_output=True, text=True, check=True).stdout
        (self.folder / "shadow").write_text(f"root:{made.strip()}:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")
        bound = f"mount --bind {shlex.quote(str(self.folder / 'shadow'))} /etc/shadow"
        return ["unshare", "--mount", "sh", "-c", f'{bound} && exec "$@"', "sh", *super()._command()]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a password's hash")
def test_a_password_is_taken_or_refused(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cabled_host(lab / "host", PasswordHost) as host:
        known = lab / "known"
        device = dataclasses.replace(entry(host, known), key=None, password=Secret(env="WORD"))
        monkeypatch.setenv("WORD", "right")
        connector = SshConnector(device, known)
        assert connector.run(["echo", "in"]).text == "in"
        connector.close()
        monkeypatch.setenv("WORD", "wrong")
        with pytest.raises(AuthenticationError, match=r"board: \w+@\S+ does not accept the password"):
            SshConnector(device, known)
