from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from deployment.errors import PlatformError
from deployment.runtimes import EXTRAS, Platform, fitting_runtimes

BOARDS = {
    # name: facts, runtime, newest platform tag
    "Raspberry Pi OS 13, 64 bits": (
        Platform("aarch64", (3, 13), (2, 41)),
        "ai-edge-litert==2.3.0",
        "manylinux_2_41_aarch64",
    ),
    "Raspberry Pi OS 12, 64 bits": (
        Platform("aarch64", (3, 11), (2, 36)),
        "ai-edge-litert==2.3.0",
        "manylinux_2_36_aarch64",
    ),
    "Raspberry Pi OS 11, 64 bits": (
        Platform("aarch64", (3, 9), (2, 31)),
        "ai-edge-litert==2.1.0",
        "manylinux_2_31_aarch64",
    ),
    "Raspberry Pi OS 12, 32 bits on a 64-bit kernel": (
        Platform("aarch64", (3, 11), (2, 36), pointer_bits=32),
        "tflite-runtime==2.14.0",
        "manylinux_2_36_armv7l",
    ),
    "Raspberry Pi OS 11, 32 bits": (
        Platform("armv7l", (3, 9), (2, 31)),
        "tflite-runtime==2.13.0",
        "manylinux_2_31_armv7l",
    ),
    "JetPack 6 (Ubuntu 22.04)": (
        Platform("aarch64", (3, 10), (2, 35), jetpack=6),
        "ai-edge-litert==2.3.0",
        "manylinux_2_35_aarch64",
    ),
    "JetPack 4 with a standalone Python 3.10": (
        Platform("aarch64", (3, 10), (2, 27), jetpack=4),
        "ai-edge-litert==2.3.0",
        "manylinux_2_27_aarch64",
    ),
    "CentOS 7 with a newer Python": (
        Platform("x86_64", (3, 9), (2, 17)),
        "tflite-runtime==2.14.0",
        "manylinux_2_17_x86_64",
    ),
}


@pytest.mark.parametrize("board", BOARDS)
def test_what_fits(board: str) -> None:
    platform, runtime, newest = BOARDS[board]
    (choice, *_) = fitting_runtimes("kitchen", platform)
    assert choice.requirements[0] == runtime
    assert choice.platforms[0] == newest
    assert f"manylinux2014_{platform.architecture}" in choice.platforms
    assert ("numpy<2" in choice.requirements) == runtime.startswith("tflite")
    assert ("piwheels" in choice.extra_index) == (platform.architecture == "armv7l")


REFUSED = {
    "JetPack 4": (Platform("aarch64", (3, 6), (2, 27), jetpack=4), ["Python 3.6", "JetPack 4", "jetson.Dockerfile"]),
    "JetPack 4 with Ubuntu's Python 3.8": (
        Platform("aarch64", (3, 8), (2, 27), jetpack=4),
        ["Python 3.8", "3.9 to 3.13", "standalone Python 3.10"],
    ),
    "JetPack 5": (Platform("aarch64", (3, 8), (2, 31), jetpack=5), ["Python 3.8", "python3.9-venv", "container image"]),
    "Debian 10": (Platform("aarch64", (3, 7), (2, 28)), ["Python 3.7", "standalone"]),
    "Pi Zero": (Platform("armv6l", (3, 11), (2, 36)), ["armv6l", "no runtime"]),
    "Alpine": (Platform("aarch64", (3, 12), None), ["not glibc", "container"]),
    "no Python": (Platform("aarch64", None, (2, 36)), ["no Python 3", "install"]),
    "Python 3.14": (Platform("aarch64", (3, 14), (2, 41)), ["3.14", "3.13 or older"]),
    "32 bits with Python 3.13": (Platform("armv7l", (3, 13), (2, 41)), ["armv7l", "Python 3.13", "container"]),
    "old C library": (Platform("x86_64", (3, 9), (2, 12)), ["glibc 2.12", "2.17"]),
}


@pytest.mark.parametrize("board", REFUSED)
def test_what_does_not_fit_is_said_in_one_line(board: str) -> None:
    platform, words = REFUSED[board]
    with pytest.raises(PlatformError) as raised:
        fitting_runtimes("kitchen", platform)
    line = str(raised.value)
    assert line.startswith("kitchen: ")
    assert "\n" not in line
    for word in words:
        assert word in line


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for extra, requirements in EXTRAS.items():
        runtime = re.compile(r"ai-edge-litert|tflite-runtime")
        declared = [each for each in project["optional-dependencies"][extra] if not runtime.match(each)]
        assert list(requirements) == declared


def test_another_runtime_may_be_asked_for() -> None:
    bookworm = Platform("aarch64", (3, 11), (2, 36))
    (choice, *_) = fitting_runtimes("kitchen", bookworm, "tflite-runtime")
    assert choice.requirements[:2] == ("tflite-runtime==2.14.0", "numpy<2")
    with pytest.raises(
        PlatformError,
        match=r"^kitchen: tflite-runtime has no wheels for aarch64 with Python 3.13 and glibc 2.41; "
        "leave out `runtime` in its table: ai-edge-litert has$",
    ):
        fitting_runtimes("kitchen", Platform("aarch64", (3, 13), (2, 41)), "tflite-runtime")
