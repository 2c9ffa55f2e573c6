"""Real OpenSSH servers: on loopback for everybody, behind a cable that can be pulled for those who may."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from tests.superlink import free_port

__all__ = ["SshHost", "cabled_host", "loopback_host", "make_key", "sshd_words"]

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_numbers = itertools.count()
_SFTP = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")


class SshHost:
    """An sshd with keys and a home directory of its own.

    Attributes
    ----------
    host, port
        Where it listens.
    home
        Home directory of who logs in.
    key
        Private key that it accepts.
    gateway
        This machine's address at the other end of the cable.
    preamble
        Shell text that the login shell of the one who logs in starts with; ends with a line's or a command's end.
    """

    preamble = ""

    def __init__(self, folder: Path, host: str, port: int, *, namespace: str = "", cable: str = "") -> None:
        if _SSHD is None:
            pytest.skip("no sshd here: apt install openssh-server")
        self.folder, self.host, self.port, self._namespace, self._cable = folder, host, port, namespace, cable
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.gateway = f"{host.rpartition('.')[0]}.1"
        self.key = make_key(folder / "client_key")
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.new_host_key()

    def new_host_key(self) -> None:
        """Install the host anew: another host key."""
        (self.folder / "host_key").unlink(missing_ok=True)
        make_key(self.folder / "host_key")

    def start(self) -> None:
        """Start sshd, and wait until it answers."""
        authorized = self.folder / "authorized_keys"
        shutil.copy(self.folder / "client_key.pub", authorized)
        authorized.chmod(0o600)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        words = self._command()
        if self._namespace:
            words = ["ip", "netns", "exec", self._namespace, *words]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(words, stderr=log)
        for _ in range(2400):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1) as sock:
                if sock.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        raise AssertionError(f"sshd does not answer: {(self.folder / 'sshd.log').read_text()}")

    def _command(self) -> list[str]:
        """Return the words that start sshd."""
        assert _SSHD is not None
        options = {
            # Else every command would run the start-up files of whoever runs the tests.
            "SetEnv": f"HOME={self.home}",
            "ForceCommand": f"{self.preamble}cd '{self.home}' && exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
            "Subsystem": f"sftp {_SFTP}",  # what scp uses; we do not
        }
        return sshd_words(_SSHD, self.host, self.port, self.folder, **options)

    def stop(self) -> None:
        """End sshd; sessions that are open go on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def switch_off(self) -> None:
        """End everything on a host behind a cable at once."""
        _kill_all(self._namespace)
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def pull_cable(self) -> None:
        """Take the link down."""
        subprocess.run(["ip", "link", "set", self._cable, "down"], check=True)

    def plug_cable(self) -> None:
        """Bring the link up again."""
        subprocess.run(["ip", "link", "set", self._cable, "up"], check=True)


def sshd_words(program: str, host: str, port: int, folder: Path, **more: object) -> list[str]:
    """Return the words that start an sshd whose keys are in a folder, with further options."""
    options = {
        "ListenAddress": host,
        "Port": port,
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "MaxStartups": 100,
        **more,
    }
    words = [program, "-D", "-e", "-f", "/dev/null"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return words


def make_key(path: Path, password: str = "") -> Path:
    """Make a key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", password, "-f", str(path)], check=True)
    return path


@contextlib.contextmanager
def loopback_host(folder: Path) -> Iterator[SshHost]:
    """Run a host on loopback."""
    host = SshHost(folder, "127.0.0.1", free_port())
    host.start()
    try:
        yield host
    finally:
        host.stop()


@contextlib.contextmanager
def cabled_host(folder: Path, kind: type[SshHost] = SshHost) -> Iterator[SshHost]:
    """Run a host in a network namespace of its own, at the other end of a virtual cable."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    number = next(_numbers)  # the kernel takes its time to forget a namespace
    name = f"p{os.getpid() % 1_000_000}.{number}"
    network = f"10.{90 + os.getpid() % 100}.{number}"
    space, cable = f"{name}s", f"{name}c"
    made = subprocess.run(["ip", "netns", "add", space], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces here: {made.stderr.decode().strip()}")
    try:
        for words in (
            f"link add {cable} type veth peer name eth0 netns {space}",
            f"addr add {network}.1/24 dev {cable}",
            f"link set {cable} up",
            f"-n {space} addr add {network}.2/24 dev eth0",
            f"-n {space} link set eth0 up",
            f"-n {space} link set lo up",
            f"-n {space} route add default via {network}.1",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        host = kind(folder, f"{network}.2", 22, namespace=space, cable=cable)
        host.start()
        try:
            yield host
        finally:
            host.stop()
    finally:
        # Sessions of a cable that stayed down would hold the namespace.
        _kill_all(space)
        subprocess.run(["ip", "link", "del", cable], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", space], check=False)


def _kill_all(namespace: str) -> None:
    said = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    for pid in said.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
