"""A runtime that dies on a board, seen on one: ai-edge-litert's arm64 wheels, in an arm64 Debian under an emulator.

With ``POCKETFLEET_FULL_FLEET=1``: 15 minutes on two cores that others kept busy.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from python_server.cli import main
from tests.arm64_host import arm64_host


@pytest.mark.skipif(not os.environ.get("POCKETFLEET_FULL_FLEET"), reason="set POCKETFLEET_FULL_FLEET=1")
def test_a_runtime_that_dies_is_replaced(
    tmp_path: Path,
    digits: Any,
    digits_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    digits.save(tmp_path / "d.npz", slice(0, 200))
    with arm64_host(tmp_path / "host") as board:
        (tmp_path / "fleet.toml").write_text(
            f'[server]\naddress = "http://{board.gateway}:9"\nbundle = "{digits_bundle}"\n'
            f'[[devices]]\nname = "arm"\nhost = "{board.host}"\nkey = "{board.key}"\ndata = "d.npz"\nthreads = 1\n'
        )
        assert main(["fleet", "trust", "--yes"]) == 0
        assert main(["fleet", "push"]) == 0
        journal = [json.loads(line) for line in (tmp_path / ".fleet/journal.jsonl").read_text().splitlines()]
        assert [step for entry in journal if "training step" in (step := entry.get("step", ""))] == [
            "take a training step with ai-edge-litert-2.3.0",
            "do without ai-edge-litert-2.3.0: it died of SIGSEGV in a training step",
            "take a training step with tflite-runtime-2.14.0",
        ]
        capsys.readouterr()
        assert main(["fleet", "push", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["steps"] == 0
        assert main(["fleet", "probe"]) == 0
        assert "3.11 tflite-runtime 2.14.0" in capsys.readouterr().out
