"""The Java client as tests start it: its jars, built with Maven when they are missing or older than their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn, Optional

import pytest

__all__ = ["CLIENT_JAR", "java_command", "missing", "toy_command"]

_APP = Path(__file__).resolve().parent.parent / "android_app"
CLIENT_JAR = _APP / "desktop" / "target" / "pocketfleet-client.jar"
_PHONE = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""As little memory as a phone gives an app, and what makes a short-lived process start fast."""

_ready: Optional[Path] = None


def java_command() -> list[str]:
    """Return the command that starts the Java client, before its arguments; builds it first if need be."""
    _build()
    return ["java", *_PHONE, "-jar", str(CLIENT_JAR)]


def toy_command() -> list[str]:
    """Return the command that starts the Java twin of `tests.toy_client`."""
    class_path = f"{CLIENT_JAR}{os.pathsep}{_build()}"
    return ["java", *_PHONE, "-cp", class_path, "org.pocketfleet.desktop.ToyMain"]


def _build() -> Path:
    """Build the jars once a session and return that of the tests."""
    global _ready
    if _ready is not None:
        return _ready
    jars = sorted((_APP / "desktop" / "target").glob("pocketfleet-desktop-*-tests.jar"))
    if shutil.which("java") is None:
        missing("no Java on this machine: install a JDK (Debian: openjdk-17-jdk-headless)")
    if not jars or not CLIENT_JAR.exists() or min(CLIENT_JAR.stat().st_mtime, jars[0].stat().st_mtime) < _newest():
        if shutil.which("mvn") is None or shutil.which("javac") is None:
            missing("no Maven and JDK to build the Java client with (Debian: maven openjdk-17-jdk-headless)")
        command = ["mvn", "-B", "-q", "-pl", "desktop", "-am", "package", "-DskipTests"]
        done = subprocess.run(command, cwd=_APP, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}")
        jars = sorted((_APP / "desktop" / "target").glob("pocketfleet-desktop-*-tests.jar"))
        # Maven leaves a jar alone whose content did not change.
        for jar in (CLIENT_JAR, *jars):
            jar.touch()
    _ready = jars[0]
    return _ready


def _newest() -> float:
    """When a source of the client was last changed."""
    sources = [_APP / "pom.xml", _APP.parent / "protocol" / "fleet.proto"]
    sources += (_APP / "tflite" / "native").glob("*.*")
    for module in ("tflite", "core", "desktop"):
        sources += [_APP / module / "pom.xml", *(_APP / module / "src").rglob("*.*")]
    return max(source.stat().st_mtime for source in sources if source.exists())


def missing(what: str) -> NoReturn:
    """Fail, or on a user's machine skip, because a tool is not there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
