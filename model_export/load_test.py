"""Files that hold a Keras model, and files that do not."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_export import load_keras_model
from model_export.errors import ModelFileError

# Keras 3.15 itself, while saving under NumPy 2.4.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def saved(path: Path, *layers: Any) -> Path:
    keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)]).save(path)
    return path


def test_saved_model_comes_back(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    one, other = load_keras_model(path), keras.saving.load_model(path)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(one(x), other(x))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="m.keras: no such file"):
        load_keras_model(tmp_path / "m.keras")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_not_a_keras_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="m.keras is not a .keras file"):
        load_keras_model(path)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is not a .keras file"):
        load_keras_model(tmp_path)


def test_some_other_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFileError, match="holds no config.json"):
        load_keras_model(tmp_path / "m.keras")


def test_damaged_file(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.keras")
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(tmp_path / "m.keras", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data[: len(data) // 2] if name == "model.weights.h5" else data)
    with pytest.raises(ModelFileError, match="m.keras cannot be loaded: ") as refusal:
        load_keras_model(tmp_path / "m.keras")
    assert "\n" not in str(refusal.value)


def test_code_is_never_run(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", keras.layers.Lambda(lambda x: x * 2))
    with pytest.raises(ModelFileError, match="Lambda layer or other code, which is never run"):
        load_keras_model(path)


def test_class_that_is_not_here(tmp_path: Path) -> None:
    class Mine(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    path = saved(tmp_path / "m.keras", Mine())
    with pytest.raises(ModelFileError, match="it needs Mine, a class or function of yours") as refusal:
        load_keras_model(path)
    assert "\n" not in str(refusal.value)
