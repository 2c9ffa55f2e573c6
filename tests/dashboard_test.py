"""The dashboard as a process: who gets in, what it serves, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import pytest

from python_server.cli import main
from python_server.identity import Identity, host_names
from python_server.store import RunStore
from python_server.store_test import a_commit, create
from tests.server_train_test import alive, descendants, one_line, pocketfleet

REPOSITORY = Path(__file__).resolve().parent.parent
WITHIN_S = 180.0


@dataclass
class Running:
    """A dashboard, and a browser's cookie for it."""

    process: subprocess.Popen[str]
    address: str
    tls: Optional[ssl.SSLContext] = None
    headers: dict[str, str] = field(default_factory=dict)
    cookie_flags: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = (
            http.client.HTTPSConnection(self.host, timeout=WITHIN_S, context=self.tls)
            if self.tls
            else http.client.HTTPConnection(self.host, timeout=WITHIN_S)
        )
        told = {**self.headers, **headers}
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, data, told)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        status, _, answer = self.ask("POST", path, body, Origin=f"http://{self.host}")
        return status, json.loads(answer)

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[Iterator[dict[str, Any]]]:
        connection = http.client.HTTPConnection(self.host, timeout=WITHIN_S)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self.headers)
            answer = connection.getresponse()
            assert answer.status == 200
            yield _events(answer)


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    kind = "message"
    while line := answer.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield {"event": kind, **json.loads(value)}
            kind = "message"


def _ended(served: Running, title: str) -> dict[str, Any]:
    """Return what is told of something that was started, when it is over."""
    with served.stream("/api/runs") as runs:
        told = (each for list_ in runs for each in list_["started"] if each["title"] == title)
        return next(each for each in told if each["code"] is not None)


@contextlib.contextmanager
def dashboard(*arguments: str, tls: Optional[ssl.SSLContext] = None) -> Iterator[Running]:
    """Run a dashboard while in the block, and log in; nothing of it stays."""
    process = subprocess.Popen(
        [sys.executable, "-m", "python_server.cli", "dashboard", "--json", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        running = Running(process, json.loads(process.stdout.readline())["dashboard"], tls)
        parts = urlsplit(running.address)
        status, headers, _ = running.ask("GET", f"{parts.path}?{parts.query}")
        assert status == 303
        running.headers["Cookie"], _, running.cookie_flags = headers["set-cookie"].partition(";")
        yield running
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0
        assert not any(map(alive, children))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module", name="folder")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard")
    store = create(folder / "runs" / "first")
    store.commit(a_commit(0))
    store.finish("finished")
    store.close()
    (folder / "runs" / "first" / "logs" / "superlink.log").write_text("<script>alert(1)</script>\n")
    (folder / "secret.log").write_text("secret\n")
    (folder / "broken.toml").write_text('name = "x"\nrounds = 1\n[model]\nbundle = "nowhere"\n')
    return folder


@pytest.fixture(scope="module", name="served")
def serve(folder: Path) -> Iterator[Running]:
    with dashboard(str(folder)) as running:
        yield running


def test_only_the_printed_address_gets_in(served: Running) -> None:
    for path in ("/", "/page.js", "/api/runs", "/api/run?run=runs/first", "/report?run=runs/first"):
        assert served.ask("GET", path, Cookie="")[0] == 401
        assert served.ask("GET", path, Host="evil.example")[0] == 421
    assert served.ask("GET", "/?token=wrong")[0] == 401
    for path in ("/api/start", "/api/stop", "/api/resume"):
        assert served.ask("POST", path, {"run": "runs/first"})[0] == 403
        assert served.ask("POST", path, {"run": "runs/first"}, Origin="http://127.0.0.1:1")[0] == 403
        assert served.ask("GET", path)[0] == 405
    status, headers, page = served.ask("GET", "/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert b"<script>" not in page
    assert b"http://" not in page
    assert b"https://" not in page


def test_it_serves_on_loopback_alone(served: Running) -> None:
    address = urlsplit(served.address)
    assert address.hostname == "127.0.0.1"
    assert address.port
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [each for each in listening if each.endswith(f":{address.port:04X}")] == [f"0100007F:{address.port:04X}"]


@pytest.mark.parametrize(
    "run", ["", "..", "../dashboard", "runs", "runs/first/../first", "/etc", "runs%2Ffirst%2F..", "%00"]
)
def test_nothing_outside_the_folder_is_served(served: Running, run: str) -> None:
    for path in (f"/api/run?run={run}", f"/report?run={run}", f"/api/log?run={run}&name=superlink&from=0"):
        status, _, answer = served.ask("GET", path)
        assert status == 409
        assert "there is no run" in json.loads(answer)["error"]


@pytest.mark.parametrize(
    "query", ["name=../../../secret&from=0", "name=&from=0", "name=superlink&from=-1", "name=superlink"]
)
def test_only_logs_are_read(served: Running, query: str) -> None:
    status, _, answer = served.ask("GET", f"/api/log?run=runs/first&{query}")
    assert status in (400, 409)
    assert b"secret\n" not in answer


def test_logs_come_as_json(served: Running) -> None:
    status, headers, answer = served.ask("GET", "/api/log?run=runs/first&name=superlink&from=0")
    assert (status, headers["content-type"], headers["x-content-type-options"]) == (200, "application/json", "nosniff")
    assert json.loads(answer)["text"] == "<script>alert(1)</script>\n"


def test_the_report_is_served_without_any_rights(served: Running, folder: Path) -> None:
    path = "/report?run=runs/first"
    page = folder / "runs" / "first" / "report.html"
    assert "has no report yet" in json.loads(served.ask("GET", path)[2])["error"]
    page.symlink_to(folder / "secret.log")
    assert served.ask("GET", path)[0] == 409
    page.unlink()
    page.write_text("<p>figures</p>")
    status, headers, answer = served.ask("GET", path)
    assert (status, answer) == (200, b"<p>figures</p>")
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert headers["content-security-policy"].endswith("sandbox")


def test_a_run_goes_on_by_the_command_that_began_it(served: Running) -> None:
    assert served.post("/api/resume", {"run": "runs/first"}) == (200, {})
    ended = _ended(served, "runs/first")
    assert ended["code"] == 1
    assert "first/experiment.toml: " in ended["lines"][-1], "the experiment in it is one of a test, and no sound one"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/start", {"experiment": "nowhere.toml"}, "there is no experiment nowhere.toml below"),
        ("/api/start", {"experiment": "../e.toml"}, "there is no experiment"),
        ("/api/start", {"experiment": ["broken.toml"]}, "there is no experiment"),
        ("/api/start", b"[]", "names no experiment"),
        ("/api/start", b"x" * 100_000, "names no experiment"),
        ("/api/stop", {"run": "runs/first"}, "no process of yours works on runs/first"),
        ("/api/resume", {"run": "../first"}, "there is no run ../first"),
    ],
)
def test_what_cannot_be_done_says_why(served: Running, path: str, body: Any, message: str) -> None:
    status, told = served.post(path, body)
    assert status == 409
    assert message in told["error"]


def test_changes_stream_to_two_browsers(served: Running, folder: Path) -> None:
    store = create(folder / "runs" / "second")
    store.start()
    with served.stream("/api/runs") as runs:
        for told in runs:
            if "runs/second" in [run["run"] for run in told["runs"]]:
                break
    path = "/api/run?run=runs/second"
    with contextlib.closing(store), served.stream(path) as one, served.stream(path) as two:
        assert next(one)["whole"]
        assert next(two)["whole"]
        store.commit(a_commit(0))
        for stream in (one, two):
            assert next(told for told in stream if told.get("rounds"))["rounds"][0]["accuracy"] == 0.5
        store.finish("finished")
        for stream in (one, two):
            assert next(told for told in stream if told["meta"]["status"] != "running")["meta"]["status"] == "finished"


def test_a_run_that_cannot_start_says_why(served: Running) -> None:
    assert served.post("/api/start", {"experiment": "broken.toml"}) == (200, {})
    ended = _ended(served, "broken.toml")
    assert ended["code"] == 1
    assert "model.bundle: there is no" in ended["lines"][-1]


def test_streams_end_with_the_dashboard(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        with dashboard(str(folder / "runs" / "first")) as running:
            stream = stack.enter_context(running.stream("/api/run?run=first"))
            assert next(stream)["whole"]
            other = stack.enter_context(running.stream("/api/runs"))
            assert next(other)["single"] == "first"
        assert [told["event"] for told in stream][-1:] == ["end"]


def test_where_it_cannot_or_should_not_serve_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["dashboard", *arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        return one_line(err)

    assert "there is no directory" in refused(str(tmp_path / "nowhere"))
    assert "loopback addresses only, not on 0.0.0.0" in refused(str(tmp_path), "--host", "0.0.0.0")
    assert "both --certificate and --key" in refused(str(tmp_path), "--certificate", "x.pem")
    (tmp_path / "x.pem").write_text("x")
    wrong = [str(tmp_path), "--certificate", str(tmp_path / "x.pem"), "--key", str(tmp_path / "x.pem")]
    assert "x.pem: " in refused(*wrong)
    assert "no such file" in refused(str(tmp_path), "--certificate", "no.pem", "--key", "no.pem")
    assert "is not an address of this host" in refused(str(tmp_path), "--host", "no.invalid", "--insecure-network")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "in use by another program" in refused(str(tmp_path), "--port", str(other.getsockname()[1]))
    with pytest.raises(SystemExit, match="2"):
        main(["dashboard", "--port", "70000"])


def test_over_tls(folder: Path, tmp_path: Path) -> None:
    files = Identity(tmp_path / "identity").certificates(["127.0.0.1"])
    arguments = ["--certificate", str(files.certificate), "--key", str(files.key)]
    trusting = ssl.create_default_context(cafile=str(files.ca))
    with dashboard(str(folder), *arguments, tls=trusting) as running:
        assert running.address.startswith("https://127.0.0.1:")
        assert "Secure" in running.cookie_flags
        assert running.ask("GET", "/")[0] == 200
        assert running.ask("POST", "/api/stop", {"run": "x"}, Origin=f"http://{running.host}")[0] == 403
        assert running.ask("POST", "/api/stop", {"run": "x"}, Origin=f"https://{running.host}")[0] == 409


def test_beside_a_run_it_ends_with_the_run(folder: Path, tmp_path: Path) -> None:
    code, out, err = pocketfleet(tmp_path, "train", str(folder / "broken.toml"), "--dashboard")
    assert code == 1
    assert "model.bundle: there is no" in one_line(err)
    (line,) = out.splitlines()
    assert line.startswith("dashboard: http://127.0.0.1:")
    # Its port may be another program's by now, but nothing knows the token any more.
    address = urlsplit(line.removeprefix("dashboard: "))
    connection = http.client.HTTPConnection(address.netloc, timeout=WITHIN_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", f"{address.path}?{address.query}")
        assert connection.getresponse().status != 303


def test_on_the_network_it_names_an_address_that_others_reach(folder: Path) -> None:
    with dashboard(str(folder), "--host", "0.0.0.0", "--insecure-network") as running:
        assert running.host.partition(":")[0] in {*host_names(), "localhost"}
        assert running.ask("GET", "/", Host="evil.example")[0] == 421


def test_resume_of_a_run_that_goes_on(served: Running, folder: Path) -> None:
    store: RunStore = create(folder / "runs" / "held")
    try:
        assert "goes on already" in served.post("/api/resume", {"run": "runs/held"})[1]["error"]
    finally:
        store.close()
