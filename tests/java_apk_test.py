"""The Android app as people install it: built, signed, small, and right in the very bytecode that is in the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.app_builds import APP, run


def test_a_release_for_one_processor_is_signed_and_small(release_apk: Path) -> None:
    """`verify_apk` checks signature, alignment, permissions and that no model is inside, and holds it to 6 MB."""
    told = run(APP / "verify_apk", release_apk)
    assert "release, org.pocketfleet.app" in told
    assert "arm64-v8a" in told
    assert "signed (v2, v3), aligned" in told
    assert release_apk.stat().st_size <= 6e6


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
