from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_client.cli import main
from edge_client.energy import KINDS, About, SampledMeter
from edge_client.energy.rig_test import Scripted

if TYPE_CHECKING:
    from conftest import Digits


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run the command, which has to fail with one line."""
    assert main([str(argument) for argument in arguments]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("pocketfleet-client: ")
    assert "\n" not in error
    return error


def test_key_is_printed_and_stays_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert main(["key", "--state", str(tmp_path / "state")]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert printed[0].endswith("-----END PUBLIC KEY-----\n")
    assert main(["key", "--state", str(tmp_path / "state"), "--format", "ssh"]) == 0
    assert capsys.readouterr().out.startswith("ecdsa-sha2-nistp384 ")


def test_key_of_a_running_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_client.state import StateDirectory
    from edge_client.transport.keys import ClientKey

    with StateDirectory(tmp_path) as state:
        key = ClientKey.load_or_create(state.key_file)
        assert main(["key", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.encode() == key.public_pem


def test_a_meter_is_let_go_of_where_the_client_cannot_start(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Scripted(About("test", "a test", "measured", "board"))
    monkeypatch.setattr("edge_client.energy.find_meter", lambda profile, *, source: SampledMeter(read, rate_hz=0.0))
    words = ["run", "--server", "127.0.0.1:1", "--insecure", "--bundle", digits_bundle, "--state", tmp_path / "state"]
    assert "none.npz" in fails(capsys, 1, *words, "--data", tmp_path / "none.npz")
    assert read.closed


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run"],
        ["fly"],
        ["run", "--server", "s:1", "--bundle", "b", "--data", "d", "--state", "s", "--threads", "0"],
        ["run", "--server", "s:1", "--bundle", "b", "--data", "d", "--state", "s", "--heartbeat", "nan"],
        ["run", "--server", "s:1", "--bundle", "b", "--data", "d", "--state", "s", "--cool-down-c", "nan"],
        ["run", "--server", "s:1", "--bundle", "b", "--data", "d", "--state", "s", "--ca", "f", "--insecure"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["key"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text
    assert "pocketfleet-client " in text


def test_what_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], digits_bundle: Path, digits: Digits
) -> None:
    data = digits.save(tmp_path / "d.npz", slice(0, 20))
    state = tmp_path / "state"

    def run(server: str, *more: object, bundle: Path = digits_bundle, file: Path = data) -> list[object]:
        return ["run", "--server", server, "--bundle", bundle, "--data", file, "--state", state, *more]

    assert "nowhere" in fails(capsys, 1, *run("h:1", bundle=tmp_path / "nowhere"))
    assert "nothing.npz" in fails(capsys, 1, *run("h:1", file=tmp_path / "nothing.npz"))
    assert "expected HOST:PORT" in fails(capsys, 2, *run("http://h:1", "--insecure"))
    assert "expected HOST:PORT" in fails(capsys, 2, *run("h", "--insecure"))
    assert "no.pem" in fails(capsys, 2, *run("h:1", "--ca", tmp_path / "no.pem"))
    assert "key.pem: cannot be read" in fails(capsys, 2, *run("h:1", "--trust", tmp_path / "key.pem"))
    assert "10 to 1800" in fails(capsys, 2, *run("h:1", "--heartbeat", 3))
    (tmp_path / "file").touch()
    state = tmp_path / "file"
    assert "cannot be used as a state directory" in fails(capsys, 1, *run("h:1", "--insecure"))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, edge_client.cli\n"
        "try: edge_client.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'numpy', 'urllib3', 'cryptography', 'tensorflow', 'flwr'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")


def test_meter_shows_what_is_there_and_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meter", "--energy", "model", "--profile", "raspberry_pi_4", "--seconds", "0.05", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["taken"], found["method"], found["covers"]) == ("model", "modelled", "device")
    assert found["power_w"] >= found["idle_w"] == pytest.approx(3.06)
    assert {each["kind"] for each in found["sources"]} == set(KINDS)
    assert all(each["text"] for each in found["sources"])
    assert main(["meter", "--energy", "model", "--seconds", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "taken: model (asked for); modelled, covers: device" in printed
    assert "W, of which idle" in printed


def test_meter_refuses_what_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no device profile 'toaster'; there are: " in fails(capsys, 2, "meter", "--profile", "toaster")
    run = ["run", "--server=s:1", "--insecure", f"--bundle={tmp_path}", f"--data={tmp_path}", f"--state={tmp_path}"]
    assert "no device profile 'toaster'" in fails(capsys, 2, *run, "--profile=toaster")
    for wrong in (["--energy", "sun"], ["--seconds", "0"], ["--seconds", "nan"], ["--seconds", "x"]):
        with pytest.raises(SystemExit) as exit_:
            main(["meter", *wrong])
        assert exit_.value.code == 2
