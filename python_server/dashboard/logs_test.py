from __future__ import annotations

from pathlib import Path

import pytest

from python_server.dashboard.logs import read_log
from python_server.errors import StoreError


@pytest.fixture(name="file")
def make_file(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "superlink.log"


def test_a_log_comes_in_pieces(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"one\ntwo\nhal")
    first = read_log(tmp_path, "superlink", 0)
    assert first == {"text": "one\ntwo\n", "end": 8, "skipped": False}
    file.write_bytes(b"one\ntwo\nhalf\n")
    assert read_log(tmp_path, "superlink", 8) == {"text": "half\n", "end": 13, "skipped": False}
    assert read_log(tmp_path, "superlink", 13) == {"text": "", "end": 13, "skipped": False}
    file.write_bytes(b"anew\n")
    assert read_log(tmp_path, "superlink", 13) == {"text": "anew\n", "end": 5, "skipped": False}


def test_of_a_long_log_the_end_is_told(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"".join(b"%07d\n" % number for number in range(50_000)))
    told = read_log(tmp_path, "superlink", 8)
    assert told["skipped"]
    assert told["end"] == 400_000
    lines = told["text"].splitlines()
    assert 8000 < len(lines) <= 8192
    assert lines == [f"{number:07d}" for number in range(50_000 - len(lines), 50_000)]
    file.write_bytes(b"x" * 200_000)
    told = read_log(tmp_path, "superlink", 0)
    assert (len(told["text"]), told["end"]) == (65536, 200_000), "a line without an end does not stop it"


def test_what_a_terminal_would_obey_is_taken_out(tmp_path: Path, file: Path) -> None:
    file.write_bytes("\x1b[31mred\x1b[0m \x07\u202eevil\u202c <b>\r\n\xff".encode() + b"\xff\xfe\n")
    assert read_log(tmp_path, "superlink", 0)["text"] == "red evil <b>\nÿ\ufffd\ufffd\n"


@pytest.mark.parametrize("name", ["", "other", "../experiment", "superlink.log", "/etc/passwd", "link", "*"])
def test_only_the_runs_own_logs_are_read(tmp_path: Path, file: Path, name: str) -> None:
    file.write_text("x\n")
    (tmp_path / "experiment.log").write_text("secret\n")
    file.with_name("link.log").symlink_to(tmp_path / "experiment.log")
    with pytest.raises(StoreError, match="has no log"):
        read_log(tmp_path, name, 0)
