from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from deployment import inventory as inventories
from deployment.errors import DeployError
from deployment.inventory import load_inventory
from edge_client.transport.keys import ClientKey
from python_server.cli import main

FLEET = """
[server]
address = "http://127.0.0.1:9"
trust = "signer.pem"
[[devices]]
name = "here"
connect = "local"
data = "d.npz"
directory = "{directory}"
python = "{python}"
install = "none"
groups = ["all"]
[[devices]]
name = "asked"
host = "127.0.0.1"
port = 1
password = {{ prompt = true }}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.toml").write_text(FLEET.format(directory=tmp_path / "board", python=sys.executable))
    (tmp_path / "d.npz").write_bytes(b"data")
    (tmp_path / "signer.pem").write_bytes(b"key")
    return tmp_path


def test_the_inventory_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name   by     address       groups  profile  data",
        "here   local  this machine  all     -        d.npz",
        "asked  ssh    127.0.0.1:1           -        -",
        "asked for: passwords of asked",
    ]
    assert main(["fleet", "list", "--group", "all", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["here"]


def test_push_says_what_it_would_do_and_does_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "push", "here", "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned[1] == "here: send data.npz (0.0 kB)"
    assert not (folder / "board").exists()
    assert main(["fleet", "push", "here"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == planned
    assert out.startswith(f"here: {len(planned)} steps, 0.")
    assert main(["fleet", "push", "here", "--dry-run"]) == 0
    assert capsys.readouterr().out == "here: nothing to do\n"
    journal = [json.loads(line) for line in (folder / ".fleet/journal.jsonl").read_text().splitlines()]
    assert [each["event"] for each in journal] == ["begin", *["step"] * len(planned), "done"]
    assert main(["fleet", "uninstall", "here"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--inventory", "none.toml"], "there is no none.toml; write one"),
        (["push", "hree"], "fleet.toml: no device 'hree'; there are: asked, here"),
        (["status", "--group", "boards"], "fleet.toml: no group 'boards'; there are: all"),
        (["start", "here"], "here: there is no release on it; run: pocketfleet fleet push --device here"),
        (["enrol", "here"], "here: there is no client on it; run: pocketfleet fleet push --device here"),
        (["discover", "pi:ssh"], "'pi:ssh' is no host; write HOST or HOST:PORT"),
        (["discover", "[::1]:ssh"], "'[::1]:ssh' is no host; write HOST or HOST:PORT"),
        (["discover", "pi..local"], "pi..local port 22: "),
    ],
)
def test_what_goes_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["fleet", *words]) == 1
    line = capsys.readouterr().err.strip()
    assert line.startswith("pocketfleet: ")
    assert message in line
    assert "\n" not in line


def test_a_key_that_is_not_the_one_that_was_enrolled(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [ClientKey.load_or_create(folder / f"{number}.pem").public_pem for number in range(2)]

    class Changing:
        def public_key(self) -> bytes:
            return keys.pop()

    monkeypatch.setattr("deployment.managed.managed", lambda session: Changing())
    assert main(["fleet", "enrol", "here"]) == 0
    assert capsys.readouterr().out.startswith("enrolled here (")
    assert main(["fleet", "enrol", "here"]) == 1
    assert capsys.readouterr().err.startswith("pocketfleet: here: another key is enrolled as 'here'; if the device got")


def test_what_a_device_says_does_not_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = folder / "board/logs"
    logs.mkdir(parents=True)
    (logs / "client.log").write_bytes(b"\x1b]0;title\x07one\x1b[2J\n\ttwo \xe2\x80\xaeeert\n")
    assert main(["fleet", "logs", "here"]) == 0
    assert capsys.readouterr().out == "]0;titleone\n\ttwo eert\n"
    assert main(["fleet", "status", "here"]) == 0
    assert capsys.readouterr().out.endswith("two eert\n")
    assert str(DeployError("here", "it says \x1b[31mno\x1b[0m")) == "here: it says no"


def test_passwords_are_asked_for_once_and_before_anything_else(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return "secret"

    monkeypatch.setattr(inventories, "_answers", {})
    monkeypatch.setattr("getpass.getpass", ask)
    assert main(["fleet", "status", "asked"]) == 1
    assert main(["fleet", "status", "asked"]) == 1
    assert asked == ["password of asked: "]
    assert "asked: nothing listens on 127.0.0.1 port 1" in capsys.readouterr().err


def test_hosts_that_answer_are_added(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(
            "deployment.discover._greeting",
            lambda address: "SSH-2.0-OpenSSH_9.2" if address[1] == port else "connection refused",
        )
        words = ["discover", f"127.0.0.1:{port}", "127.0.0.1:1", "127.0.0.9:1", "--user", "pi", "--group", "new"]
        assert main(["fleet", *words]) == 1
    out, err = capsys.readouterr()
    assert out == "board-1: added to fleet.toml; next: pocketfleet fleet trust board-1\n"
    assert err == "pocketfleet: 127.0.0.9 port 1: connection refused\n"
    added = load_inventory(folder / "fleet.toml").devices[-1]
    assert (added.name, added.host, added.port, added.user, added.groups) == (
        "board-1",
        "127.0.0.1",
        port,
        "pi",
        ("new",),
    )
