"""The way from boxes to a fleet in docs/deploy.md, word for word but for addresses, against the peers of the tests."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployment.inventory import load_inventory
from deployment.inventory_edit import set_key
from model_export import signing
from model_export.bundle import Bundle, write_bundle
from python_server.cli import main
from python_server.run_reader import RunReader
from tests.emulated_adbd import EmulatedAdbd
from tests.emulated_phone import EmulatedPhone
from tests.server_train_test import started
from tests.ssh_hosts import SshHost, loopback_host
from tests.superlink import free_port

ROOT = Path(__file__).resolve().parent.parent
SECTION = "From their boxes to a training fleet"


def section() -> tuple[list[str], str]:
    """Return the section's commands, and what it wants in ``fleet.toml``."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    (part,) = re.findall(rf"^## {SECTION}\n(.*?)^## ", text, flags=re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\$ pocketfleet (.*?)(?:\s+#.*)?$", part, flags=re.MULTILINE)
    (toml,) = re.findall(r"```toml\n(.*?)```", part, flags=re.DOTALL)
    return commands, toml


@pytest.fixture(name="boards")
def make_boards(tmp_path: Path) -> Iterator[list[SshHost]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(loopback_host(tmp_path / name)) for name in ("pi", "jetson")]


@pytest.fixture(name="phone")
def make_phone(tmp_path: Path) -> Iterator[EmulatedAdbd]:
    emulated = EmulatedPhone(tmp_path / "android")
    with EmulatedAdbd(emulated.root, ask="allow") as adbd:
        yield adbd
    emulated.root.close()


@pytest.fixture(name="lab")
def make_lab(tmp_path: Path, digits: Any, digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make what the section takes for granted, in the working directory; return the server's address."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"PYTHONPATH": "", "POCKETFLEET_HOME": "home", "ANDROID_ADB_SERVER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    for number in range(3):
        digits.save(tmp_path / f"{number}.npz", slice(200 * number, 200 * number + 200))
    digits.save_test(tmp_path / "test.npz")
    with zipfile.ZipFile("app.apk", "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\3\0\10\0")
        archive.writestr("lib/arm64-v8a/lib.so", os.urandom(10_000))
    bundle, key = Bundle.load(digits_bundle), signing.load_or_create_key(Path("key.pem"))
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(Path("cnn.bundle"), bundle.manifest, files, signing_key=key)
    signing.publish(Path("key.pem")).rename("signer.pem")
    port = free_port()
    Path("digits.toml").write_text(f"""
name = "digits"
rounds = 1
model = {{ bundle = "cnn.bundle", trusted_key = "signer.pem" }}
data = {{ test = "test.npz" }}
train = {{ epochs = 1, learning_rate = 0.05 }}
[server]
port = {port}
identity = "identity"
start_clients = 2
min_clients = 2
start_deadline_s = 60
round_deadline_s = 90
""")
    return f"https://127.0.0.1:{port}"


def complete(toml: str, address: str) -> None:
    """Complete the inventory as the section says."""
    inventory = Path("fleet.toml")
    assert "https://192.168.1.10:9092" in toml
    inventory.write_text(toml.replace("https://192.168.1.10:9092", address) + inventory.read_text())
    for number, device in enumerate(load_inventory(inventory).devices):
        more: dict[str, str] = {"apk": "app.apk"}
        if device.connect == "ssh":
            more = {"python": sys.executable, "install": "none"}  # wheels are another test's
        for key, value in {"data": f"{number}.npz", **more}.items():
            set_key(inventory, device.name, key, value)


def test_the_way_from_boxes_to_a_fleet(lab: str, boards: list[SshHost], phone: EmulatedAdbd) -> None:
    commands, toml = section()
    ours = {
        "192.168.1.21 --user pi": f"127.0.0.1:{boards[0].port} --key {boards[0].key}",
        "192.168.1.31 --user nvidia": f"127.0.0.1:{boards[1].port} --key {boards[1].key}",
        "--adb": f"--adb 127.0.0.1:{phone.port}",
        "fleet trust": "fleet trust --yes",
        "--address 192.168.1.10": "--address 127.0.0.1",
    }
    done = 0
    try:
        for command in commands:
            if command.startswith("fleet push") and "[server]" not in Path("fleet.toml").read_text():
                complete(toml, lab)
            for theirs, own in ours.items():
                command = command.replace(theirs, own)
            if command.startswith("train "):
                with started(Path.cwd(), *shlex.split(command)) as server:
                    out, err = server.communicate(timeout=300)
                    assert server.returncode == 0, err
                    assert "accuracy:" in out
            else:
                assert main(shlex.split(command)) == 0, command
            done += 1
    finally:
        if done < len(commands):
            main(["fleet", "stop"])
    devices = load_inventory(Path("fleet.toml")).devices
    assert [device.groups for device in devices] == [("boards",), ("boards",), ("phones",)]
    assert devices[2].profile == "pixel_6"
    (run,) = Path("runs").iterdir()
    with RunReader(run) as reader:
        assert {row.name for row in reader.device_rounds()} == {device.name for device in devices[:2]}
    for device in devices:
        assert Path(f"results/{device.name}/facts.json").exists()
    for board in boards:
        assert [path.name for path in (board.home / ".pocketfleet").iterdir()] == ["state"]


def test_every_action_is_in_the_section() -> None:
    commands, _ = section()
    told = {command.split()[1] for command in commands if command.startswith("fleet ")}
    assert told == {
        *("discover", "list", "trust", "probe", "push", "enrol"),
        *("start", "status", "logs", "collect", "stop", "uninstall"),
    }
