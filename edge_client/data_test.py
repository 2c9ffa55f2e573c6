from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_client.data import as_network_input, load_dataset
from edge_client.errors import DataError
from model_export.manifest import InputSpec

SPEC = InputSpec((4, 4, 3), "float32", 1 / 127.5, -1.0)
CLASSES = ("cat", "dog")


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, allow_pickle=True, **arrays)
    return path


def _x(count: int = 3, shape: tuple[int, ...] = (4, 4, 3)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_npz(tmp_path: Path) -> None:
    x = _x()
    data = load_dataset(_npz(tmp_path / "d.npz", x=x, y=np.array([0, 1, 1])), SPEC, CLASSES)
    assert len(data) == 3
    assert data.y.dtype == np.int32
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_allclose(data.batch(np.array([2, 0]), SPEC), x[[2, 0]] / 127.5 - 1, atol=1e-6)
    assert data.batch(np.array([0]), SPEC).dtype == np.float32


def test_floats_are_fed_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 3))
    data = load_dataset(_npz(tmp_path / "d.npz", x=x, y=np.zeros(3, int)), SPEC, CLASSES)
    np.testing.assert_array_equal(as_network_input(data.x, SPEC), x.astype(np.float32))


def test_folder_takes_labels_from_the_bundle_not_from_the_order_of_folders(tmp_path: Path) -> None:
    x = _x(4)
    for name, rows in {"dog": [0, 1], "cat": [2, 3]}.items():
        (tmp_path / name).mkdir()
        for row in rows:
            Image.fromarray(x[row]).save(tmp_path / name / f"{row}.png")
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    data = load_dataset(tmp_path, SPEC, CLASSES)
    np.testing.assert_array_equal(data.y, [0, 0, 1, 1])
    np.testing.assert_array_equal(data.x, x[[2, 3, 0, 1]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": _x(), "y": np.array([0, 1, 2])}, r"label 2 of sample 2 is outside 0\.\.1"),
        ({"x": _x(), "y": np.array([0, -1, 1])}, "label -1 of sample 1"),
        ({"x": _x(shape=(5, 4, 3)), "y": np.zeros(3, int)}, r"\[5, 4, 3\], the network takes \[4, 4, 3\]"),
        ({"x": _x(0), "y": np.zeros(0, int)}, "holds no samples"),
        ({"x": _x(), "y": np.zeros(2, int)}, "3 samples in x, 2 labels"),
        ({"x": _x(), "y": np.zeros((3, 2), int)}, "whole numbers"),
        ({"x": _x(), "y": np.zeros(3)}, "whole numbers"),
        ({"x": _x()}, "no array 'y'"),
        ({"x": np.full((3, 4, 4, 3), np.nan), "y": np.zeros(3, int)}, "not finite"),
        ({"x": np.array([["a"]]), "y": np.zeros(1, int)}, "uint8 pixels or floating point"),
    ],
)
def test_bad_npz_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(_npz(tmp_path / "d.npz", **arrays), SPEC, CLASSES)
    assert "d.npz" in str(caught.value)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    whole = _npz(tmp_path / "d.npz", x=_x(), y=np.zeros(3, int)).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(40)):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz"):
            load_dataset(tmp_path / "bad.npz", SPEC, CLASSES)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = _npz(tmp_path / "d.npz", x=np.array([None], dtype=object), y=np.zeros(1, int))
    with pytest.raises(DataError, match=r"d\.npz"):
        load_dataset(path, SPEC, CLASSES)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data"):
        load_dataset(tmp_path / "nothing.npz", SPEC, CLASSES)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        load_dataset(tmp_path, SPEC, CLASSES)
    (tmp_path / "cat").mkdir()
    Image.fromarray(_x(1, (6, 4, 3))[0]).save(tmp_path / "cat" / "tall.png")
    with pytest.raises(DataError, match=r"tall\.png: 4x6 pixels, the network takes 4x4"):
        load_dataset(tmp_path, SPEC, CLASSES)
    (tmp_path / "cat" / "tall.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(DataError, match=r"tall\.png: not a readable image"):
        load_dataset(tmp_path, SPEC, CLASSES)
    (tmp_path / "horse").mkdir()
    (tmp_path / "horse" / "h.png").write_bytes(b"")
    with pytest.raises(DataError, match="'horse' is not one of the bundle's classes"):
        load_dataset(tmp_path, SPEC, CLASSES)
