"""``pocketfleet fleet`` with a phone beside a board: the same words for both, and one inventory."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_server.cli import main
from tests.emulated_adbd import EmulatedAdbd
from tests.emulated_phone import EmulatedPhone


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedPhone]:
    """Plug in a phone, and write an inventory with it."""
    emulated = EmulatedPhone(tmp_path / "android")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POCKETFLEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with zipfile.ZipFile("app.apk", "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\3\0\10\0")
        archive.writestr("lib/arm64-v8a/lib.so", os.urandom(10_000))
    for name in ("ca.pem", "trusted.pem", "shard.npz"):
        Path(name).write_text(name)
    with EmulatedAdbd(emulated.root, ask="allow") as adbd:
        Path("fleet.toml").write_text(
            f"""
[server]
address = "https://192.168.1.10:9092"
ca = "ca.pem"
trust = "trusted.pem"
[[devices]]
name = "pixel"
connect = "adb"
host = "127.0.0.1"
port = {adbd.port}
apk = "app.apk"
data = "shard.npz"
groups = ["phones"]
arguments = ["gate=false", "charging-only=false"]
"""
        )
        yield emulated
        assert not adbd.breaches
    emulated.root.close()


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    code = main(["fleet", *words, "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert code == (1 if shown[0]["error"] else 0)
    answer = shown[0]
    assert isinstance(answer, dict)
    return answer


def test_a_phone_takes_part_in_the_fleet(phone: EmulatedPhone, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "push", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "pixel: install app.apk" in shown.out
    assert "tap 'Allow'" in shown.err
    assert not phone.base.exists()

    assert _json(capsys, "push")["steps"] == 6
    assert phone.settings["server"] == "192.168.1.10:9092"
    assert (phone.settings["gate"], phone.settings["insecure"], phone.settings["name"]) == ("false", "false", "pixel")
    assert _json(capsys, "push")["moved_bytes"] == 0
    assert not list(phone.root.file("/data/local/tmp").glob("pocketfleet-*.apk"))

    assert main(["fleet", "probe"]) == 0
    shown = capsys.readouterr()
    assert "pixel: noted in fleet.toml: profile = 'pixel_6'" in shown.err
    assert 'profile = "pixel_6"' in Path("fleet.toml").read_text()
    line = shown.out.splitlines()[1]
    assert line.split("  ")[0] == "pixel"
    assert "Google Pixel 6" in line
    assert line.endswith("pixel_6")

    assert _json(capsys, "push")["steps"] == 1, "the app is told its profile"
    assert phone.settings["profile"] == "pixel_6"
    assert _json(capsys, "start")["steps"] == 1
    status = _json(capsys, "status")["value"]
    assert isinstance(status, dict)
    assert (status["running"], status["battery_percent"], status["hottest_c"]) == ("app", 83, 29.1)
    assert main(["fleet", "logs", "pixel"]) == 0
    assert "event=connected" in capsys.readouterr().out
    assert _json(capsys, "collect", "-o", "home")["steps"] == 4
    assert json.loads(Path("home/pixel/facts.json").read_text())["facts"]["profile"] == "pixel_6"
    assert Path("home/pixel/rounds.jsonl").exists()
    assert _json(capsys, "stop")["steps"] == 1
    assert not phone.running

    assert "--forget-key" in str(_json(capsys, "uninstall")["error"])
    assert _json(capsys, "uninstall", "--forget-key")["steps"] == 1
    assert not phone.base.exists()
    assert not list(phone.root.file("/data/local/tmp").iterdir()), "it is as it was"


def test_what_a_phone_cannot_do(phone: EmulatedPhone, capsys: pytest.CaptureFixture[str]) -> None:
    status = _json(capsys, "status")["value"]
    assert isinstance(status, dict)
    assert (status["release"], status["running"], status["last_line"]) == ("", "", "the app is not installed")
    assert "Android keeps no earlier version of an app" in str(_json(capsys, "push", "--rollback")["error"])
    text = Path("fleet.toml").read_text()
    Path("fleet.toml").write_text(text.replace('"gate=false"', '"--gate"'))
    assert "arguments of a phone look like 'gate=false'; one is '--gate'" in str(_json(capsys, "push")["error"])
    Path("fleet.toml").write_text(text.replace('"shard.npz"', '"."'))
    assert "data of a phone has to be one file" in str(_json(capsys, "push")["error"])
    assert not phone.base.exists()


def test_phones_are_discovered(phone: EmulatedPhone, capsys: pytest.CaptureFixture[str]) -> None:
    port = Path("fleet.toml").read_text().partition("port = ")[2].partition("\n")[0]
    words = ["fleet", "discover", "--adb", f"127.0.0.1:{port}", "127.0.0.1:1", "--inventory", "new.toml"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "pixel-6: added to new.toml; next: pocketfleet fleet probe pixel-6" in shown.out
    assert "127.0.0.1:1 cannot be reached (connection refused)" in shown.err
    assert main(["fleet", "list", "--inventory", "new.toml"]) == 0
    assert "pixel-6" in capsys.readouterr().out
    assert main(words[:-3] + words[-2:]) == 0, "it is in the inventory already"
    assert "added" not in capsys.readouterr().out
