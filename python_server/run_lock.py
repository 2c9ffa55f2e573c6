"""The lock of a run directory: one process works on a run, and others can see which, and ask it to stop.

The kernel lets go of the lock (flock) when its holder ends, however it ends. The file holds the holder's process id; as
a killed holder leaves its id behind, an id counts only while that process really has the file open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from pathlib import Path
from typing import Optional, TextIO

from python_server.errors import StoreError

__all__ = ["LOCK", "holder", "stop_holder", "take"]

LOCK = "lock"


def take(run: Path) -> TextIO:
    """Take the lock of a run directory; closing the file returns it.

    Raises
    ------
    StoreError
        Another process holds it.
    OSError
        The file cannot be written.
    """
    file = (run / LOCK).open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except BlockingIOError:
        file.close()
        raise StoreError(f"{run} is in use: another `pocketfleet train` works on this run") from None
    except BaseException:
        file.close()
        raise
    return file


def holder(run: Path) -> Optional[int]:
    """Return the id of the process that works on a run.

    None: nobody does. A process of another user cannot be looked into, so its id counts while there is such a process.
    Nothing is locked to find out, so a process that is about to begin is not disturbed.
    """
    try:
        told = (run / LOCK).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not told.isdecimal() or len(told) > 9:
        return None
    return None if _has_open(int(told), run / LOCK) is False else int(told)


def stop_holder(run: Path) -> Optional[int]:
    """Ask the process that works on a run to stop as Ctrl-C would; return its id, or None if there is none of ours."""
    pid = holder(run)
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # The id may have passed to another process since; from here on it cannot.
        if not _has_open(pid, run / LOCK):
            return None
        # Not SIGINT: what was started in a shell's background ignores it.
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        return None
    finally:
        os.close(process)
    return pid


def _has_open(pid: int, file: Path) -> Optional[bool]:
    """Tell whether a process has a file open; None: it is another user's."""
    try:
        wanted = file.stat()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    except PermissionError:
        return None
    except OSError:
        return False
    return False
