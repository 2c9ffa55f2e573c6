"""Features on disk: found again, never damaged ones, never too many."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.feature_cache import FeatureCache, key_of
from edge_client.trainer import Trainer

SHAPE = (5, 3)
DIGITS = np.random.default_rng(0).integers(0, 17, (40, 8, 8, 1), np.uint8)
VALUES = np.arange(15, dtype=np.float32).reshape(SHAPE)


class _Base:
    """Fills in the values and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, out: np.ndarray) -> None:
        self.calls += 1
        out[:] = VALUES


def test_features_are_computed_once(tmp_path: Path) -> None:
    base = _Base()
    for _ in range(3):
        found = FeatureCache(tmp_path / "features").get("a", SHAPE, base)
        np.testing.assert_array_equal(found, VALUES)
        assert not found.flags.writeable
    assert base.calls == 1


def test_what_features_depend_on_is_in_the_key() -> None:
    x = np.zeros((2, 4), np.uint8)
    other = x.copy()
    other[1, 3] = 1
    keys = [
        key_of("bundle", x, "r"),
        key_of("bundle", other, "r"),
        key_of("bundle2", x, "r"),
        key_of("bundle", x, "r2"),
        key_of("bundle", x.reshape(4, 2), "r"),
        key_of("bundle", x.view(np.int8), "r"),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("bundle", np.asfortranarray(x), "r") == keys[0]


@pytest.mark.parametrize("damage", ["bit", "cut", "longer", "empty"])
def test_damaged_features_are_computed_anew(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base, cache = _Base(), FeatureCache(tmp_path)
    cache.get("a", SHAPE, base)
    path = tmp_path / "a.features"
    data = path.read_bytes()
    changed = {"bit": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-4], "longer": data + b"1234", "empty": b""}
    path.write_bytes(changed[damage])
    np.testing.assert_array_equal(cache.get("a", SHAPE, base), VALUES)
    assert base.calls == 2
    assert f"{path} is damaged" in caplog.text
    cache.get("a", SHAPE, base)
    assert base.calls == 2


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    base = _Base()
    size = len(b"pocketfleet features 1\n") + 32 + VALUES.nbytes
    cache = FeatureCache(tmp_path, limit_bytes=2 * size)
    for age, key in enumerate("abc"):
        cache.get(key, SHAPE, base)
        os.utime(tmp_path / f"{key}.features", (1000 + age, 1000 + age))
        if key == "b":
            cache.get("a", SHAPE, base)
    assert {path.name for path in tmp_path.iterdir()} == {"a.features", "c.features"}


def test_an_interrupted_computation_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(out: np.ndarray) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path).get("a", SHAPE, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_does_not_stop_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    base = _Base()
    np.testing.assert_array_equal(FeatureCache(tmp_path / "file" / "x").get("a", SHAPE, base), VALUES)
    assert "in memory only" in caplog.text


def test_a_restarted_trainer_finds_its_features(
    head_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset(DIGITS, np.arange(40) % 10, "digits")
    plain = Trainer(head_bundle, num_threads=1)
    plain.fit(data, 1, learning_rate=0.1, seed=4)
    for runs in range(2):
        trainer = Trainer(head_bundle, num_threads=1, feature_cache=FeatureCache(tmp_path))
        if runs:
            monkeypatch.setattr(trainer, "_fill_features", lambda x, out: pytest.fail("computed again"))
        trainer.fit(data, 1, learning_rate=0.1, seed=4)
        for name, value in plain.weights().items():
            np.testing.assert_array_equal(trainer.weights()[name], value)
