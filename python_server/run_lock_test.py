from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from python_server.errors import StoreError
from python_server.run_lock import LOCK, holder, stop_holder, take

HOLD = """
import sys, time
from pathlib import Path
from python_server.run_lock import take
lock = take(Path(sys.argv[1]))
print("held", flush=True)
try:
    time.sleep(600)
finally:
    print("ended", flush=True)
"""


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = take(tmp_path)
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(StoreError, match="is in use"):
        take(tmp_path)
    assert holder(tmp_path) == os.getpid(), "who asks in vain wipes nothing out"
    lock.close()
    assert holder(tmp_path) is None
    assert (tmp_path / LOCK).read_text().strip() == str(os.getpid()), "the id stays, but does not count"
    take(tmp_path).close()


def test_the_holder_is_asked_to_stop_and_nobody_else(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert stop_holder(tmp_path) == process.pid
        assert process.wait(180) == -signal.SIGTERM
    assert stop_holder(tmp_path) is None
    (tmp_path / LOCK).write_text(f"{os.getpid()}\n")
    assert stop_holder(tmp_path) is None, "we live, but do not hold it"


def test_another_users_process_counts_but_is_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> None:
        raise PermissionError

    (tmp_path / LOCK).write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(Path, "iterdir", closed)
    assert holder(tmp_path) == os.getpid()
    assert stop_holder(tmp_path) is None


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "99999999999999999999", "²"])
def test_a_lock_without_an_id_has_no_holder(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text, encoding="utf-8")
    assert holder(tmp_path) is None
    assert stop_holder(tmp_path) is None
