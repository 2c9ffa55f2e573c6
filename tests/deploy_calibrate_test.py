"""`pocketfleet fleet calibrate` against a real SSH server at the other end of a virtual cable, and a plan from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from python_server.cli import main
from tests.ssh_hosts import cabled_host


def test_a_board_behind_ssh_is_calibrated_and_planned(
    digits: Any,
    digits_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    digits.save(tmp_path / "d.npz", slice(64))
    (tmp_path / "signer.pem").write_bytes(b"key")
    (tmp_path / "e.toml").write_text(f'name = "e"\nrounds = 2\nmodel = {{ bundle = "{digits_bundle}" }}\n')
    with cabled_host(tmp_path / "host") as board:
        (tmp_path / "fleet.toml").write_text(
            f'[server]\naddress = "https://{board.gateway}:9"\nca = "signer.pem"\ntrust = "signer.pem"\n'
            f'[[devices]]\nname = "board"\nhost = "{board.host}"\nkey = "{board.key}"\ndata = "d.npz"\n'
            f'python = "{sys.executable}"\ninstall = "none"\nthreads = 1\n'
        )
        assert main(["fleet", "trust", "--yes"]) == 0
        assert main(["fleet", "push"]) == 0
        assert main(["fleet", "calibrate", str(digits_bundle), "--seconds", "0.05"]) == 0
        assert not list(board.home.glob(".pocketfleet/calibrate"))
    capsys.readouterr()
    assert main(["plan", "e.toml", "--inventory", "fleet.toml", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["devices"]
    assert found["sources"]["steps"].startswith("calibrated 2")
    assert found["sources"]["transfers"].endswith("files by ssh, not by the server's protocol")
    assert found["download_s"] > 0
    (entry,) = json.loads((tmp_path / "fleet.calibration.json").read_text())["calibrations"]
    assert entry["link"]["download_mbps"] > 0
