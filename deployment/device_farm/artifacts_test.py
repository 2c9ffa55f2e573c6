from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from deployment.device_farm import artifacts
from deployment.device_farm.artifacts import merge_into_run, unpack
from deployment.device_farm.errors import FarmDownloadError


def archive(folder: Path, **files: str) -> Path:
    target = folder / "a.zip"
    with zipfile.ZipFile(target, "w") as content:
        for name, text in files.items():
            content.writestr(name, text)
    return target


def test_our_files_come_to_the_top(tmp_path: Path) -> None:
    files = {
        "Host_Machine_Files/$DEVICEFARM_LOG_DIR/phone.json": "{}",
        "Host_Machine_Files/$DEVICEFARM_LOG_DIR/results/r": "1",
    }
    unpack(archive(tmp_path, **files), tmp_path)
    assert (tmp_path / "phone.json").read_text() == "{}"
    unpack(archive(tmp_path, **{**files, "Host_Machine_Files/$DEVICEFARM_LOG_DIR/results/r": "2"}), tmp_path)
    assert (tmp_path / "results/r").read_text() == "2"
    assert not (tmp_path / ".unpacking").exists()


def test_a_layout_that_nobody_knows_is_kept_as_it_is(tmp_path: Path) -> None:
    unpack(archive(tmp_path, **{"somewhere/else.txt": "x"}), tmp_path)
    assert (tmp_path / "somewhere/else.txt").read_text() == "x"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    phone = tmp_path / "phone"
    phone.mkdir()
    with pytest.raises(FarmDownloadError, match="would be written elsewhere"):
        unpack(archive(tmp_path, **{"phone.json": "{}", name: "x"}), phone)
    assert not list(phone.iterdir())
    assert not (tmp_path / "evil").exists()


def test_damaged_and_oversized_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "a.zip"
    broken.write_bytes(b"PK no zip")
    with pytest.raises(FarmDownloadError, match="damaged; repeat the command"):
        unpack(broken, tmp_path)
    assert not broken.exists()  # so that it is fetched anew
    monkeypatch.setattr(artifacts, "MAX_UNPACKED_BYTES", 3)
    with pytest.raises(FarmDownloadError, match="holds more than"):
        unpack(archive(tmp_path, **{"phone.json": "four"}), tmp_path)


def test_only_a_run_is_merged_into(tmp_path: Path) -> None:
    with pytest.raises(FarmDownloadError, match="no run directory"):
        merge_into_run(tmp_path, tmp_path)
