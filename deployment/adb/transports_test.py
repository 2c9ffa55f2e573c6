from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deployment.adb import transports
from deployment.errors import PlatformError


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            "raise ImportError('no')",
            "pixel: USB needs the Python package libusb1: pip install libusb1; or start",
        ),
        ("raise OSError(2, 'no')", "pixel: USB needs libusb's own library: apt install libusb-1.0-0; or start the adb"),
        ("class USBError(Exception): pass\nraise USBError('LIBUSB_ERROR_OTHER')", r"USB cannot be opened .*_OTHER"),
    ],
)
def test_what_usb_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: str) -> None:
    (tmp_path / "usb1.py").write_text(fault)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("usb1", "adb_shell.transport.usb_transport"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(PlatformError, match=words):
        transports.UsbTransport("pixel", "1234")
    assert transports.usb_serials() == []
