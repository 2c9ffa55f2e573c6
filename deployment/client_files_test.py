from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from deployment.client_files import client_archive, folder_digest, write_folder_archive
from deployment.errors import DeploymentError


def test_a_folder_is_the_same_bytes_wherever_it_goes_and_whenever_it_was_made(tmp_path: Path) -> None:
    for folder, names in (("one", ("b/x.png", "a.png")), ("two", ("a.png", "b/x.png"))):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 100)
            os.utime(path, (len(folder), 5))
    archive = io.BytesIO()
    write_folder_archive(tmp_path / "one", archive.write)
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")
    assert folder_digest(tmp_path / "one") == (hashlib.sha256(archive.getvalue()).hexdigest(), len(archive.getvalue()))
    with zipfile.ZipFile(archive) as back:
        assert back.namelist() == ["a.png", "b/x.png"]
        assert back.read("b/x.png") == b"b/x.png" * 100
        assert back.testzip() is None
    (tmp_path / "two/a.png").write_bytes(b"other")
    assert folder_digest(tmp_path / "one") != folder_digest(tmp_path / "two")


def test_a_large_folder_is_never_in_memory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.npy").write_bytes(bytes(40_000_000))
    tracemalloc.start()
    try:
        digest = folder_digest(tmp_path / "data")
        with (tmp_path / "sent").open("wb") as file:
            write_folder_archive(tmp_path / "data", file.write)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert digest[1] == (tmp_path / "sent").stat().st_size


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/loop").symlink_to("loop")
    (tmp_path / "data/gone").symlink_to("nowhere")
    assert folder_digest(tmp_path / "data")[1] == 22, "links to nothing are no files"
    with pytest.raises(DeploymentError, match="there: cannot be packed: No space"):
        write_folder_archive(tmp_path / "data", full)


def full(block: bytes) -> None:
    raise OSError(28, "No space left on device", "there")


def test_the_client_is_the_same_bytes_each_time() -> None:
    archive = client_archive()
    client_archive.cache_clear()
    assert client_archive() == archive
    with zipfile.ZipFile(io.BytesIO(archive)) as back:
        assert "edge_client/cli.py" in back.namelist()
        assert not [name for name in back.namelist() if name.endswith("_test.py")]
