from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_export import signing
from python_server.cli import main

EXPERIMENT = """
name = "x"
rounds = 1
[model]
bundle = "b"
{trusted}
[server]
host = "{host}"
names = ["fleet.example"]
{server}
"""


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    signing.load_or_create_key(tmp_path / "key.pem")
    return tmp_path


def write(folder: Path, *, host: str = "0.0.0.0", trusted: bool = True, server: str = "") -> str:
    line = f'trusted_key = "{signing.publish(folder / "key.pem").name}"' if trusted else ""
    file = folder / "x.toml"
    file.write_text(EXPERIMENT.format(host=host, trusted=line, server=server))
    return str(file)


def test_an_invitation_has_all_that_a_phone_needs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "phone.json"
    assert main(["invite", write(folder), "--address", "fleet.example", "-o", str(target)]) == 0
    assert f"wrote {target}" in capsys.readouterr().out
    invitation = json.loads(target.read_text())
    assert invitation == {
        "server": "fleet.example:9092",
        "ca": (folder / "identity" / "ca.pem").read_text(),
        "trust": signing.publish(folder / "key.pem").read_text(),
    }
    assert main(["invite", write(folder), "--address", "::1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["server"] == "[::1]:9092"


@pytest.mark.parametrize(
    ("changes", "address", "message"),
    [
        ({"trusted": False}, "fleet.example", "model.trusted_key is not set"),
        ({"server": "tls = false\ninsecure_network = true"}, "fleet.example", "server.tls is off"),
        ({"server": "port = 0"}, "fleet.example", "server.port is 0"),
        ({"host": "127.0.0.1"}, "fleet.example", "which only this host reaches"),
        ({}, "other.example", "not be valid for other.example; add it to server.names"),
    ],
)
def test_what_a_phone_could_not_use_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], address: str, message: str
) -> None:
    target = folder / "phone.json"
    assert main(["invite", write(folder, **changes), "--address", address, "-o", str(target)]) == 1  # type: ignore[arg-type]
    assert message in capsys.readouterr().err
    assert not target.exists()
