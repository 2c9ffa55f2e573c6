"""The report in a real browser: it renders, light and dark, wide and narrow, and asks the network for nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from python_server.report import write_comparison, write_report
from python_server.run_rows import DeviceRoundRow, DeviceRow, RoundRow
from python_server.store import RoundCommit, RunStore
from tests.browser import CHROMIUM, FLAGS

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install it to look at the report"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "run"
    store = RunStore.create(path, b'name = "browser"\n', {"name": "browser"})
    for number in range(6):
        devices = [DeviceRow(f"d{i}", f"device {i}", "cpu", True, 0.0, 1.0, {}) for i in range(3)]
        rows = [
            DeviceRoundRow(
                number, f"d{i}", f"device {i}", "ok", plan={"epochs": 1, "cutoff_s": 0.0}, train_s=1.0 + i,
                train_loss=1.0, examples_processed=5, steps=4, download_s=0.2, upload_s=0.3, read_after_s=3.0 + i,
                energy_j=4.0, energy_idle_j=1.0, energy_method="modelled", energy_source="CPU time",
                download_bytes=1000, upload_bytes=1000,
            )
            for i in range(3)
        ]  # fmt: skip
        row = RoundRow(number, 1, 0.0, 6.0, 5.0, 0.1, 0.2, 3, 3, 9, "", "", loss=1 / (number + 1), accuracy=number / 6)
        store.commit(
            RoundCommit(row, {"w": np.zeros(1, np.float32)}, devices=devices, device_rounds=rows if number else [])
        )
    store.close()
    return write_report(path)


def _browse(page: Path, profile: Path, *options: str) -> str:
    command = [str(CHROMIUM), *FLAGS, "--enable-logging=stderr", f"--user-data-dir={profile}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    # The browser's own chatter about a missing desktop is not the page's.
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "ERR_" in line]
    assert not complaints
    return done.stdout


def test_page_loads_alone_and_without_complaint(page: Path, tmp_path: Path) -> None:
    shown = _browse(page, tmp_path, "--dump-dom")
    assert shown.count("<svg") == 13
    assert "device 2" in shown


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (420, False)])
def test_page_is_painted(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    picture = tmp_path / "page.png"
    options = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    _browse(page, tmp_path / "profile", *options, f"--window-size={width},1600", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    background = pixels[2, 2]
    assert bool(background.mean() < 60) is dark
    # Lines and bars in the page's colours: clearly coloured pixels, not only text in shades of grey.
    coloured = (pixels.max(2) - pixels.min(2) > 90).sum()
    assert coloured > 2000
    # Nothing sticks out to the right: the last column is background all the way down.
    assert (abs(pixels[:, -1] - background).max(1) < 8).mean() > 0.98


def test_a_comparison_loads_alone(page: Path, tmp_path: Path) -> None:
    output = tmp_path / "comparison.html"
    write_comparison([page.parent, page.parent, tmp_path / "nothing"], output)
    shown = _browse(output, tmp_path / "profile", "--dump-dom")
    assert shown.count("<svg") == 4
    assert "nothing is not a run directory" in shown


def test_page_prints_on_few_sheets(page: Path, tmp_path: Path) -> None:
    _browse(page, tmp_path / "profile", f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer")
    sheets = re.findall(rb"/Type */Page\b", (tmp_path / "page.pdf").read_bytes())
    assert 2 <= len(sheets) <= 6
