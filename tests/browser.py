"""A real Chromium, driven over its own debugging protocol: what the tests and benchmarks of live pages look with.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_DRIVEN = ("--disable-dev-shm-usage", "--remote-debugging-port=0")
_START_S = _ANSWER_S = 180.0
"""Far more than is needed: a machine may be busy with ten other things."""


class Page:
    """One tab.

    Attributes
    ----------
    complaints
        What went wrong in it: errors on the console, exceptions, requests that were refused.
    requests
        Addresses that it asked for.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(_ANSWER_S))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def open(self, address: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Return what a JavaScript expression gives; promises are waited for."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def until(self, script: str, within_s: float = 180.0) -> Any:
        """Wait until an expression gives something true, and return it."""
        end = time.monotonic() + within_s
        while True:
            with contextlib.suppress(RuntimeError):  # the page is not there yet
                value = self.run(script)
                if value:
                    return value
            assert time.monotonic() < end, f"not true within {within_s} s: {script}\n{self.complaints}"
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def look(self, *, width: int, height: int, dark: bool, file: Optional[Path] = None, whole: bool = False) -> bytes:
        """Return a picture of the page on a screen of this size, in its light or dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        picture = base64.b64decode(told["data"])
        if file is not None:
            file.write_bytes(picture)
        return picture

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and let go of a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def roles(self) -> list[tuple[str, str]]:
        """Return role and name of everything that a screen reader meets, in order."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], str(node.get("name", {}).get("value", ""))) for node in nodes if not node["ignored"]
        ]

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif (method == "Log.entryAdded" and told["entry"]["level"] == "error") or (
            method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning")
        ):
            self.complaints.append(json.dumps(told))


class Browser:
    """A browser of its own; close it, or use `running_browser`."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        log = (profile / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [CHROMIUM, *FLAGS, *_DRIVEN, f"--user-data-dir={profile}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _START_S
        told = profile / "DevToolsActivePort"
        while not (told.is_file() and len(told.read_text().split()) == 2):
            assert time.monotonic() < end, (profile / "log").read_text()
            assert self._process.poll() is None, (profile / "log").read_text()
            time.sleep(0.02)
        port, path = told.read_text().split()
        self._address = f"ws://127.0.0.1:{port}"
        self._sockets = contextlib.ExitStack()
        self._main = Page.__new__(Page)
        self._main._socket = self._connect(path)
        self._main._ids = itertools.count(1)
        self._main.complaints, self._main.requests = [], []

    def page(self) -> Page:
        """Open a tab, which shares cookies with no other."""
        context = self._main.call("Target.createBrowserContext")["browserContextId"]
        target = self._main.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        return Page(self._connect(f"/devtools/page/{target}"))

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Exception):
            self._main.call("Browser.close")
        with contextlib.suppress(Exception):
            self._sockets.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _connect(self, path: str) -> ClientConnection:
        # max_size: pictures are larger than a megabyte.
        connection = connect(self._address + path, max_size=None, proxy=None, compression=None, ping_interval=None)
        return self._sockets.enter_context(connection)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser while in the block."""
    with tempfile.TemporaryDirectory(prefix="browser", ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            yield browser
        finally:
            browser.close()
