"""The ends of a run's logs, in pieces that a page can add to what it has."""

from __future__ import annotations

import re
from pathlib import Path

from python_server.errors import StoreError
from python_server.run_rows import Json
from python_server.store import LOGS

__all__ = ["read_log"]

_MOST_BYTES = 64 * 2**10
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""A terminal's colours, and characters that hide what stands there or turn it around."""


def read_log(run: Path, name: str, start: int) -> Json:
    """Return what a log holds from a byte on, at most the last 64 KiB.

    Parameters
    ----------
    run
        The run directory.
    name
        The file's name in ``logs``, without its ending.
    start
        Where the last piece ended.

    Returns
    -------
    dict
        ``text``, whole lines; ``end``, where to go on; ``skipped``, whether something before it was left out.

    Raises
    ------
    StoreError
        The run has no such log.
    """
    file = next((file for file in (run / LOGS).glob("*.log") if file.stem == name and not file.is_symlink()), None)
    if file is None:
        raise StoreError(f"{run.name} has no log {name}")
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        begin = start if start <= size else 0  # it became shorter: it was begun anew
        skipped = size - begin > _MOST_BYTES
        begin = max(begin, size - _MOST_BYTES)
        stream.seek(begin)
        data = stream.read(size - begin)
    if skipped:
        data = data[data.find(b"\n") + 1 :]
    whole = data.rfind(b"\n") + 1
    if whole == 0 and len(data) == _MOST_BYTES:  # one endless line
        whole = len(data)
    text = _CONTROL.sub("", data[:whole].decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
    return {"text": text, "end": size - (len(data) - whole), "skipped": skipped}
