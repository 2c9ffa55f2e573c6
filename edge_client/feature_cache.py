"""Features of a frozen base, kept on disk.

A frozen base makes the same features of the same samples every time, and computing them is most of a head's training.
A file of the cache is named by the hash of all that the features depend on: the bundle, the samples, and the runtime,
whose rounding is its own. So a restarted client, or the next run of the same bundle, finds them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Callable, Optional, Union

import numpy as np

__all__ = ["FeatureCache", "key_of"]

_log = logging.getLogger(__name__)

_MAGIC = b"pocketfleet features 1\n"
_DIGEST_BYTES = 32
_READ_BYTES = 1 << 20


def key_of(bundle: str, samples: np.ndarray, runtime: str) -> str:
    """Return the name of features: a hash of the bundle's hash, the samples ``[n, …]`` and the runtime's name."""
    digest = hashlib.sha256(f"{bundle}\n{runtime}\n{samples.dtype.str}\n{samples.shape}\n".encode())
    digest.update(np.ascontiguousarray(samples).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()


class FeatureCache:
    """A directory of features.

    Parameters
    ----------
    directory
        Made if it is not there.
    limit_bytes
        Files that were not used for longest are removed beyond this size.
    """

    def __init__(self, directory: Union[str, os.PathLike[str]], *, limit_bytes: int = 4 * 2**30) -> None:
        self._directory = Path(directory)
        self._limit_bytes = limit_bytes

    def get(self, key: str, shape: tuple[int, ...], compute: Callable[[np.ndarray], None]) -> np.ndarray:
        """Return features ``float32 shape``, read-only and mapped into memory, not read.

        Parameters
        ----------
        key
            What `key_of` returned.
        shape
            Shape of the features.
        compute
            Fills an array of that shape; called if the cache does not hold them. A file that is damaged is computed
            anew, and so is everything if the disk is full, with a warning: a cache must not stop training.
        """
        path = self._directory / f"{key}.features"
        found = _mapped(path, shape)
        if found is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
            return found
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._make_room(4 * int(np.prod(shape)), keep=path)
            _write(path, shape, compute)
            found = _mapped(path, shape)
        except OSError as error:
            _log.warning("features are kept in memory only: %s cannot be written: %s", path, error)
        if found is None:
            found = np.empty(shape, np.float32)
            compute(found)
        return found

    def _make_room(self, needed: int, *, keep: Path) -> None:
        """Remove what was not used for longest, until ``needed`` bytes fit."""
        held = sorted((entry for entry in self._directory.glob("*.features") if entry != keep), key=_last_use)
        total = needed + sum(entry.stat().st_size for entry in held)
        for entry in held:
            if total <= self._limit_bytes:
                return
            total -= entry.stat().st_size
            entry.unlink()


def _last_use(path: Path) -> float:
    return path.stat().st_mtime


def _write(path: Path, shape: tuple[int, ...], compute: Callable[[np.ndarray], None]) -> None:
    """Fill the file beside its name, then give it the name: a reader sees all or nothing."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        offset = len(_MAGIC) + _DIGEST_BYTES
        with open(temporary, "r+b") as file:
            # Blocks that are asked for now cannot be missing when the mapping is written: that would end the process.
            os.posix_fallocate(file.fileno(), 0, offset + 4 * int(np.prod(shape)))
        mapped = np.memmap(temporary, np.float32, "r+", offset, shape)
        compute(mapped)
        mapped.flush()
        del mapped
        with open(temporary, "r+b") as file:
            digest = _digest(file, offset)
            file.seek(0)
            file.write(_MAGIC + digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _mapped(path: Path, shape: tuple[int, ...]) -> Optional[np.ndarray]:
    """Return the features in ``path``; None if there are none or they are damaged."""
    offset = len(_MAGIC) + _DIGEST_BYTES
    try:
        with open(path, "rb") as file:
            head = file.read(offset)
            whole = os.fstat(file.fileno()).st_size == offset + 4 * int(np.prod(shape))
            if whole and head == _MAGIC + _digest(file, offset):
                return np.memmap(path, np.float32, "r", offset, shape)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read and is computed anew: %s", path, error)
        return None
    _log.warning("%s is damaged and is computed anew", path)
    return None


def _digest(file: BinaryIO, offset: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(offset)
    while part := file.read(_READ_BYTES):
        digest.update(part)
    return digest.digest()
