from __future__ import annotations

from pathlib import Path

import pytest

from edge_client import runtime, trial


def test_a_bundle_that_trains(digits_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial.main([str(digits_bundle), "--threads", "1"]) == 0
    assert capsys.readouterr().err == ""


def test_whose_fault_it_is(
    digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trial.main([str(tmp_path / "none.bundle")]) == 1
    assert "none.bundle" in capsys.readouterr().err
    assert trial.main([str(digits_bundle), "--trust", str(tmp_path / "none.pem")]) == 1
    assert "none.pem" in capsys.readouterr().err
    (tmp_path / "broken_runtime.py").write_text("raise ImportError('libm.so.6: version not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runtime, "RUNTIMES", {"tflite-runtime": "broken_runtime"})
    assert trial.main([str(digits_bundle)]) == trial.NO_RUNTIME
    assert capsys.readouterr().err.endswith("cannot be loaded: libm.so.6: version not found\n")
