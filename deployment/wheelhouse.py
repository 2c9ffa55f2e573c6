"""The wheels that a board needs, fetched on this host for the board's processor, Python and C library.

Boards often have no internet, and none should need a compiler. Wheels are kept in the user's cache, one folder for each
kind of board.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from deployment.errors import PlatformError
from deployment.runtimes import Runtime

__all__ = ["wheels_for"]

_lock = threading.Lock()
_PIP = "pip>=23"
"""Travels along: Debian's Python comes without."""


def wheels_for(device: str, runtime: Runtime, cache: Path | None = None) -> list[Path]:
    """Return the wheels for one kind of board, pip's own among them; fetched once.

    Parameters
    ----------
    device
        For messages.
    runtime
        What the board needs.
    cache
        Folder to keep them in; None: ``$XDG_CACHE_HOME/pocketfleet/wheels``.

    Raises
    ------
    deployment.errors.PlatformError
        There are no such wheels, or the index cannot be reached.
    """
    named = repr((runtime.requirements, runtime.python_version, runtime.platforms, runtime.extra_index, _PIP))
    folder = (cache or _default_cache()) / hashlib.sha256(named.encode()).hexdigest()[:16]
    with _lock:  # eight boards of a kind, one download
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                made = Path(temporary) / "wheels"
                made.mkdir()
                _download(device, runtime, made)
                try:
                    made.rename(folder)
                except OSError:
                    if not folder.is_dir():  # else another process was faster, with the same wheels
                        raise
    return sorted(folder.glob("*.whl"))


def _download(device: str, runtime: Runtime, folder: Path) -> None:
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    words += ["--only-binary=:all:", "--implementation", "cp", "--python-version", runtime.python_version]
    words += ["--dest", str(folder)]
    for tag in runtime.platforms:
        words += ["--platform", tag]
    if runtime.extra_index:
        words += ["--extra-index-url", runtime.extra_index]
    done = subprocess.run([*words, _PIP, *runtime.requirements], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PlatformError(
            device,
            f"pip finds no wheels for its {runtime.platforms[0]} and Python {runtime.python_version}: "
            f"{(errors or ['pip failed'])[-1].removeprefix('ERROR: ')}",
            'check this host\'s connection to the package index, or give the device install = "none" and a Python that '
            "has what the client needs",
        )


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pocketfleet" / "wheels"
