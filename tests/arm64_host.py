"""A board with another processor: an arm64 Debian 12 with its own sshd and Python, run by an emulator.

What it computes is what an arm64 board computes; how long it takes says nothing about one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.java_client import missing
from tests.ssh_hosts import SshHost, cabled_host, sshd_words

__all__ = ["Arm64Host", "arm64_host"]

_ROOT = Path(__file__).resolve().parent.parent
_ELF = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_BINFMT = "/proc/sys/fs/binfmt_misc"

# In a mount namespace of its own, so that everything is gone with its last process.
_START = f"""
set -eu
root=$1 home=$2 data=$3 format=$4
shift 4
mountpoint -q {_BINFMT} || mount -t binfmt_misc binfmt_misc {_BINFMT}
[ -e "{_BINFMT}/${{format%%:*}}" ] || printf ':%s' "$format" > {_BINFMT}/register
mount --bind "$root" "$root"
mount --bind "$home" "$root/root"
mount --bind "$data" "$root/data"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir "$root/run/sshd"
mount -o remount,bind,ro "$root"
exec env -i PATH=/usr/sbin:/usr/bin chroot "$root" "$@"
"""
_FORGET = f"""
mountpoint -q {_BINFMT} || mount -t binfmt_misc binfmt_misc {_BINFMT}
[ ! -e "{_BINFMT}/$1" ] || echo -1 > "{_BINFMT}/$1"
"""


class Arm64Host(SshHost):
    """An arm64 sshd; see `tests.ssh_hosts.SshHost`."""

    place = Path()
    """Root and emulator, of ``scripts/arm64_board``."""

    @property
    def _format(self) -> str:
        return f"pocketfleet-{os.getpid()}"

    def _command(self) -> list[str]:
        fields = (self._format, "M", "", _ELF, _MASK, self.place / "qemu-aarch64", "F")
        mounts = [self.place / "root", self.home, self.folder, ":".join(map(str, fields))]
        sshd = sshd_words("/usr/sbin/sshd", self.host, self.port, Path("/data"))
        return ["unshare", "--mount", "sh", "-c", _START, "sh", *map(str, mounts), *sshd]

    def stop(self) -> None:
        """End sshd, and have the kernel forget the emulator."""
        super().stop()
        subprocess.run(["unshare", "--mount", "sh", "-c", _FORGET, "sh", self._format], check=True)


@contextlib.contextmanager
def arm64_host(folder: Path) -> Iterator[SshHost]:
    """Run an arm64 host at the other end of a virtual cable; Debian's packages are fetched the first time."""
    if shutil.which("mmdebstrap") is None:
        missing("no mmdebstrap (Debian: apt install mmdebstrap)")
    made = subprocess.run([_ROOT / "scripts" / "arm64_board"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    Arm64Host.place = Path(made.stdout.strip())
    with cabled_host(folder, Arm64Host) as host:
        yield host
