"""A client's labelled images: from an ``.npz`` file or a folder with one folder per class."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import numpy as np

from edge_client.errors import DataError
from model_export.manifest import InputSpec

__all__ = ["IMAGE_SUFFIXES", "Dataset", "load_dataset"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_MAX_PIXELS = 64 * 2**20


@dataclass(frozen=True)
class Dataset:
    """Labelled samples.

    Attributes
    ----------
    x
        ``uint8 [n, H, W, C]`` pixels, scaled as the bundle says when they are fed; or ``float32 [n, ...]``, fed as
        they are.
    y
        ``int32 [n]``, class indices.
    name
        Where the samples come from; used in messages.
    """

    x: np.ndarray
    y: np.ndarray
    name: str

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, indices: np.ndarray, spec: InputSpec) -> np.ndarray:
        """Return samples as the network takes them: ``float32 [len(indices), *spec.shape]``."""
        return as_network_input(self.x[indices], spec)


def as_network_input(x: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Scale ``uint8`` pixels as the bundle says; pass ``float32`` through."""
    if x.dtype != np.uint8:
        return np.ascontiguousarray(x, dtype=np.float32)
    out: np.ndarray = np.multiply(x, np.float32(spec.scale), dtype=np.float32)
    if spec.offset:
        out += np.float32(spec.offset)
    return out


def load_dataset(path: Union[str, os.PathLike[str]], spec: InputSpec, classes: Sequence[str]) -> Dataset:
    """Load and check a client's data.

    Parameters
    ----------
    path
        An ``.npz`` file with ``x`` (``uint8 [n, H, W, C]`` or ``float32 [n, ...]``) and ``y`` (integers ``[n]``), or a
        folder ``<class name>/<image>``.
    spec
        The bundle's input.
    classes
        The bundle's class names, in the order of the labels.

    Raises
    ------
    DataError
        The data is missing, empty or unreadable, a label is out of range, or an image has the wrong size; the message
        names the file.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, spec, classes)
    if not path.exists():
        raise DataError(f"{path}: no such data file or folder")
    return _checked(_load_npz(path), spec, classes)


def _load_npz(path: Path) -> Dataset:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = {"x", "y"} - set(archive.files)
            if missing:
                raise DataError(f"{path}: holds no array {sorted(missing)[0]!r}; it needs x (samples) and y (labels)")
            x, y = archive["x"], archive["y"]
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise DataError(f"{path}: not a readable .npz file: {error}") from None
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{path}: y must be whole numbers [n], it is {y.dtype} {list(y.shape)}")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{path}: x must be uint8 pixels or floating point, it is {x.dtype}")
    if len(x) != len(y):
        raise DataError(f"{path}: {len(x)} samples in x, {len(y)} labels in y")
    return Dataset(x if x.dtype == np.uint8 else x.astype(np.float32), y, str(path))


def _load_folder(path: Path, spec: InputSpec, classes: Sequence[str]) -> Dataset:
    from PIL import Image, UnidentifiedImageError

    if len(spec.shape) != 3 or spec.shape[2] not in (1, 3):
        raise DataError(f"{path}: a folder of images needs a network with 1 or 3 channels, this has {list(spec.shape)}")
    height, width, channels = spec.shape
    index_of = {name: index for index, name in enumerate(classes)}
    files: list[tuple[Path, int]] = []
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        images = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if images and folder.name not in index_of:
            raise DataError(
                f"{folder}: {folder.name!r} is not one of the bundle's classes ({', '.join(classes[:10])}…)"
            )
        files += [(file, index_of[folder.name]) for file in images]
    if not files:
        raise DataError(f"{path}: no images in <class>/<image> ({', '.join(IMAGE_SUFFIXES)})")
    x = np.empty((len(files), height, width, channels), np.uint8)
    for row, (file, _) in enumerate(files):
        try:
            with Image.open(file) as image:
                if image.width * image.height > _MAX_PIXELS or image.size != (width, height):
                    raise DataError(f"{file}: {image.width}x{image.height} pixels, the network takes {width}x{height}")
                pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
        except (OSError, UnidentifiedImageError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{file}: not a readable image: {error}") from None
        x[row] = pixels.reshape(height, width, channels)
    return Dataset(x, np.array([label for _, label in files], np.int32), str(path))


def _checked(data: Dataset, spec: InputSpec, classes: Sequence[str]) -> Dataset:
    if not len(data):
        raise DataError(f"{data.name}: holds no samples; give this client a part of the data or leave it out")
    if data.x.shape[1:] != spec.shape:
        raise DataError(f"{data.name}: samples are {list(data.x.shape[1:])}, the network takes {list(spec.shape)}")
    outside = np.flatnonzero((data.y < 0) | (data.y >= len(classes)))
    if len(outside):
        row = outside[0]
        raise DataError(
            f"{data.name}: label {data.y[row]} of sample {row} is outside 0..{len(classes) - 1} "
            f"({len(outside)} such samples)"
        )
    if data.x.dtype != np.uint8 and not np.isfinite(data.x).all():
        raise DataError(f"{data.name}: x holds values that are not finite")
    return Dataset(data.x, data.y.astype(np.int32), data.name)
