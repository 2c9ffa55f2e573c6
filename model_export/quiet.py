"""TensorFlow without its chatter."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator

__all__ = ["quiet"]

_STDERR = 2


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Hold back what TensorFlow logs, warns and writes to the process's standard error.

    The converter writes dozens of lines from C++, past every Python setting, so the file descriptor itself is turned
    away for the while.

    Yields
    ------
    Callable
        Returns what was written so far, for an error message.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        original = os.dup(_STDERR)
        os.dup2(held.fileno(), _STDERR)
        try:
            yield lambda: _content(held.fileno())
        finally:
            os.dup2(original, _STDERR)
            os.close(original)
            logger.setLevel(level)


def _content(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")
