"""Real Flower processes for tests: a SuperLink, stock SuperNodes, and runs of small Flower apps.

Everything runs on loopback and on ports that are free, is started in a process group of its own, and is
ended by the handle that started it. Stock processes come from the environment that runs the tests.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

__all__ = [
    "Process",
    "Run",
    "SuperLink",
    "TlsFiles",
    "free_port",
    "make_tls_files",
    "repository",
    "start_supernode",
    "until",
]

repository = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port that nothing listens on.

    It is below those that the kernel gives to whoever asks for any, so that nobody has it before it is used.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


def until(condition: Callable[[], object], *, within_s: float = 90.0, what: str = "it") -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within_s:.0f} s")
        time.sleep(0.05)


class Process:
    """A child process in a group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, *, env: Optional[Mapping[str, str]] = None) -> None:
        self.log = log
        self._mark = f"POCKETFLEET_TEST_PROCESS={uuid.uuid4()}".encode()
        environment = {
            **os.environ,
            "POCKETFLEET_TEST_PROCESS": self._mark.decode().partition("=")[2],
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PYTHONPATH": str(repository),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **(env or {}),
        }
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def wait(self, within_s: float = 60.0) -> int:
        """Wait for its end and return its exit code."""
        try:
            return self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s:.0f} s:\n{self.output}") from None

    def family(self) -> set[int]:
        """Return its process id and those of all that descend from it, in whatever group they are."""
        parents: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                # After the command, which may hold anything but ends with the last parenthesis.
                with suppress(OSError, IndexError):
                    parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        found = {self.popen.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def kill(self) -> None:
        """SIGKILL it and all that descend from it."""
        self._kill(self.family() if self.running() else set())

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM it, then SIGKILL what is left of its family."""
        family = self.family() if self.running() else set()
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(within_s)
        self._kill(family)
        return self.popen.returncode

    def _kill(self, family: set[int]) -> None:
        for pid in family:
            with suppress(OSError):
                # Not a later process that got the number of one that ended.
                if pid == self.popen.pid or self._mark in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        self.popen.wait()


@dataclass(frozen=True)
class TlsFiles:
    """A certificate authority and a certificate for ``localhost`` and 127.0.0.1."""

    ca: Path
    certificate: Path
    key: Path


class SuperLink:
    """A stock SuperLink.

    Parameters
    ----------
    folder
        Where its home, database and logs go.
    database
        Keep its state in a file, so that it survives a restart.
    tls
        Speak TLS with these files.
    enrolled_only
        Admit only keys that were registered with `register`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: bool = False,
        tls: Optional[TlsFiles] = None,
        enrolled_only: bool = False,
        isolation: str = "subprocess",
        env: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"{'localhost' if tls else '127.0.0.1'}:{self.port}"
        self.tls = tls
        self._database = database
        self._enrolled_only = enrolled_only
        self._isolation = isolation
        self._home = folder / "flwr-home"
        self._home.mkdir(parents=True, exist_ok=True)
        self._env = {"FLWR_HOME": str(self._home), **(env or {})}
        security = f'root-certificates = "{tls.ca}"' if tls else "insecure = true"
        (self._home / "config.toml").write_text(
            f'[superlink]\ndefault = "test"\n\n[superlink.test]\naddress = "{self.address}"\n{security}\n'
        )
        self.process: Process
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same port after `kill`."""
        command = [
            "flower-superlink",
            "--host=127.0.0.1",
            f"--port={self.port}",
            f"--isolation={self._isolation}",
            "--disable-runtime-dependency-installation",
        ]
        if self._database:
            command.append(f"--database={self.folder / 'superlink.db'}")
        if self.tls:
            command += [
                f"--ssl-ca-certfile={self.tls.ca}",
                f"--ssl-certfile={self.tls.certificate}",
                f"--ssl-keyfile={self.tls.key}",
            ]
        else:
            command.append("--insecure")
        if self._enrolled_only:
            command.append("--enable-supernode-auth")
        self.process = Process(command, self.folder / "superlink.log", env=self._env)
        until(self._listens, within_s=60, what="the SuperLink's start")

    def kill(self) -> None:
        """SIGKILL it and the server apps it runs."""
        self.process.kill()

    def stop(self) -> None:
        self.process.stop(5.0)

    def __enter__(self) -> SuperLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def register(self, public_key: Path) -> None:
        """Enrol a public key."""
        self._flwr("supernode", "register", str(public_key), "test")

    def run(self, server_app: str, *, client_app: str = "", config: Optional[Mapping[str, object]] = None) -> Run:
        """Start a Flower app.

        Parameters
        ----------
        server_app
            Source of a module with ``app``, a `ServerApp`.
        client_app
            Source of a module with ``app``, a `ClientApp`, for stock SuperNodes.
        config
            The run's configuration.
        """
        name = f"app{time.time_ns()}"
        app = self.folder / name
        package = app / "app"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "server.py").write_text(textwrap.dedent(server_app))
        (package / "client.py").write_text(
            textwrap.dedent(client_app or "from flwr.clientapp import ClientApp\n\napp = ClientApp()\n")
        )
        settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (config or {}).items())
        (app / "pyproject.toml").write_text(
            f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
            f'[project]\nname = "{name}"\nversion = "1.0.0"\ndescription = "test"\nlicense = "Apache-2.0"\n'
            'dependencies = []\n\n[tool.hatch.build.targets.wheel]\npackages = ["."]\n\n'
            '[tool.flwr.app]\npublisher = "test"\n\n[tool.flwr.app.components]\n'
            f'serverapp = "app.server:app"\nclientapp = "app.client:app"\n\n[tool.flwr.app.config]\n{settings}\n'
        )
        answer = json.loads(self._flwr("run", str(app), "test", "--format=json"))
        if "run-id" not in answer:
            raise AssertionError(f"flwr run failed: {answer}")
        return Run(self, str(answer["run-id"]))

    def status(self, run_id: str) -> str:
        """Return a run's status, such as ``running`` or ``finished:completed``."""
        answer = json.loads(self._flwr("list", "test", f"--run-id={run_id}", "--format=json"))
        status: str = answer["runs"][0]["status"]
        return status

    @property
    def log(self) -> str:
        return self.process.output

    def _listens(self) -> bool:
        if not self.process.running():
            raise AssertionError(f"the SuperLink ended:\n{self.log}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def _flwr(self, *arguments: str) -> str:
        process = subprocess.run(
            [str(Path(sys.executable).parent / "flwr"), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", **self._env},
        )
        if process.returncode:
            raise AssertionError(f"flwr {arguments} failed:\n{process.stdout}\n{process.stderr}")
        return process.stdout


@dataclass(frozen=True)
class Run:
    """A Flower app that runs on a SuperLink."""

    superlink: SuperLink
    run_id: str

    def wait(self, within_s: float = 120.0) -> None:
        """Wait until it has completed; fail if it does anything else."""
        deadline = time.monotonic() + within_s
        while True:
            status = self.superlink.status(self.run_id)
            if status == "finished:completed":
                return
            if status.startswith("finished") or time.monotonic() > deadline:
                raise AssertionError(f"run {status}:\n{self.superlink.log}")
            time.sleep(0.5)

    def stop(self) -> None:
        self.superlink._flwr("stop", self.run_id, "test")


@contextmanager
def start_supernode(superlink: SuperLink, folder: Path, *, node_config: str = "") -> Iterator[Process]:
    """Run a stock SuperNode."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["flower-supernode", f"--superlink={superlink.address}", f"--port={free_port()}"]
    command.append(f"--root-certificates={superlink.tls.ca}" if superlink.tls else "--insecure")
    if node_config:
        command.append(f"--node-config={node_config}")
    process = Process(command, folder / "supernode.log", env={"FLWR_HOME": str(folder / "flwr-home")})
    try:
        yield process
    finally:
        process.stop(5.0)


def make_tls_files(folder: Path) -> TlsFiles:
    """Make an authority and a certificate for loopback, good for a day."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> bytes:
        def common_name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(name))
            .issuer_name(common_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=12))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    files = TlsFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    files.ca.write_bytes(certificate("test authority", authority, "test authority", authority, ca=True))
    files.certificate.write_bytes(certificate("localhost", server, "test authority", authority, ca=False))
    files.key.write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files
