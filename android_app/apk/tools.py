"""The programs that build and check an APK, and where Maven has put what they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ANDROID", "BuildError", "android_classes", "maven", "need", "property_of", "run", "tools_classpath"]

ANDROID = Path(__file__).resolve().parent.parent

PACKAGES = {
    "aapt2": "aapt",
    "apksigner": "apksigner",
    "dexdump": "dexdump",
    "java": "default-jdk-headless",
    "keytool": "default-jdk-headless",
    "mvn": "maven",
    "zipalign": "zipalign",
}
"""Debian's package of each program."""

_POM = "{http://maven.apache.org/POM/4.0.0}"


class BuildError(Exception):
    """The APK cannot be built, or is not as it has to be; the message says what to do."""


def need(programs: Sequence[str]) -> None:
    """Check that programs are installed.

    Raises
    ------
    BuildError
        Some are not; the message names their Debian packages.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        raise BuildError(f"{', '.join(missing)}: not installed. On Debian and Ubuntu: apt-get install {packages}")


def run(command: Sequence[str | Path], *, quiet: str | None = "") -> str:
    """Run a program and return what it printed.

    Parameters
    ----------
    command
        Program and arguments.
    quiet
        Lines of its error output that hold this text are not shown; None: none is shown unless it fails.

    Raises
    ------
    BuildError
        It failed; its output has been shown.
    """
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    errors = [line for line in result.stderr.splitlines() if not quiet or quiet not in line]
    if result.returncode:
        print(result.stdout, *errors, sep="\n", file=sys.stderr)
        raise BuildError(f"{Path(str(command[0])).name} failed ({result.returncode})")
    if errors and quiet is not None:
        print(*errors, sep="\n", file=sys.stderr)
    return result.stdout


def maven(arguments: Sequence[str], *, google: bool) -> None:
    """Run Maven in the project, with Google's repository if asked for."""
    profile = ["-Pgoogle"] if google else []
    # Not run(): what Maven downloads should be seen while it does.
    command = ["mvn", "-B", "-q", *profile, *arguments]
    if subprocess.run(command, cwd=ANDROID, check=False).returncode:
        raise BuildError(
            f"`{' '.join(command)}` failed in {ANDROID}"
            + ("" if google else "; if it could not find com.android.tools:r8 or androidx.test:monitor, add --google")
        )


def tools_classpath(*, google: bool) -> list[Path]:
    """Return the jars of ``tools/pom.xml``, fetched through Maven if they are not there."""
    listing = ANDROID / "tools" / "target" / "classpath.txt"
    pom = ANDROID / "tools" / "pom.xml"
    changed = max(pom.stat().st_mtime, (ANDROID / "pom.xml").stat().st_mtime)
    if not listing.exists() or listing.stat().st_mtime < changed:
        maven(["-f", str(pom), "dependency:build-classpath", f"-Dmdep.outputFile={listing}"], google=google)
    jars = [Path(entry) for entry in listing.read_text().strip().split(":")]
    gone = [jar for jar in jars if not jar.exists()]
    if gone:
        listing.unlink()
        raise BuildError(f"{gone[0]}: Maven's copy is gone; run this again to fetch it")
    return jars


def android_classes(jars: Sequence[Path]) -> Path:
    """Return a jar of Android's classes alone; D8 reads it five times as fast as the one with the resources."""
    (source,) = (jar for jar in jars if jar.name.startswith("android-all-"))
    target = ANDROID / "tools" / "target" / source.name.replace("android-all", "android-classes")
    prefixes = ("android/", "com/android/internal/", "dalvik/", "javax/", "libcore/", "org/")
    if not target.exists():
        temporary = target.with_suffix(".part")
        with zipfile.ZipFile(source) as everything, zipfile.ZipFile(temporary, "w") as classes:
            for name in everything.namelist():
                if name.endswith(".class") and name.startswith(prefixes):
                    classes.writestr(name, everything.read(name))
        temporary.rename(target)
    return target


def property_of(name: str) -> str:
    """Return a property of the parent pom, or its version for ``version``."""
    root = ET.parse(ANDROID / "pom.xml").getroot()  # noqa: S314 (our own file)
    value = root.findtext(f"{_POM}version" if name == "version" else f"{_POM}properties/{_POM}{name}")
    if value is None:
        raise BuildError(f"{ANDROID / 'pom.xml'}: has no {name}")
    return value
