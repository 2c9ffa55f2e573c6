"""The client and folders as archives whose bytes depend on the content alone: a second push finds them there."""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import device_profiles
from deployment.errors import DeploymentError

__all__ = ["client_archive", "folder_digest", "write_folder_archive"]

_PACKAGES = ("edge_client", "device_profiles", "model_export")
_MODEL_EXPORT = (
    *("__init__", "bundle", "codecs", "costs", "errors", "files"),
    *("formats", "k_means", "manifest", "part", "signing", "tensors"),
)
"""The part of `model_export` that a client needs: no TensorFlow in it."""
_STAMP = (1980, 1, 1, 0, 0, 0)


@functools.cache
def client_archive() -> bytes:
    """Return a zip of the Python client's packages, as they are on this host."""
    assert device_profiles.__file__ is not None
    root = Path(device_profiles.__file__).parent.parent
    files = []
    for package in _PACKAGES:
        folder = root / package
        if not folder.is_dir():
            raise DeploymentError(f"there is no {folder}: install pocketfleet whole")
        if package == "model_export":
            files += [folder / f"{name}.py" for name in _MODEL_EXPORT]
        else:
            files += [
                path
                for path in folder.rglob("*")
                if path.suffix in (".py", ".toml") and not path.name.endswith("_test.py") and "images" not in path.parts
            ]
    buffer = io.BytesIO()
    _write_archive(root, sorted(files), buffer, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def folder_digest(folder: Path) -> tuple[str, int]:
    """Return the hexadecimal sha256 and the size of what `write_folder_archive` writes, which is not kept anywhere.

    Raises
    ------
    DeploymentError
        It cannot be read.
    """
    try:
        return _folder_digest(folder, tuple((path, path.stat().st_mtime_ns) for path in _files(folder)))
    except OSError as error:
        raise DeploymentError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None


def write_folder_archive(folder: Path, write: Callable[[bytes], object]) -> None:
    """Write a zip of all files in a folder, uncompressed: weights and images do not shrink.

    However large the folder is, there is one block of it in memory at a time.

    Parameters
    ----------
    write
        Takes the next bytes.

    Raises
    ------
    DeploymentError
        It cannot be read.
    """
    try:
        _write_archive(folder, _files(folder), _Sink(write), zipfile.ZIP_STORED)
    except OSError as error:
        raise DeploymentError(f"{error.filename or folder}: cannot be packed: {error.strerror}") from None


@functools.lru_cache(maxsize=1024)
def _folder_digest(folder: Path, files: tuple[tuple[Path, int], ...]) -> tuple[str, int]:
    """Return them; known as long as no file's time changes."""
    sink = _Sink(lambda block: None)
    _write_archive(folder, [path for path, _ in files], sink, zipfile.ZIP_STORED)
    return sink.sha256.hexdigest(), sink.size_bytes


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class _Sink:
    """Takes bytes in order, and passes them on; it cannot be sought, so the bytes are the same wherever they go."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, block: bytes) -> int:
        """Take some."""
        self.sha256.update(block)
        self.size_bytes += len(block)
        self._write(block)
        return len(block)

    def flush(self) -> None:
        """Do nothing."""


def _write_archive(root: Path, files: Iterable[Path], target: Any, compression: int) -> None:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in files:
            info = zipfile.ZipInfo(path.relative_to(root).as_posix(), _STAMP)
            info.external_attr = 0o644 << 16
            info.compress_type = compression
            info.file_size = path.stat().st_size  # beyond 2 GB an entry begins otherwise
            with path.open("rb") as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, 1 << 20)
