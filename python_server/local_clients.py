"""Client processes on this host that a run starts and stops itself: the demo's, the tests', the benchmarks'."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

from python_server.errors import FleetError
from python_server.experiment import ClientSettings
from python_server.orphans import die_with_parent

__all__ = ["client_public_key", "run_clients"]

_STOP_S = 5.0
_CLIENT = (sys.executable, "-P", "-m", "edge_client.cli")


def client_public_key(client: ClientSettings, state: Path) -> bytes:
    """Return the public key of a client with this state directory; the key is made when there is none.

    Raises
    ------
    FleetError
        The client could not tell it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [*(client.command or _CLIENT), "key", "--state", str(state)]
    try:
        done = subprocess.run(command, capture_output=True, env=_environment(), check=False)
    except OSError as error:
        raise FleetError(f"client {client.name!r}: cannot run {command[0]}: {error.strerror}") from error
    if done.returncode:
        raise FleetError(f"client {client.name!r}: cannot make its key: {_last_line(done.stderr)}")
    return done.stdout


@contextlib.contextmanager
def run_clients(
    clients: Sequence[ClientSettings],
    *,
    server: str,
    bundle_of: Callable[[ClientSettings], Path],
    states: Mapping[str, Path],
    logs: Path,
    ca: Optional[Path],
    trusted_key: Optional[Path] = None,
) -> Iterator[Callable[[], list[str]]]:
    """Run client processes while in the block; none of them outlives it, or this process.

    Parameters
    ----------
    clients
        Which clients.
    server
        ``HOST:PORT`` that they connect to.
    bundle_of
        Returns the bundle that a client uses.
    states
        State directory of each client by name.
    logs
        Directory for what they print, ``client-NAME.log``.
    ca
        PEM file that they trust; None: no TLS.
    trusted_key
        PEM file of the key that has to have signed the bundle.

    Yields
    ------
    A function that returns a line for each client that ended by itself since it was last called.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    told: set[str] = set()

    def ended() -> list[str]:
        lines = []
        for name, process in processes.items():
            code = process.poll()
            if code is not None and name not in told:
                told.add(name)
                log = logs / f"client-{name}.log"
                lines.append(f"client {name} ended with code {code}: {_last_line(log.read_bytes())}")
        return lines

    try:
        for client in clients:
            command = _command(client, server, bundle_of(client), states[client.name], ca, trusted_key)
            if len(clients) > 1 and not client.command:
                # A counter of the whole machine would show each of them the joules of all.
                command += ["--energy", "model"]
            command += client.extra
            with (logs / f"client-{client.name}.log").open("ab") as log:
                processes[client.name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C in the terminal is for us; we tell them
                    preexec_fn=_prepare(client, os.getpid()),
                )
        yield ended
    finally:
        _stop(list(processes.values()))


def _command(
    client: ClientSettings, server: str, bundle: Path, state: Path, ca: Optional[Path], trusted_key: Optional[Path]
) -> list[str]:
    command = [
        *(client.command or _CLIENT),
        "run",
        "--server",
        server,
        "--bundle",
        str(bundle),
        "--data",
        str(client.data),
    ]
    command += ["--state", str(state), "--name", client.name, "--processor", client.processor]
    command += ["--threads", str(client.threads), "--leave-within", "2"]
    command += ["--ca", str(ca)] if ca else ["--insecure"]
    for flag, value in (
        ("--test-data", client.test_data),
        ("--profile", client.profile),
        ("--trust", trusted_key),
    ):
        if value:
            command += [flag, str(value)]
    return command


def _prepare(client: ClientSettings, parent: int) -> Callable[[], None]:
    """Return what a child does before it becomes the client: be as slow as it is to be, and die with us."""

    def prepare() -> None:
        die_with_parent(parent)
        if client.cgroup is not None:
            (client.cgroup / "cgroup.procs").write_text(str(os.getpid()))
        os.nice(client.nice)

    return prepare


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Stop them all at once, kindly at first."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    here = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
