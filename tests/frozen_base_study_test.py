"""The studies of frozen bases on a setting of seconds: what they find is sound, and they go on where they stopped."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared")) / "data"
SIZE = 32


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a benchmark by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    known = set(sys.modules)
    yield importlib.import_module
    for name in {"office31", "office31_bases", "office31_bases_report", "frozen_base"} - known:
        sys.modules.pop(name, None)


def test_speed_of_a_frozen_base(benchmarks: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--alphas", "0.35", "--size", str(SIZE), "--batch", "2", "--turns", "1", "--folder", str(tmp_path)]
    assert benchmarks("frozen_base").main(arguments) == 0
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:] for line in capfd.readouterr().out.splitlines() if "|" in line
    }
    assert {"whole step", "head step", "plain", "float32", "float16", "int8"} <= rows.keys()
    files = {name: float(rows[name][2].split()[0]) for name in ("plain", "float32", "float16", "int8")}
    # The same weights in both; then two bytes for each, and one.
    assert files["float32"] == pytest.approx(files["plain"], rel=0.1)
    assert files["float16"] == pytest.approx(files["float32"] / 2, rel=0.2)
    assert files["int8"] < files["float16"]
    assert all(float(cells[0].split()[0]) > 0 for name, cells in rows.items() if name in files)


@pytest.mark.skipif(
    not (DATA / "mobilenet_v2_035_224_notop_f32.npz").exists(),
    reason=f"REAL DATA ABSENT: no MobileNetV2 weights in {DATA}; set POCKETFLEET_SHARED to test on them",
)
def test_study_of_bases(benchmarks: Any, tmp_path: Path) -> None:
    study = benchmarks("office31_bases")
    methods = {
        f"head-{SIZE}-{base_format}": study.Method(SIZE, "head", base_format, 3) for base_format in ("float32", "int8")
    }
    found = study.Study(tmp_path, methods, _images)
    for name in methods:
        run = found.run(name, "dslr", 0)
        assert (run["trained_on"], run["tested"]) == (64, {"dslr": 16})
        assert run["trained_parameters"] == 1280 * 128 + 128 + 128 * 3 + 3
        assert run["accuracy"]["dslr"] > 0.6
        grid = {rate: found.rates(name, "dslr")[rate] for rate in study.RATES}
        assert grid[run["learning_rate"]] == max(grid.values())
    assert 0.001 < run["feature_distance"]["dslr"] < 0.5
    assert found.run(name, "dslr", 1)["learning_rate"] == run["learning_rate"]

    def refuse(domain: str, size: int) -> Any:
        raise AssertionError(f"{domain} at {size} px was loaded again")

    assert study.Study(tmp_path, methods, refuse).run(name, "dslr", 0) == run


def _images(domain: str, size: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Stripes along, stripes across, and none."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 80).astype(np.int32)
    stripes = 100 * (np.arange(size) // 4 % 2)
    plain = np.stack(
        [
            np.broadcast_to(stripes, (size, size)),
            np.broadcast_to(stripes[:, None], (size, size)),
            np.zeros((size, size)),
        ]
    )
    x = plain[y][..., None] + random.integers(0, 100, (80, size, size, 3))
    return x.astype(np.uint8), y, ["along", "across", "none"]
