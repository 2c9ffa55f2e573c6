"""What an APK is made of, in bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["print_sizes", "sizes"]


def sizes(apk: Path) -> dict[str, int]:
    """Return the bytes that each part takes in the file: dex, each native library, resources, the rest."""
    parts: dict[str, int] = {}
    with zipfile.ZipFile(apk) as archive:
        for entry in archive.infolist():
            parts[_part(entry.filename)] = parts.get(_part(entry.filename), 0) + entry.compress_size
    parts["signature, alignment, directory"] = apk.stat().st_size - sum(parts.values())
    return parts


def _part(name: str) -> str:
    if name.endswith(".dex"):
        return "dex"
    if name.startswith("lib/"):
        return name
    if name.startswith("res/") or name in ("resources.arsc", "AndroidManifest.xml"):
        return "resources"
    return "other files"


def print_sizes(apk: Path) -> None:
    """Print the APK's size by part."""
    print(f"{apk}: {apk.stat().st_size / 1e6:.2f} MB")
    for part, size in sizes(apk).items():
        print(f"  {size / 1e6:8.3f} MB  {part}")
