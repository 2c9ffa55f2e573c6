"""What the tests of this folder share: toy clients in both languages, and the app.

Flower warns about one of its own dependencies when it is imported; our warnings are errors, that one is not ours.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from typing import Optional

import pytest

from tests.app_builds import APP, run
from tests.java_client import toy_command
from tests.toy_server import Toy, python_toy

if importlib.util.find_spec("flwr"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import flwr.superlink.grid  # noqa: F401


@pytest.fixture(params=["python", "java"])
def toy(request: pytest.FixtureRequest) -> Toy:
    """The toy client, in each language."""
    return python_toy() if request.param == "python" else Toy(toy_command(), 137)


@pytest.fixture(scope="session")
def release_apk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the app for arm64 phones, once a session."""
    apk = tmp_path_factory.mktemp("app") / "release.apk"
    run(APP / "build_apk", "release", "--abi", "arm64-v8a", "-o", apk)
    return apk


@pytest.fixture(scope="session")
def real_apk(request: pytest.FixtureRequest) -> Optional[Path]:
    """Return the app that ``POCKETFLEET_APK`` names, or that was built here; continuous integration builds it."""
    if "POCKETFLEET_APK" in os.environ:
        return Path(os.environ["POCKETFLEET_APK"])
    if built := sorted((APP / "app" / "target").glob("pocketfleet-*-release-arm64-v8a.apk")):
        return built[-1]
    apk: Optional[Path] = request.getfixturevalue("release_apk") if os.environ.get("CI") else None
    return apk
