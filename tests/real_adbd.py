"""Debian's own ``adbd`` (that of Android 14) in a network namespace, behind a cable that can be pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.java_client import missing

__all__ = ["RealAdbd", "cabled_adbd"]

ROOT = Path(__file__).resolve().parent.parent
_ADBD = "/usr/lib/android-sdk/platform-tools/adbd"
_PORT = 5555


class RealAdbd:
    """The daemon. It asks for no key, and installs no apps: Android's services are not there.

    Attributes
    ----------
    host, port
        Where it listens.
    root
        Its file system.
    """

    def __init__(self, root: Path, namespace: str, cable: str, host: str) -> None:
        self.root, self.host, self.port = root, host, _PORT
        self._namespace, self._cable = namespace, cable
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        words = ["ip", "netns", "exec", self._namespace, "chroot", str(self.root), _ADBD]
        self._process = subprocess.Popen(
            ["/usr/bin/env", "-i", "PATH=/usr/sbin:/sbin:/usr/bin:/bin:/system/bin", "HOME=/root", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(2400):
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError("adbd does not listen")

    def stop(self) -> None:
        """End it with everything that it started, as a phone that is switched off."""
        if self._process is not None:
            for pid in _pids(self._namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def pull_cable(self) -> None:
        """Take the link down."""
        subprocess.run(["ip", "link", "set", self._cable, "down"], check=True)

    def plug_cable(self) -> None:
        """Bring the link up again."""
        subprocess.run(["ip", "link", "set", self._cable, "up"], check=True)


@contextlib.contextmanager
def cabled_adbd(folder: Path) -> Iterator[RealAdbd]:
    """Run it with a file system of its own in ``folder``."""
    if os.geteuid() != 0:
        pytest.skip("chroot and network namespaces need root")
    for program, package in (("ip", "iproute2"), ("mmdebstrap", "mmdebstrap")):
        if shutil.which(program) is None:
            missing(f"no {program} (Debian: apt install {package})")
    made = subprocess.run([ROOT / "scripts" / "adbd_root"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    subprocess.run(["cp", "-a", made.stdout.strip(), str(folder / "root")], check=True)
    name = f"pfa{os.getpid() % 1_000_000}"
    network = f"10.{190 + os.getpid() % 60}.{os.getpid() // 60 % 250}"
    added = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if added.returncode != 0:
        pytest.skip(f"no network namespaces here: {added.stderr.strip()}")
    try:
        for words in (
            f"link add {name} type veth peer name eth0 netns {name}",
            f"addr add {network}.1/24 dev {name}",
            f"link set {name} up",
            f"-n {name} addr add {network}.2/24 dev eth0",
            f"-n {name} link set eth0 up",
            f"-n {name} link set lo up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        adbd = RealAdbd(folder / "root", name, name, f"{network}.2")
        adbd.start()
        try:
            yield adbd
        finally:
            adbd.stop()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _pids(namespace: str) -> list[int]:
    said = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in said.stdout.split()]
