"""Attributes of sysfs: small files that the kernel writes anew at each reading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from edge_client.energy.source import ReadingError

__all__ = ["read_number", "read_text"]


def read_text(file: Path) -> Optional[str]:
    """Return an attribute's text; None if it is not there, or does not let itself be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def read_number(file: str) -> int:
    """Return an attribute's whole number.

    Opened anew each time: a file that is kept open outlives a sensor that was unplugged.

    Raises
    ------
    edge_client.energy.source.ReadingError
        The attribute is gone, fails, or holds no number.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ReadingError(f"{file}: {error.strerror}") from None
    try:
        return int(content)
    except ValueError:
        raise ReadingError(f"{file}: {content[:32]!r} is no number") from None
