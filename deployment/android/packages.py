"""Installing the app: what is checked before, and what Android's package manager says."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from deployment.android.app import PACKAGE
from deployment.connector import Connector, Progress, check
from deployment.errors import CommandError, DeployError, DeploymentError, NoSpaceError, PlatformError

__all__ = ["MIN_SDK", "abis_of", "check_fits", "install", "installed_sha256", "uninstall"]

MIN_SDK = 26
"""The app's oldest Android: 8.0."""
_INSTALL_S = 300.0

_ADVICE: dict[str, tuple[type[DeployError], str, str]] = {
    "UPDATE_INCOMPATIBLE": (
        CommandError,
        "the app on it was signed with another key",
        "uninstall it first (its key and results go with it): fleet uninstall",
    ),
    "VERSION_DOWNGRADE": (CommandError, "a newer version of the app is on it", "raise version.code, or uninstall it"),
    "INSUFFICIENT_STORAGE": (NoSpaceError, "its storage is full", "make room on it and run this again"),
    "NO_MATCHING_ABIS": (PlatformError, "the app has no code for its processor", "build_apk release --abi universal"),
    "OLDER_SDK": (PlatformError, "its Android is too old for the app", "the app needs Android 8 or later"),
    "USER_RESTRICTED": (
        CommandError,
        "its settings forbid it",
        "allow 'Install via USB' in its developer options, and confirm on the screen",
    ),
    "VERIFICATION_FAILURE": (
        CommandError,
        "its app verifier refuses",
        "switch off 'Verify apps over USB' in its developer options",
    ),
    "INVALID_APK": (CommandError, "Android cannot read the APK", "build it again and verify it: verify_apk"),
}


def installed_sha256(connector: Connector) -> str | None:
    """Return the sha256 of the app's APK as it is on the device; None: the app is not installed."""
    completed = connector.run(["pm", "path", PACKAGE])
    paths = re.findall(r"^package:(.+)$", completed.text, re.MULTILINE)
    base = next((path for path in paths if path.endswith("/base.apk")), paths[0] if paths else None)
    return connector.sha256(base) if base else None


def abis_of(apk: Path) -> set[str]:
    """Return the processors that an APK has native code for.

    Raises
    ------
    deployment.errors.DeploymentError
        It is no APK.
    """
    try:
        with zipfile.ZipFile(apk) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise DeploymentError(f"{apk}: not an APK: {error}") from None
    if "AndroidManifest.xml" not in names:
        raise DeploymentError(f"{apk}: not an APK: it has no AndroidManifest.xml")
    return {name.split("/")[1] for name in names if name.startswith("lib/") and name.count("/") == 2}


def check_fits(connector: Connector, apk: Path) -> None:
    """Refuse an APK that the device cannot run, before it travels.

    Raises
    ------
    deployment.errors.PlatformError
        Its Android is too old, or the APK has no code for its processor.
    """
    have = abis_of(apk)
    text = check(connector, ["getprop"]).text
    properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]\r?$", text, re.MULTILINE))
    sdk = properties.get("ro.build.version.sdk", "")
    if sdk.isdecimal() and int(sdk) < MIN_SDK:
        release = properties.get("ro.build.version.release", "?")
        raise PlatformError(
            connector.name, f"its Android {release} (API {sdk}) is too old", "the app needs Android 8 or later"
        )
    runs = [abi for abi in properties.get("ro.product.cpu.abilist", "").split(",") if abi]
    if have and runs and not have & set(runs):
        raise PlatformError(
            connector.name,
            f"{apk.name} has code for {', '.join(sorted(have))}, and its processor runs {', '.join(runs)}",
            f"android_app/build_apk release --abi {runs[0]}, or universal",
        )


def install(connector: Connector, apk: Path, progress: Progress) -> int:
    """Install or update the app; its settings and its key stay.

    Returns
    -------
    Bytes that travelled.

    Raises
    ------
    deployment.errors.DeployError
        Android's package manager refuses, with what to do about it.
    """
    target = f"/data/local/tmp/pocketfleet-{apk.stat().st_size}.apk"
    moved = connector.put(apk, target, progress=progress)
    # -t: debug builds are marked as such; -r: over an older version.
    completed = connector.run(["pm", "install", "-r", "-t", target], timeout_s=_INSTALL_S)
    output = (completed.stdout + b"\n" + completed.stderr).decode("utf-8", "replace")
    check(connector, ["rm", "-f", target])
    if completed.status == 0 and "Success" in output:
        return moved
    raise _refusal(connector.name, output)


def _refusal(device: str, output: str) -> DeployError:
    found = re.search(r"INSTALL_(?:PARSE_)?FAILED_(\w+)[^\]\n]*", output)
    if found is None:
        lines = output.split("\n")
        return CommandError(device, f"pm install failed: {next((line for line in lines if line.strip()), 'no word')}")
    kind, what, advice = _ADVICE.get(found[1], (CommandError, "pm install failed", ""))
    return kind(device, f"{what} ({found[0].strip()})", advice)


def uninstall(connector: Connector) -> None:
    """Remove the app with its key, settings and results.

    Raises
    ------
    deployment.errors.CommandError
        Android refuses.
    """
    completed = connector.run(["pm", "uninstall", PACKAGE])
    if "Success" not in completed.text:
        raise CommandError(connector.name, f"pm uninstall failed: {completed.complaint or 'no word'}")
