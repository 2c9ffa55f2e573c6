"""The Android app as people install it: built, signed, small, and right in the very bytecode that is in the file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.java_client import missing

APP = Path(__file__).resolve().parent.parent / "android_app"
TOOLS = {"mvn": "maven", "aapt2": "aapt", "zipalign": "zipalign", "apksigner": "apksigner"}


def run(*command: object) -> str:
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            missing(f"no {tool} to build the app with (Debian: {package})")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_a_release_for_one_processor_is_signed_and_small(tmp_path: Path) -> None:
    """`verify_apk` checks signature, alignment, permissions and that no model is inside, and holds it to 6 MB."""
    apk = tmp_path / "release.apk"
    run(APP / "build_apk", "release", "--abi", "arm64-v8a", "-o", apk)
    told = run(APP / "verify_apk", apk)
    assert "release, org.pocketfleet.app" in told
    assert "arm64-v8a" in told
    assert "signed (v2, v3), aligned" in told
    assert apk.stat().st_size <= 6e6


def test_the_apps_tests_pass_on_the_dex_of_its_apk(tmp_path: Path) -> None:
    apk = tmp_path / "debug.apk"
    run(APP / "build_apk", "debug", "-o", apk)
    told = run(APP / "verify_apk", "--tests", apk)
    assert "on the APK's own dex: OK" in told


def test_what_is_no_apk_is_refused(tmp_path: Path) -> None:
    apk = tmp_path / "x.apk"
    apk.write_bytes(b"PK but not really")
    done = subprocess.run([APP / "verify_apk", apk], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "x.apk" in done.stderr
    assert "Traceback" not in done.stderr
