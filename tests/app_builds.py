"""The Android app as people install it, built with its own scripts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.java_client import missing

__all__ = ["APP", "run"]

APP = Path(__file__).resolve().parent.parent / "android_app"
_TOOLS = {"mvn": "maven", "aapt2": "aapt", "zipalign": "zipalign", "apksigner": "apksigner"}


def run(*command: object) -> str:
    """Run a command that builds or checks an app; return what it prints."""
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            missing(f"no {tool} to build the app with (Debian: {package})")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
