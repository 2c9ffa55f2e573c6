"""Make the AAR's TensorFlow Lite library usable on Linux with glibc: ``build.py AAR OUTPUT [--machine aarch64]``.

Writes ``libtensorflowlite_jni.so``, patched, and ``libbsh.so``, the shim that it needs. Tests and the desktop program
thus run the very code that phones run. Does nothing where both are newer than what they are made of. Needs no packages.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from patch_elf import SHIM, patch

_LIBRARY = "libtensorflowlite_jni.so"
_HERE = Path(__file__).resolve().parent
_ABI = {"x86_64": "x86_64", "aarch64": "arm64-v8a"}
_COMPILER = {"x86_64": ("gcc", "gcc"), "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")}


def main() -> int:
    """Run the command; 0, or 1 after saying what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aar", type=Path, help="the unpacked AAR of tensorflow-lite")
    parser.add_argument("output", type=Path, help="folder for the two libraries")
    parser.add_argument("--machine", choices=sorted(_ABI), default="x86_64", help="(default: %(default)s)")
    options = parser.parse_args()
    if sys.platform != "linux" or (options.machine == "x86_64" and platform.machine() != "x86_64"):
        print(
            f"{_LIBRARY}: left out: this is {platform.system()} on {platform.machine()}; tests of training and the "
            "desktop client need Linux on x86-64. The Android app does not.",
            file=sys.stderr,
        )
        return 0
    compiler, package = _COMPILER[options.machine]
    if shutil.which(compiler) is None:
        print(f"{compiler} is missing: apt-get install {package}", file=sys.stderr)
        return 1
    source = options.aar / "jni" / _ABI[options.machine] / _LIBRARY
    inputs = (source, *_HERE.glob("*.py"), _HERE / "bionic_shim.c")
    outputs = (options.output / SHIM, options.output / _LIBRARY)
    newest = max(path.stat().st_mtime for path in inputs)
    if all(path.exists() and path.stat().st_mtime >= newest for path in outputs):
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    shim, library = (path.with_suffix(".part") for path in outputs)
    # --no-as-needed: the library finds glibc's functions through the shim's needs, -lm among them.
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{SHIM}", "-Wl,--no-as-needed"]
    compiled = subprocess.run([compiler, *flags, "-o", shim, _HERE / "bionic_shim.c", "-lm", "-ldl"], check=False)
    if compiled.returncode:
        print(f"{compiler} could not compile bionic_shim.c; is libc6-dev installed?", file=sys.stderr)
        return 1
    library.write_bytes(patch(source.read_bytes()))
    os.replace(shim, outputs[0])
    os.replace(library, outputs[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
