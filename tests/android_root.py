"""A folder that looks like Android's file system: mksh as its shell and toybox's commands, as on a phone.

Commands run in it by ``chroot``. What Android adds (``am``, ``pm``, ``getprop``, ...) is asked of this process, so that
a test sees and decides what they do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.java_client import missing

__all__ = ["AndroidRoot", "Answer"]

Answer = tuple[int, str]
_ASKED = ("am", "pm", "getprop", "dumpsys", "logcat", "run-as", "pidof")
# A call leaves its words in a folder of its own, names the folder in a pipe, and waits at another pipe.
_ASK = """#!/system/bin/sh
d=/dev/android/$$
mkdir "$d" && mkfifo "$d/status" || exit 125
printf '%s\\0' "${0##*/}" "$@" > "$d/words"
echo $$ > /dev/android/calls
read -r status < "$d/status"
cat "$d/output"
rm -r "$d"
exit "$status"
"""


class AndroidRoot:
    """The folder.

    Parameters
    ----------
    path
        A new folder; or one that has a shell and commands already, which then only gets Android's own.
    answer
        Called with the words of a command of Android's own; returns exit status and output.
    """

    def __init__(self, path: Path, answer: Callable[[Sequence[str]], Answer]) -> None:
        if lacking := [program for program in ("toybox", "mksh-static", "chroot") if _find(program) is None]:
            missing(f"an Android-like folder needs {', '.join(lacking)} (Debian: apt install mksh toybox)")
        if os.geteuid() != 0:
            pytest.skip("chroot needs root")
        self.path = path
        self._answer = answer
        for name in ("system/bin", "dev/android", "data/local/tmp", "data/app", "sdcard/Android/data", "proc", "sys"):
            (path / name).mkdir(parents=True, exist_ok=True)
        if not (path / "dev/null").exists():
            os.mknod(path / "dev/null", 0o666 | 0o020000, os.makedev(1, 3))
            os.chmod(path / "dev/null", 0o666)
        (path / "proc/meminfo").write_text("MemTotal:        7812345 kB\nMemFree:          123456 kB\n")
        (path / "proc/uptime").write_text("4711.42 30000.00\n")
        if (path / "system/bin/cat").is_symlink():
            (path / "system/bin/sh").symlink_to("/bin/sh")
        else:
            self._programs()
        for name in _ASKED:
            (path / "system/bin" / name).unlink(missing_ok=True)
            (path / "system/bin" / name).write_text(_ASK)
            (path / "system/bin" / name).chmod(0o755)
        os.mkfifo(path / "dev/android/calls")
        # Opened for both, so that it never ends.
        self._calls = os.open(path / "dev/android/calls", os.O_RDWR)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def file(self, path: str) -> Path:
        """Return where a file of the phone is."""
        return self.path / path.lstrip("/")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start shell text, with pipes to all three of its files."""
        return subprocess.Popen(
            [str(_find("chroot")), str(self.path), "/system/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/system/bin", "HOME": "/", "ANDROID_ROOT": "/system"},
            start_new_session=True,
        )

    def close(self) -> None:
        """Answer no more."""
        os.write(self._calls, b"end\n")
        self._thread.join(5)
        os.close(self._calls)

    def _programs(self) -> None:
        programs = self.path / "system/bin"
        toybox = _find("toybox")
        assert toybox is not None
        shutil.copy2(str(_find("mksh-static")), programs / "sh")
        shutil.copy2(toybox, programs / "toybox")
        for name in subprocess.run([toybox], capture_output=True, text=True, check=True).stdout.split():
            (programs / name).symlink_to("toybox")
        linked = subprocess.run(["ldd", str(toybox)], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", linked):
            target = self.path / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(library).resolve(), target)

    def _serve(self) -> None:
        with os.fdopen(os.dup(self._calls)) as calls:
            while (call := calls.readline().strip()) != "end":
                folder = self.path / "dev/android" / call
                words = (folder / "words").read_bytes().decode().split("\0")[:-1]
                status, output = self._answer(words)
                (folder / "output").write_text(output)
                (folder / "status").write_text(f"{status}\n")


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
