"""The study of frozen bases on a setting of seconds: what it finds is sound, and it goes on where it stopped."""

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
    for name in {"office31", "office31_bases"} - known:
        sys.modules.pop(name, None)


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
