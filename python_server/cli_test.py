from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from python_server.cli import main
from python_server.commands import COMMANDS
from python_server.identity import device_id
from python_server.store import RunStore


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"  pocketfleet {command}" in text
    assert "--json" in text
    assert "--debug" in text


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["train", "--rounds"], ["split", "x.npz"], ["export", "x", "-o", "y", "--input", "32x"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: pocketfleet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "give either an EXPERIMENT.toml, or --resume RUN"),
        (["train", "none.toml"], "none.toml: no such file or directory"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["runs", "nowhere"], "there is no directory nowhere"),
        (["inspect", "nowhere"], "nowhere: no such bundle"),
        (["split", "none.npz", "--clients", "2", "-o", "o"], "none.npz: no such file"),
        (["enrol", "none.pem", "--name", "x"], "none.pem: no such file or directory"),
    ],
)
def test_failures_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"pocketfleet: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unforeseen_failure_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: object) -> int:
        raise KeyError("what")

    monkeypatch.setattr(COMMANDS[-1], "run", fail, raising=False)
    code, _, err = run(capsys, COMMANDS[-1].name)
    assert code == 1
    assert err == "pocketfleet: unexpected KeyError: 'what'; run it again with --debug for the details\n"
    _, _, err = run(capsys, COMMANDS[-1].name, "--debug")
    assert "Traceback" in err


def test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.npz"
    y = np.arange(30) % 3
    np.savez(data, x=np.arange(30)[:, None], y=y, domain=np.array(["a", "b", "c"])[y])
    for how in ([], ["--iid"], ["--dirichlet", "0.5"], ["--domains"]):
        code, out, _ = run(capsys, "split", str(data), "--clients", "3", "-o", str(tmp_path / "o"), "--json", *how)
        assert code == 0
        told = json.loads(out)
        held = [np.load(row["file"])["x"][:, 0] for row in told]
        assert [len(part) for part in held] == [row["samples"] for row in told]
        assert sorted(np.concatenate(held).tolist()) == list(range(30))
    code, out, _ = run(capsys, "split", str(data), "--clients", "2", "-o", str(tmp_path / "o"))
    assert out.splitlines()[0].endswith("client_0.npz: 15 samples, classes " + out.splitlines()[0].split("classes ")[1])


@pytest.mark.parametrize(
    ("arrays", "how", "message"),
    [
        ({"x": np.zeros(3)}, [], "has no array 'y'"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, [], "does not have one entry for each"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, ["--domains"], "has no array 'domain'"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, ["--dirichlet", "-1"], "alpha is -1.0"),
        ({"x": np.zeros(1), "y": np.zeros(1)}, [], "1 samples for 2 clients"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, ["--shards", "1", "--allow-empty"], "leave out --allow-empty"),
    ],
)
def test_split_refuses(
    arrays: dict[str, np.ndarray],
    how: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    code, _, err = run(capsys, "split", str(tmp_path / "data.npz"), "--clients", "2", "-o", str(tmp_path / "o"), *how)
    assert code == 1
    assert err.startswith(f"pocketfleet: {tmp_path / 'data.npz'}")
    assert message in err
    assert not (tmp_path / "o").exists()


def test_split_refuses_what_is_no_npz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.npz").write_text("text")
    code, _, err = run(capsys, "split", str(tmp_path / "data.npz"), "--clients", "2", "-o", str(tmp_path / "o"))
    assert code == 1
    assert "is not an .npz file of plain arrays" in err


def test_enrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    key = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(key)
    code, out, _ = run(capsys, "enrol", "key.pem", "--name", "pi", "--json")
    assert code == 0
    assert json.loads(out) == {"name": "pi", "device": device_id(key), "ca": "identity/ca.pem"}
    assert (tmp_path / "identity" / "devices" / "pi.pem").read_bytes() == key
    code, _, err = run(capsys, "enrol", "key.pem", "--name", "other")
    assert code == 1
    assert "already enrolled as 'pi'" in err


def test_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunStore.create(tmp_path / "digits-1", b"", {"name": "digits", "rounds": "5"}).close()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.sqlite").write_text("no database" * 500)
    code, out, _ = run(capsys, "runs", str(tmp_path))
    assert code == 0
    assert out.splitlines() == [
        f"{tmp_path}/broken  unreadable   round None of 0",
        f"{tmp_path}/digits-1  running      round None of 5",
    ]
    code, out, _ = run(capsys, "runs", str(tmp_path), "--json")
    assert [row["status"] for row in json.loads(out)] == ["unreadable", "running"]
