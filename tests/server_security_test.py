"""Who reaches the SuperLink's port reaches the device interface, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest, StartRunRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest, GetNodesRequest
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from edge_client.errors import NotEnrolledError
from edge_client.state import StateDirectory
from edge_client.transport.clock import ServerClock
from edge_client.transport.connection import Connection, Security
from edge_client.transport.keys import ClientKey
from edge_client.transport.session import Session
from python_server.errors import IdentityError, PortInUseError, SuperLinkError
from python_server.flower_run import open_run
from python_server.identity import Identity, device_id, host_names
from python_server.superlink import SuperLink, SuperLinkSettings
from python_server.superlink_process import SECRET_HEADER, Gate

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(name="superlink", scope="module")
def start_superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    folder = tmp_path_factory.mktemp("server")
    certificates = Identity(folder / "identity").certificates(host_names())
    with SuperLink(SuperLinkSettings(port=0, certificates=certificates), folder / "superlink.log") as superlink:
        yield superlink


def post(superlink: SuperLink, path: str, message: Any, **headers: str) -> httpx.Response:
    certificates = superlink.settings.certificates
    assert certificates is not None
    with httpx.Client(verify=ssl.create_default_context(cafile=str(certificates.ca))) as client:
        return client.post(
            f"https://localhost:{superlink.port}{path}",
            content=message.SerializeToString(),
            headers={"content-type": PROTOBUF_MEDIA_TYPE, **headers},
        )


CONTROL = [
    ("/v1/control/start-run", StartRunRequest()),
    ("/v1/control/register-node", RegisterNodeRequest()),
    ("/v1/control/list-nodes", ListNodesRequest()),
    ("/docs", ListNodesRequest()),
    ("/openapi.json", ListNodesRequest()),
    ("/v1/responses", ListNodesRequest()),
    ("/v1/fleet/../control/list-nodes", ListNodesRequest()),
    ("/v1/control/list-nodes/", ListNodesRequest()),
]


@pytest.mark.parametrize(("path", "message"), CONTROL)
@pytest.mark.parametrize("secret", [None, "", "0" * 64])
def test_control_is_closed_to_whoever_does_not_know_the_secret(
    superlink: SuperLink, path: str, message: Any, secret: str | None
) -> None:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    assert post(superlink, path, message, **headers).status_code == 404


def test_control_is_open_to_us(superlink: SuperLink) -> None:
    answer = post(superlink, "/v1/control/list-nodes", ListNodesRequest(), **{SECRET_HEADER: superlink.secret})
    assert answer.status_code != 404


def test_runtime_wants_flowers_own_tokens(superlink: SuperLink) -> None:
    acquire = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
    assert post(superlink, "/v1/runtime/acquire-task", acquire).status_code in (401, 403)
    for token in ("", "guessed"):
        answer = post(superlink, "/v1/runtime/get-nodes", GetNodesRequest(), **{"flwr-task-token": token})
        assert answer.status_code in (401, 403)


def test_a_device_that_is_not_enrolled_stays_out(superlink: SuperLink, tmp_path: Path) -> None:
    certificates = superlink.settings.certificates
    assert certificates is not None
    with StateDirectory(tmp_path) as state:
        key = ClientKey.load_or_create(state.key_file)
        server = f"localhost:{superlink.port}"
        connection = Connection(server, key, ServerClock(), security=Security(certificates.ca, insecure=False))
        session = Session(connection, key, state, heartbeat_s=30, give_up_after_s=5, stop=threading.Event())
        try:
            with pytest.raises(NotEnrolledError):
                session.connect()
        finally:
            session.leave(deactivate=False)


@pytest.mark.parametrize(
    ("path", "client", "secret", "admitted"),
    [
        ("/v1/fleet/pull-messages", "203.0.113.9", None, True),
        ("/v1/runtime/get-nodes", "203.0.113.9", None, False),
        ("/v1/runtime/get-nodes", "127.0.0.1", None, True),
        ("/v1/runtime/get-nodes", "::1", None, True),
        ("/v1/runtime/get-nodes", "198.51.100.1", None, True),  # the server's own address
        ("/health", "203.0.113.9", None, False),
        ("/health", "127.0.0.1", None, True),
        ("/v1/control/start-run", "203.0.113.9", "secret", False),
        ("/v1/control/start-run", "127.0.0.1", "secret", True),
        ("/v1/control/start-run", "127.0.0.1", "guess", False),
        ("/v1/control/start-run", "127.0.0.1", None, False),
        ("/v1/fleet", "203.0.113.9", None, False),
    ],
)
def test_the_gate_by_where_a_request_comes_from(path: str, client: str, secret: str | None, admitted: bool) -> None:
    reached = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if secret is None else [(SECRET_HEADER.encode(), secret.encode())]
    scope = {"type": "http", "path": path, "headers": headers, "client": (client, 5), "server": ("198.51.100.1", 9092)}
    asyncio.run(Gate(app, "secret")(scope, None, send))  # type: ignore[arg-type]
    assert bool(reached) is admitted
    assert (sent == []) is admitted


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"content-length", b"5300000")], None),
        ([(b"content-length", b"17000000")], 413),
        ([(b"content-length", b"9" * 5000)], 413),
        ([(b"content-length", b"-1")], 413),
        ([(b"transfer-encoding", b"chunked")], 413),
    ],
)
def test_the_gate_lets_strangers_send_only_so_much(headers: list[tuple[bytes, bytes]], status: int | None) -> None:
    sent: list[Any] = []
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/fleet/push-object", "headers": headers, "client": ("203.0.113.9", 5)}
    asyncio.run(Gate(app, "secret")({**scope, "server": ("198.51.100.1", 9092)}, None, send))  # type: ignore[arg-type]
    assert (len(reached) == 1) is (status is None)
    assert [message.get("status") for message in sent[:1]] == ([] if status is None else [status])


def test_a_flood_from_a_stranger_is_cut_off(superlink: SuperLink) -> None:
    host, port = "localhost", superlink.port
    certificates = superlink.settings.certificates
    assert certificates is not None
    context = ssl.create_default_context(cafile=str(certificates.ca))
    request = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n"
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as line,
    ):
        line.sendall(request + bytes(1000))
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_the_gate_takes_no_websockets() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/fleet/x", "headers": [], "client": ("127.0.0.1", 5), "server": ("", 1)}
    asyncio.run(Gate(app, "secret")(scope, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_port_in_use(superlink: SuperLink, tmp_path: Path) -> None:
    settings = SuperLinkSettings(port=superlink.port, certificates=superlink.settings.certificates)
    with pytest.raises(PortInUseError, match=f"port {superlink.port} on 127.0.0.1 is in use"):
        SuperLink(settings, tmp_path / "log")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_no_tls_on_a_network(host: str, tmp_path: Path) -> None:
    with pytest.raises(SuperLinkError, match="without TLS the server listens on loopback"):
        SuperLink(SuperLinkSettings(host=host, port=0), tmp_path / "log")


def test_in_the_clear_on_loopback(tmp_path: Path) -> None:
    with (
        SuperLink(SuperLinkSettings(port=0, enrolled_only=False), tmp_path / "log") as superlink,
        open_run(superlink) as run,
    ):
        assert list(run.grid.get_nodes()) == []


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(SuperLinkError, match="cannot listen on 192.0.2.1"):
        SuperLink(SuperLinkSettings(host="192.0.2.1", port=0, allow_insecure_network=True), tmp_path / "log")


def test_a_superlink_that_dies_is_noticed(tmp_path: Path) -> None:
    with SuperLink(SuperLinkSettings(port=0), tmp_path / "log") as superlink:
        os.kill(superlink.pid, signal.SIGKILL)
        os.waitid(os.P_PID, superlink.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(SuperLinkError, match="ended with code -9"):
            superlink.check()


def test_the_superlink_does_not_outlive_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from python_server.superlink import *\n"
        f"s = SuperLink(SuperLinkSettings(port=0), Path({str(tmp_path / 'log')!r}))\n"
        "print(s.pid, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        end = time.monotonic() + 60
        while time.monotonic() < end and alive(child):
            time.sleep(0.02)
        assert not alive(child)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def a_public_key() -> bytes:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_certificates_are_kept_and_renewed(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "identity")
    files = identity.certificates(["localhost", "127.0.0.1"])
    ca, certificate = files.ca.read_bytes(), files.certificate.read_bytes()
    assert identity.certificates(["localhost"]).certificate.read_bytes() == certificate
    assert Identity(tmp_path / "identity").certificates(["fleet.example", "10.0.0.7"]).ca.read_bytes() == ca
    held = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fleet.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    held.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    for file in (tmp_path / "identity").glob("*.key"):
        assert file.stat().st_mode & 0o077 == 0
    files.certificate.write_text("damaged")
    with pytest.raises(IdentityError, match="is not a certificate"):
        identity.certificates(["localhost"])
    (tmp_path / "identity" / "ca.key").unlink()
    with pytest.raises(IdentityError, match="only one of ca.pem and ca.key"):
        identity.certificates(["localhost"])


def test_an_identity_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir(mode=0o755)
    with pytest.raises(IdentityError, match="chmod 700"):
        Identity(tmp_path / "identity")


def test_enrolment(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "identity")
    key, other = a_public_key(), a_public_key()
    assert identity.enrol(key, "pi-1") == device_id(key)
    assert identity.enrol(key + b"\n\n", "pi-1") == device_id(key)
    assert identity.devices() == {"pi-1": key}
    for bad, name, message in [
        (key, "pi-2", "already enrolled as 'pi-1'"),
        (other, "pi-1", "another key is enrolled as 'pi-1'"),
        (other, "../up", "is no device name"),
        (b"nonsense", "pi-3", "not a public key in PEM form"),
    ]:
        with pytest.raises(IdentityError, match=message):
            identity.enrol(bad, name)
    private = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(IdentityError, match="private key"):
        identity.enrol(private, "pi-4")
    short = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(IdentityError, match="P-384"):
        identity.enrol(
            short.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo), "pi-5"
        )


def test_host_names_are_those_of_this_host() -> None:
    names = host_names(["fleet.example"])
    assert {"localhost", "127.0.0.1", socket.gethostname(), "fleet.example"} <= set(names)
