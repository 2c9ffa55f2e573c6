from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deployment.errors import CommandError, NotThereError
from deployment.inventory import DeviceEntry
from deployment.local import LocalConnector
from deployment.operations.calibrate import BundleFile, _calibrate


@pytest.mark.parametrize(
    ("client", "error"), [("", NotThereError), ("raise SystemExit('no runtime')", CommandError), ("", CommandError)]
)
def test_what_was_sent_is_removed_where_calibration_fails(client: str, error: type[Exception], tmp_path: Path) -> None:
    device = DeviceEntry("board", "local", python=sys.executable, directory=str(tmp_path / "board"))
    bundle = BundleFile("cnn", b"a bundle")
    sent = tmp_path / "board" / bundle.place
    sent.parent.mkdir(parents=True)
    sent.write_bytes(bundle.content)
    if error is not NotThereError:
        package = tmp_path / "board/current/client/edge_client"
        package.mkdir(parents=True)
        (package.parent.parent / "run.sh").touch()
        (package / "cli.py").write_text(client)
    with pytest.raises(error):
        _calibrate(LocalConnector("board", home=tmp_path), device, bundle, {}, [])
    assert not (tmp_path / "board/calibrate").exists()
