"""Which TensorFlow Lite runtime, and which wheels, fit a board: decided from facts, before anything is sent.

The table below is what package indexes had in November 2026 (PyPI's pages of the two runtimes; a resolver's dry run for
the client's other needs). It says which wheels can be installed. Whether training was ever tried with one is another
matter: docs/boards.md.

A board's own Python need not be the one that is used: a standalone Python of 3.9 or later, in a directory or in a
container, serves as well. So the answer for a board that is too old names what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployment.errors import PlatformError

__all__ = ["EXTRAS", "OLDEST_PYTHON", "RUNTIMES", "Platform", "Runtime", "Wheels", "fitting_runtimes"]

OLDEST_PYTHON = (3, 9)
_CLIENT_NEWEST_PYTHON = (3, 13)
_OLDEST_GLIBC = (2, 17)

EXTRAS: dict[str, tuple[str, ...]] = {
    "edge": ("protobuf>=4.25", "cryptography>=42", "urllib3>=2.2", "pillow>=10"),
    "edge-legacy": ("numpy<2", "protobuf>=4.25", "cryptography>=42", "urllib3>=2.2", "pillow>=10"),
}
"""What the client needs beside a runtime, by the name of the extra in pyproject.toml."""

_ARCHITECTURES = {
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv8l": "armv7l",  # a 32-bit process on a 64-bit kernel
    "armv7l": "armv7l",
    "x86_64": "x86_64",
    "amd64": "x86_64",
}
_MANYLINUX = (17, 27, 28, 31, 34, 35, 36, 38, 39, 40, 41, 42)
"""Minor versions of glibc 2 for which wheels are tagged."""


@dataclass(frozen=True)
class Platform:
    """What decides: facts of the board's userland, not of its kernel.

    Attributes
    ----------
    machine
        ``uname -m``.
    python
        Version of the Python that would be used, major and minor; None: there is none.
    glibc
        Version of the C library; None: another one than glibc.
    pointer_bits
        Of that Python: a 32-bit Raspberry Pi OS runs on a 64-bit kernel, whose ``uname -m`` says aarch64.
    jetpack
        Major version of NVIDIA's JetPack, for words only; 0: not a Jetson, or not known.
    """

    machine: str
    python: tuple[int, int] | None
    glibc: tuple[int, int] | None
    pointer_bits: int = 64
    jetpack: int = 0

    @property
    def architecture(self) -> str:
        """Architecture as wheels name it; empty where the client has none."""
        found = _ARCHITECTURES.get(self.machine.lower(), "")
        return "armv7l" if found == "aarch64" and self.pointer_bits == 32 else found


@dataclass(frozen=True)
class Wheels:
    """One version of a runtime, as it was published.

    Attributes
    ----------
    package, version
        Name and version.
    extra
        The client's extra that goes with it; see `EXTRAS`.
    oldest_python, newest_python
        The Pythons it was built for.
    glibc
        Oldest glibc by architecture.
    """

    package: str
    version: str
    extra: str
    oldest_python: tuple[int, int]
    newest_python: tuple[int, int]
    glibc: dict[str, tuple[int, int]]

    def fits(self, platform: Platform) -> bool:
        """Tell whether a wheel of this version can be installed there."""
        needed = self.glibc.get(platform.architecture)
        if needed is None or platform.glibc is None or platform.python is None:
            return False
        return self.oldest_python <= platform.python <= self.newest_python and platform.glibc >= needed


# The first that fits is taken. The versions on which the tests train come first.
_PUBLISHED = (
    Wheels("ai-edge-litert", "2.3.0", "edge", (3, 10), (3, 14), {"x86_64": (2, 27), "aarch64": (2, 27)}),
    Wheels("ai-edge-litert", "2.1.0", "edge", (3, 9), (3, 13), {"x86_64": (2, 27), "aarch64": (2, 27)}),
    Wheels(
        "tflite-runtime",
        "2.14.0",
        "edge-legacy",
        (3, 8),
        (3, 11),
        {"x86_64": (2, 17), "aarch64": (2, 34), "armv7l": (2, 34)},
    ),
    Wheels(
        "tflite-runtime",
        "2.13.0",
        "edge-legacy",
        (3, 8),
        (3, 10),
        {"x86_64": (2, 17), "aarch64": (2, 17), "armv7l": (2, 17)},
    ),
)
RUNTIMES = tuple(dict.fromkeys(wheels.package for wheels in _PUBLISHED))
"""Packages that a device may be told to take."""


@dataclass(frozen=True)
class Runtime:
    """What to install on a board.

    Attributes
    ----------
    package, version
        The TensorFlow Lite runtime.
    requirements
        All that pip has to be asked for, the runtime first; the client itself is not among them.
    python_version
        As ``pip download --python-version`` takes it.
    platforms
        As ``pip download --platform`` takes them, the newest first.
    extra_index
        A further index without which the wheels are not found; empty: PyPI has all.
    """

    package: str
    version: str
    requirements: tuple[str, ...]
    python_version: str
    platforms: tuple[str, ...]
    extra_index: str = ""

    @property
    def name(self) -> str:
        """Package and version, for people and for files."""
        return f"{self.package}-{self.version}"


def fitting_runtimes(device: str, platform: Platform, package: str = "") -> list[Runtime]:
    """Return what can be installed on a board, best first.

    Where one does not train on a board, another version of it will hardly do: the other package comes next.

    Parameters
    ----------
    device
        Its name, for messages.
    platform
        Its facts.
    package
        This one of `RUNTIMES` alone; empty: all.

    Raises
    ------
    deployment.errors.PlatformError
        Nothing fits; the message says which fact stands in the way and what to do about it.
    """
    _check(device, platform)
    fitting = [each for each in _PUBLISHED if each.fits(platform)]
    wanted = [each for each in fitting if package in ("", each.package)]
    if not wanted:
        raise PlatformError(
            device,
            f"{package or 'no TensorFlow Lite runtime'} has {'no ' if package else ''}wheels for "
            f"{platform.architecture} with {_python(platform)} and {_glibc(platform)}",
            f"leave out `runtime` in its table: {fitting[0].package} has" if fitting else _WAYS_OUT,
        )
    newest = {each.package: each for each in reversed(wanted)}
    wanted.sort(key=lambda each: newest[each.package] is not each)
    return [_runtime(each, platform) for each in wanted]


def _runtime(wheels: Wheels, platform: Platform) -> Runtime:
    assert platform.python is not None
    assert platform.glibc is not None
    return Runtime(
        wheels.package,
        wheels.version,
        (f"{wheels.package}=={wheels.version}", *EXTRAS[wheels.extra]),
        f"{platform.python[0]}.{platform.python[1]}",
        _tags(platform.architecture, platform.glibc),
        # NumPy, Pillow and cryptography are built for 32-bit ARM by the Raspberry Pi's own index alone.
        "https://www.piwheels.org/simple" if platform.architecture == "armv7l" else "",
    )


_WAYS_OUT = "use the container image (docs/boards.md), or a newer system"


def _check(device: str, platform: Platform) -> None:
    """Refuse what no table has to be read for."""
    if not platform.architecture:
        raise PlatformError(
            device,
            f"its processor is {platform.machine or 'unknown'}, for which TensorFlow Lite publishes no runtime",
            "boards need arm64 (aarch64), 32-bit ARM (armv7l) or x86-64",
        )
    if platform.glibc is None:
        raise PlatformError(
            device, "its C library is not glibc, which TensorFlow Lite's wheels are built for", _WAYS_OUT
        )
    if platform.glibc < _OLDEST_GLIBC:
        raise PlatformError(device, f"it has {_glibc(platform)}; wheels need 2.17 or newer", _WAYS_OUT)
    if platform.python is None:
        raise PlatformError(device, "it has no Python 3", "install Python 3.9 to 3.13 on it")
    if platform.python < OLDEST_PYTHON:
        raise PlatformError(device, f"it has {_python(platform)}; the client needs 3.9 to 3.13", _older(platform))
    if platform.python > _CLIENT_NEWEST_PYTHON:
        raise PlatformError(
            device,
            f"it has {_python(platform)}, which the client was never tried with",
            "install Python 3.13 or older beside it and name it as the device's `python`",
        )


def _older(platform: Platform) -> str:
    """Return what to do about a Python that is too old."""
    if platform.jetpack == 5:
        return (
            "install Ubuntu's packages python3.9 and python3.9-venv and name python3.9 as the device's `python`, or "
            "use the container image edge_client/images/jetson.Dockerfile (docs/boards.md)"
        )
    if platform.jetpack == 4:
        return (
            f"JetPack 4 with {_python(platform)} will get no newer one: use the container image "
            "edge_client/images/jetson.Dockerfile, which brings its own Python, or put a standalone Python 3.10 on the "
            "board and name it as the device's `python` (docs/boards.md)"
        )
    return "install a standalone Python 3.10 on it and name it as the device's `python`, or use the container image"


def _tags(architecture: str, glibc: tuple[int, int]) -> tuple[str, ...]:
    newest_first = (minor for minor in reversed(_MANYLINUX) if (2, minor) <= glibc)
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in newest_first]
    tags.append(f"manylinux2014_{architecture}")
    if architecture == "armv7l":
        tags.append("linux_armv7l")  # how piwheels tags what it builds
    return tuple(tags)


def _python(platform: Platform) -> str:
    assert platform.python is not None
    return f"Python {platform.python[0]}.{platform.python[1]}"


def _glibc(platform: Platform) -> str:
    assert platform.glibc is not None
    return f"glibc {platform.glibc[0]}.{platform.glibc[1]}"
