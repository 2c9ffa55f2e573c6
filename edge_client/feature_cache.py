"""Features of frozen bases on disk, so that another run or another head on the same base does not compute them again.

A file is named by the SHA-256 of all that its features depend on, and begins with the SHA-256 of what follows: float32,
little-endian. It is read through a memory map, so that a large cache does not fill the memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, Optional, Union

import numpy as np

from edge_client.data import Dataset
from model_export.manifest import InputSpec

__all__ = ["FeatureCache", "feature_key"]

_log = logging.getLogger("pocketfleet.client")

_MAGIC = b"pocketfleet features 1\n"
_HEADER = 64
_SUFFIX = ".features"
_CHUNK = 1 << 20


def feature_key(base_sha256: str, dataset: Dataset, spec: InputSpec, runtime: str) -> str:
    """Return the SHA-256 of all that features depend on, in hexadecimal.

    Parameters
    ----------
    base_sha256
        Hash of the base's file.
    dataset
        The samples; labels play no part.
    spec
        Preprocessing.
    runtime
        Which runtime computes them: each rounds in its own way.
    """
    digest = hashlib.sha256()
    known = (base_sha256, dataset.x.shape, dataset.x.dtype.str, spec.shape, spec.scale, spec.offset, runtime)
    digest.update(repr(known).encode())
    rows = max(1, _CHUNK // max(1, dataset.x[:1].nbytes))
    for start in range(0, len(dataset.x), rows):
        digest.update(np.ascontiguousarray(dataset.x[start : start + rows]).tobytes())
    return digest.hexdigest()


class FeatureCache:
    """A directory of features with a limit on its size; those not used for the longest time go first.

    Parameters
    ----------
    path
        The directory; made when the first features are kept.
    limit_bytes
        Most bytes of all files together. Features larger than that are not kept.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *, limit_bytes: int = 2 << 30) -> None:
        self.path = Path(path)
        self.limit_bytes = limit_bytes

    def get(self, key: str, shape: tuple[int, ...], compute: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
        """Return kept features, or compute and keep them.

        Parameters
        ----------
        key
            Names the features, see `feature_key`.
        shape
            Their shape ``[n, ...]``.
        compute
            Yields their rows in parts, in order: ``float32 [m, ...]``.

        Returns
        -------
        numpy.ndarray
            ``float32``, read-only; where the disk has no room for them, in memory.
        """
        kept = self._read(key, shape)
        if kept is not None:
            return kept
        size = _HEADER + 4 * int(np.prod(shape, dtype=np.int64))
        if size <= self.limit_bytes:
            try:
                self._write(key, size, compute())
            except OSError as error:
                _log.warning("the features cannot be kept in %s: %s", self.path, error)
            else:
                kept = self._read(key, shape)
                if kept is not None:
                    return kept
        return np.concatenate(list(compute())) if shape[0] else np.zeros(shape, np.float32)

    def _read(self, key: str, shape: tuple[int, ...]) -> Optional[np.ndarray]:
        path = self.path / f"{key}{_SUFFIX}"
        try:
            with open(path, "rb") as file:
                header = file.read(_HEADER)
                digest = hashlib.sha256()
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    digest.update(chunk)
                size = file.tell()
            expected = _HEADER + 4 * int(np.prod(shape, dtype=np.int64))
            if header != _header(digest) or size != expected:
                _log.warning("%s is damaged: its features are computed anew", path)
                path.unlink()
                return None
            os.utime(path)
            if size == _HEADER:
                return np.zeros(shape, np.float32)
            return np.memmap(path, "<f4", "r", offset=_HEADER, shape=shape)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s cannot be read, its features are computed anew: %s", path, error)
            return None

    def _write(self, key: str, size: int, parts: Iterable[np.ndarray]) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(size)
        descriptor, temporary = tempfile.mkstemp(dir=self.path, prefix=".", suffix=_SUFFIX)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest = hashlib.sha256()
                file.write(bytes(_HEADER))
                for part in parts:
                    data = np.ascontiguousarray(part, "<f4").tobytes()
                    digest.update(data)
                    file.write(data)
                file.seek(0)
                file.write(_header(digest))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / f"{key}{_SUFFIX}")
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def _make_room(self, size: int) -> None:
        """Remove what a killed run left unfinished, and the oldest files until ``size`` more bytes fit."""
        files = []
        for path in self.path.glob(f"*{_SUFFIX}"):
            if path.name.startswith("."):
                path.unlink()
            else:
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        used = sum(file_size for _, file_size, _ in files)
        for _, file_size, path in sorted(files):
            if used + size <= self.limit_bytes:
                break
            path.unlink()
            used -= file_size


def _header(digest: hashlib._Hash) -> bytes:
    return (_MAGIC + digest.digest()).ljust(_HEADER, b"\0")
