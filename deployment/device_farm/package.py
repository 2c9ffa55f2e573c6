"""The test package: everything that a test host needs beside the app, in one zip.

Device Farm runs its own kinds of tests only, so ours is an *Appium Python* package with a custom test environment: the
one kind whose package may hold any files and whose test specification any commands. Nothing of Appium is used.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deployment.device_farm.errors import FarmPlanError
from deployment.device_farm.plan import FarmPlan

__all__ = ["PACKAGE_KIND", "SPEC_KIND", "TEST_KIND", "data_name", "test_spec", "write_package"]

TEST_KIND = "APPIUM_PYTHON"
PACKAGE_KIND = "APPIUM_PYTHON_TEST_PACKAGE"
SPEC_KIND = "APPIUM_PYTHON_TEST_SPEC"
_HERE = Path(__file__).parent
_WHEEL = "pocketfleet_farm-1.0"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def test_spec() -> Path:
    """Return the file of the test specification."""
    return _HERE / "test_spec.yml"


def data_name(index: int) -> str:
    """Return what a phone's data file is called in the package."""
    return f"{index:03d}.npz"


def write_package(plan: FarmPlan, data: Sequence[Path], target: Path) -> Path:
    """Write the package; the same inputs give the same bytes, so that an earlier upload is found.

    Parameters
    ----------
    plan
        Whose invitation goes in.
    data
        The phones' data files, in their order.
    target
        The zip to write.

    Raises
    ------
    FarmPlanError
        A file cannot be read.
    """
    try:
        with zipfile.ZipFile(target, "w") as archive:
            _add(archive, "tests/test_phone.py", (_HERE / "phone_program.py").read_bytes())
            _add(archive, "invitation.json", plan.invitation.read_bytes())
            # Device Farm's check of such a package asks for requirements and at least one wheel; nobody installs them.
            _add(archive, "requirements.txt", b"pocketfleet-farm==1.0\n")
            _add(archive, f"wheelhouse/{_WHEEL}-py3-none-any.whl", _empty_wheel(target.with_suffix(".whl")))
            for index, file in enumerate(data):
                place = _entry(f"data/{data_name(index)}")
                with archive.open(place, "w", force_zip64=True) as entry, file.open("rb") as content:
                    shutil.copyfileobj(content, entry, 1 << 20)
    except OSError as error:
        raise FarmPlanError(f"{error.filename or target}: {(error.strerror or str(error)).lower()}") from None
    return target


def _empty_wheel(scratch: Path) -> bytes:
    info = f"{_WHEEL}.dist-info"
    with zipfile.ZipFile(scratch, "w") as wheel:
        _add(wheel, f"{info}/METADATA", b"Metadata-Version: 2.1\nName: pocketfleet-farm\nVersion: 1.0\n")
        _add(wheel, f"{info}/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        _add(wheel, f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n".encode())
    content = scratch.read_bytes()
    scratch.unlink()
    return content


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content, zipfile.ZIP_DEFLATED)
