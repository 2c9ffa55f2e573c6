"""The client and folders as archives whose bytes depend on the content alone: a second push finds them there."""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import device_profiles
from deployment.errors import DeploymentError

__all__ = ["client_archive", "folder_archive"]

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
    return _archive(root, files)


def folder_archive(folder: Path) -> bytes:
    """Return a zip of all files in a folder, uncompressed: weights and images do not shrink.

    Raises
    ------
    DeploymentError
        It cannot be read.
    """
    try:
        return _archive(folder, (path for path in folder.rglob("*") if path.is_file()), zipfile.ZIP_STORED)
    except OSError as error:
        raise DeploymentError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None


def _archive(root: Path, files: Iterable[Path], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path.relative_to(root).as_posix(), _STAMP)
            info.external_attr = 0o644 << 16
            info.compress_type = compression
            archive.writestr(info, path.read_bytes())
    return buffer.getvalue()
