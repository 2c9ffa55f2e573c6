"""A test host of the Device Farm on the loopback: carries out a test specification, with a stand-in for ``adb``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import yaml

__all__ = ["carry_out"]


def carry_out(
    host: Path, name: str, package: bytes, specification: bytes, variables: Mapping[str, str]
) -> tuple[bool, dict[str, bytes], bytes]:
    """Do on this machine what a test host would do.

    Parameters
    ----------
    host
        A folder for it.
    name
        Of the run.
    package, specification
        What was uploaded.
    variables
        Of the run's environment.

    Returns
    -------
    tuple
        Whether the tests passed; the files in the log directory; all that was printed.
    """
    host = host if not host.exists() else host.with_name(f"{host.name}-again")
    zipfile.ZipFile(io.BytesIO(package)).extractall(host / "package")
    log = host / "log"
    log.mkdir()
    spec = yaml.safe_load(specification)
    assert spec["version"] == 0.1
    assert set(spec["phases"]) <= {"install", "pre_test", "test", "post_test"}
    environment = {
        "PATH": f"{_tools(host / 'tools')}:{os.environ['PATH']}",
        "DEVICEFARM_DEVICE_UDID": f"udid-{name}",
        "DEVICEFARM_TEST_PACKAGE_PATH": str(host / "package"),
        "DEVICEFARM_LOG_DIR": str(log),
        "FARM_PHONE": str(host / "phone"),
        **variables,
    }
    output, good = b"", True
    for phase in ("install", "pre_test", "test", "post_test"):
        for command in spec["phases"].get(phase, {}).get("commands", []):
            done = subprocess.run(
                ["bash", "-c", command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output += f"[{phase}] {command}\n".encode() + done.stdout
            good &= done.returncode == 0 or phase != "test"
    assert spec["artifacts"] == ["$DEVICEFARM_LOG_DIR"]
    files = {str(file.relative_to(log)): file.read_bytes() for file in log.rglob("*") if file.is_file()}
    return good, files, output


def _tools(folder: Path) -> Path:
    folder.mkdir(parents=True)
    phone = Path(__file__).with_name("farm_phone.py")
    for name, line in (
        ("adb", f'exec {sys.executable} -I -S {phone} "$@"'),
        ("devicefarm-cli", '[ "$*" = "use python 3.11" ]'),
        ("python", f'exec {sys.executable} -I -S "$@"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder
