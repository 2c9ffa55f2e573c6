"""Files are there whole or not at all, and what goes wrong names them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from model_export.files import write_atomically


def test_a_folder_that_is_not_there_is_told_by_the_file_s_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        write_atomically(tmp_path / "none" / "picture.svg", b"new")
    assert failure.value.filename == str(tmp_path / "none" / "picture.svg")


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as failure:
        write_atomically(tmp_path / "a", b"new")
    assert failure.value.filename == str(tmp_path / "a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
