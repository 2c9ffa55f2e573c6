"""``pocketfleet search``, and the slices that ``pocketfleet export`` makes of what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_export import Bundle
from python_server.cli import main

NET = ["mobilenet_v1", "--input", "32x32x3", "--classes", "3", "--option", "alpha=0.0625"]
MLP = ["export", "mlp", "--input", "6", "--classes", "3", "--option", "layers=1", "--no-sign", "--no-measure"]


def line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_search_that_needs_no_training_tells_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = ["--budget", "macs=1G"]
    assert main(["search", *NET, *budget, "--budget", "macs=5", "--dry-run", "-o", str(tmp_path / "found")]) == 0
    compared = capsys.readouterr().out
    assert "macs=1000000000: met as it is" in compared
    assert "macs=5: cannot be met" in compared
    assert not (tmp_path / "found").exists()
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 32, 32, 3), np.uint8), y=np.array([0, 1, 2, 0]))
    data = ["--data", str(tmp_path / "d.npz"), "-o", str(tmp_path / "found"), "--json"]
    told = []
    for _ in range(2):  # the second finds what the first left: the seed gives the architecture the same weights
        assert main(["search", *NET, *budget, *data]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    ((found,), _) = told
    assert json.loads(Path(found["channels"]).read_bytes())["channels"] == {}
    assert Path(found["model"]).is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give at least one --budget"),
        (["--budget", "macs=1T"], "'macs=1T' is no budget"),
        (["--budget", "macs=1M"], "the search trains on reference data"),
        (["--budget", "macs=1M", "--data", "none.npz"], "--data none.npz: not an .npz file"),
        (
            ["--budget", "macs=1M", "--data", "cut.npz"],
            "--data cut.npz: not an .npz file with arrays of numbers x and y",
        ),
        (["--budget", "macs=1M", "--data", "words.npz"], "--data words.npz: x holds <U1; it has to be numbers"),
        (["--budget", "macs=1M", "--epochs", "0"], "epochs is 0; it has to be above 0"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("words.npz", x=np.array(["a"]), y=np.array([0]))
    Path("cut.npz").write_bytes(Path("words.npz").read_bytes()[:-20])
    assert main(["search", *NET, "-o", str(tmp_path / "found"), *options]) == 1
    assert message in line(capsys)
    assert not (tmp_path / "found").exists()


def test_slices_are_exported_as_parts_of_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole"
    assert main([*MLP, "-o", str(whole)]) == 0
    (tmp_path / "c.json").write_text('{"channels": {"hidden1": [0, 5, 6]}}', encoding="utf-8")
    for name, options in (("half", ["--width", "0.5"]), ("chosen", ["--channels", str(tmp_path / "c.json")])):
        part = ["--part-of", str(whole), "-o", str(tmp_path / name)]
        assert main([*MLP, *options, *part]) == 0
        bundle, source = Bundle.load(tmp_path / name), Bundle.load(whole)
        assert bundle.manifest.part_of is not None
        assert bundle.manifest.part_of.bundle == source.sha256
        for path, value in bundle.initial().items():
            np.testing.assert_array_equal(value, source.initial()[path][np.ix_(*bundle.manifest.parts[path])])
    assert Bundle.load(tmp_path / "chosen").manifest.variables["hidden1/kernel"].shape == (6, 3)
    assert main([*MLP, "--part-of", str(whole), "-o", str(tmp_path / "b")]) == 1
    assert "--part-of is for a slice: give --width or --channels too" in line(capsys)
