"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Union

__all__ = ["put_folder", "write_atomically"]


def write_atomically(path: Path, data: Union[bytes, bytearray, memoryview], *, mode: int = 0o644) -> None:
    """Replace ``path`` by a file with ``data``, durable before it becomes visible.

    A reader, a crash or a full disk sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        The file could not be written, and the error names ``path``; the old one is untouched and nothing is left beside
        it.
    """
    try:
        _write_atomically(path, data, mode)
    except OSError as error:
        # The name of the temporary file would tell nobody anything, and a full disk names no file at all.
        error.filename = os.fspath(path)
        raise


def _write_atomically(path: Path, data: Union[bytes, bytearray, memoryview], mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def put_folder(folder: Path, target: Path) -> None:
    """Rename ``folder`` to ``target``; a folder that is there goes when the new one has its place, or else stays.

    Raises
    ------
    OSError
        It could not be renamed, as to another file system; what was there is there.
    """
    if not target.exists():
        os.replace(folder, target)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    try:
        os.replace(target, aside / "old")
        try:
            os.replace(folder, target)
        except BaseException:
            os.replace(aside / "old", target)
            raise
    except BaseException:
        with contextlib.suppress(OSError):
            aside.rmdir()
        raise
    shutil.rmtree(aside)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
