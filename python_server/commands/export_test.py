"""The options of ``pocketfleet export`` and ``inspect``, above all those of compression."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_export.bundle import Bundle
from python_server.cli import main

MLP = ["export", "mlp", "--input", "5", "--classes", "2", "--option", "layers=1", "--no-sign"]


def test_compression_options_reach_the_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--prune", "0.5", "--prune-channels", "0.2", "--clusters", "4", "--gradient-format", "bfloat16"]
    assert main([*MLP, "-o", str(tmp_path / "b"), "--json", *chosen]) == 0
    told = Bundle.load(tmp_path / "b").manifest.compression
    assert json.loads(capsys.readouterr().out)["compression"] == told
    assert told == {
        "prune_channels": 0.2,
        "prune": 0.5,
        "prune_scope": "layer",
        "weights": "float32",
        "activations": "float32",
        "gradients": "bfloat16",
        "per_channel": True,
        "stochastic": False,
        "clusters": 4,
        "cluster_gradient": "mean",
    }
    assert main(["inspect", str(tmp_path / "b")]) == 0
    assert "compression  prune_channels 0.2, prune 0.5" in capsys.readouterr().out


def test_a_folder_called_like_an_architecture_is_no_keras_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp").mkdir()
    assert main([*MLP, "-o", "mlp"]) == 1
    assert capsys.readouterr().err == "pocketfleet: mlp exists and is not a bundle\n"
    Path("file").touch()
    assert main([*MLP, "-o", "file/b"]) == 1
    assert capsys.readouterr().err == f"pocketfleet: {tmp_path / 'file'}: not a directory\n"
    assert main([*MLP, "-o", "other", "--momentum", "2"]) == 1
    assert "momentum is 2.0" in capsys.readouterr().err


def test_what_cannot_sign_is_refused_by_its_name_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(b"my key")
    assert main([*MLP[:-1], "--sign", str(key), "-o", str(tmp_path / "b")]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"pocketfleet: {key}: the signing key is not the PEM of a private key; make one with: ")
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


@pytest.mark.parametrize("option", ["--memory", "--step", "--times-slower"])
def test_limits_to_inspect_are_above_zero(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["inspect", "b", option, "0"])
    assert status.value.code == 2
    assert f"argument {option}: '0' is not a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prune", "2"], "prune is 2.0; the share has to lie between 0 and 1"),
        (["--format", "fp8"], "no number format is called 'fp8'; there are float32, float24, bfloat16"),
        (["--stochastic"], "stochastic rounding needs a format narrower than float32"),
        (["--clusters", "1"], "clusters is 1; it has to be a whole number from 2 to 255"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MLP, "-o", str(tmp_path / "b"), *options]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert not (tmp_path / "b").exists()
