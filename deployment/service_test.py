"""The units, read by systemd's own parser where it is installed; systemd itself runs in no test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deployment.service import unit_text

IMAGES = Path(__file__).resolve().parent.parent / "edge_client" / "images"


def complaints(folder: Path, name: str, text: str) -> str:
    """Return what systemd says of a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze (Debian: apt install systemd)")
    (folder / name).write_text(text)
    words = ["systemd-analyze", "verify", "--man=no", str(folder / name)]
    return str(subprocess.run(words, capture_output=True, text=True, check=False).stderr)


@pytest.mark.parametrize("directory", [".pocketfleet", "with a blank", "/mnt/disk"])
def test_the_clients_unit(tmp_path: Path, directory: str) -> None:
    assert complaints(tmp_path, "pocketfleet.service", unit_text(directory)) == ""


def test_the_containers_unit(tmp_path: Path) -> None:
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    text = (IMAGES / "pocketfleet-container.service").read_text().replace("/usr/bin/docker", "/bin/true")
    assert complaints(tmp_path, "pocketfleet-container.service", text) == ""


def test_the_check_sees(tmp_path: Path) -> None:
    text = unit_text(".pocketfleet").replace("Restart=on-failure", "Restart=whenever")
    assert "restart specifier" in complaints(tmp_path, "pocketfleet.service", text)
