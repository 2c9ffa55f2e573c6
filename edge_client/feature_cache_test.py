"""Kept features are the computed ones, or are computed anew."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.feature_cache import FeatureCache, feature_key
from model_export.manifest import InputSpec

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
SPEC = InputSpec((2,), "float32", 1.0, 0.0)


class Base:
    """Yields the values in two parts, and counts how often."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.runs += 1
        yield VALUES[:3]
        yield VALUES[3:]


def test_features_are_computed_once_for_all_runs(tmp_path: Path) -> None:
    base = Base()
    for _ in range(2):
        found = FeatureCache(tmp_path / "f").get("k", VALUES.shape, base)
        np.testing.assert_array_equal(found, VALUES)
        assert isinstance(found, np.memmap)
    assert base.runs == 1


@pytest.mark.parametrize("at", [0, 30, 70, -1])
def test_damaged_file_is_computed_anew_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int) -> None:
    base, cache = Base(), FeatureCache(tmp_path)
    cache.get("k", VALUES.shape, base)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if at < 0:
        del data[at:]
    else:
        data[at] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "pocketfleet.client"):
        np.testing.assert_array_equal(cache.get("k", VALUES.shape, base), VALUES)
    assert base.runs == 2
    assert "damaged" in caplog.text


def test_oldest_goes_when_the_limit_is_reached(tmp_path: Path) -> None:
    base = Base()
    cache = FeatureCache(tmp_path, limit_bytes=2 * (64 + VALUES.nbytes))
    for age, key in ((300, "a"), (200, "b")):
        cache.get(key, VALUES.shape, base)
        os.utime(tmp_path / f"{key}.features", (1e9 - age, 1e9 - age))
    cache.get("a", VALUES.shape, base)
    cache.get("c", VALUES.shape, base)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c"]
    small = FeatureCache(tmp_path / "small", limit_bytes=8)
    np.testing.assert_array_equal(small.get("a", VALUES.shape, base), VALUES)
    assert not (tmp_path / "small").exists()


def test_failure_while_computing_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Iterator[np.ndarray]:
        yield VALUES[:3]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        FeatureCache(tmp_path).get("k", VALUES.shape, fails)
    assert not list(tmp_path.iterdir())


def test_unwritable_directory_is_said_and_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "pocketfleet.client"):
        found = FeatureCache(tmp_path / "file" / "f").get("k", VALUES.shape, Base())
    np.testing.assert_array_equal(found, VALUES)
    assert "cannot be kept" in caplog.text


def test_key_depends_on_base_samples_preprocessing_and_runtime() -> None:
    x = np.arange(8, dtype=np.uint8).reshape(4, 2)
    y = np.zeros(4, np.int32)
    data = Dataset(x, y, "d")
    other = Dataset(x[::-1], y, "d")
    keys = {
        feature_key("a", data, SPEC, "r"),
        feature_key("b", data, SPEC, "r"),
        feature_key("a", other, SPEC, "r"),
        feature_key("a", data, InputSpec((2,), "float32", 2.0, 0.0), "r"),
        feature_key("a", data, SPEC, "s"),
    }
    assert len(keys) == 5
    assert feature_key("a", Dataset(x.copy(), y + 1, "e"), SPEC, "r") in keys
