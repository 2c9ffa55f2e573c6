"""The dashboard's pages and requests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from python_server.dashboard.folder import RunsFolder
from python_server.dashboard.hub import Hub
from python_server.dashboard.launcher import Launcher
from python_server.dashboard.logs import read_log
from python_server.errors import ServerError, StoreError
from python_server.run_lock import holder, stop_holder
from python_server.run_reader import RunReader

__all__ = ["DashboardApp"]

_FILES = {
    "/": ("dashboard/static/page.html", "text/html"),
    "/page.css": ("dashboard/static/page.css", "text/css"),
    "/report.css": ("report/page.css", "text/css"),
    "/page.js": ("dashboard/static/page.js", "text/javascript"),
    "/log.js": ("dashboard/static/log.js", "text/javascript"),
    "/view.js": ("dashboard/static/view.js", "text/javascript"),
    "/icon.svg": ("dashboard/static/icon.svg", "image/svg+xml"),
}
_MOST_BODY_BYTES = 4096
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


class DashboardApp:
    """An ASGI application; `python_server.dashboard.guard.Guard` belongs in front of it.

    Parameters
    ----------
    folder
        What it shows.

    Attributes
    ----------
    hub
        Its streams; ``hub.stop()`` ends them.
    """

    def __init__(self, folder: RunsFolder) -> None:
        self._folder = folder
        self._launcher = Launcher()
        self.hub = Hub(folder, extra=lambda: {**self._launcher.told(), "single": folder.single})
        own = files("python_server")
        self._files = {
            path: ((own / name).read_bytes(), f"{kind}; charset=utf-8") for path, (name, kind) in _FILES.items()
        }
        self.asgi = Starlette(
            routes=[
                *(Route(path, self._file) for path in _FILES),
                Route("/api/runs", self._runs),
                Route("/api/run", self._run),
                Route("/api/log", self._log),
                Route("/report", self._report),
                Route("/api/start", self._start, methods=["POST"]),
                Route("/api/resume", self._resume, methods=["POST"]),
                Route("/api/stop", self._stop, methods=["POST"]),
            ],
            lifespan=self._lifespan,
            exception_handlers={ServerError: _told, OSError: _told},
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self.hub.close()
        await self._launcher.close()

    async def _file(self, request: Request) -> Response:
        content, kind = self._files[request.url.path]
        return Response(content, media_type=kind)

    async def _runs(self, request: Request) -> Response:
        return self._streamed("")

    async def _run(self, request: Request) -> Response:
        name = request.query_params.get("run", "")
        return self._streamed(name, await self._path(name))

    def _streamed(self, name: str, path: Path | None = None) -> Response:
        if self.hub.full:
            return _error("too many pages are open; close some", HTTPStatus.SERVICE_UNAVAILABLE)
        return StreamingResponse(self.hub.stream(name, path), media_type="text/event-stream")

    async def _log(self, request: Request) -> Response:
        path = await self._path(request.query_params.get("run", ""))
        name, start = request.query_params.get("name", ""), request.query_params.get("from", "")
        if not start.isascii() or not start.isdecimal() or len(start) > 15:
            return _error("from has to be a number of bytes", HTTPStatus.BAD_REQUEST)
        return JSONResponse(await self.hub.in_thread(lambda: read_log(path, name, int(start))))

    async def _report(self, request: Request) -> Response:
        path = await self._path(request.query_params.get("run", ""))
        page = path / "report.html"
        if page.is_symlink() or not page.is_file():
            raise StoreError(f"{path.name} has no report yet; write it with: pocketfleet report {path}")
        content = await self.hub.in_thread(page.read_bytes)
        return Response(content, media_type="text/html", headers={"content-security-policy": _REPORT_POLICY})

    async def _start(self, request: Request) -> Response:
        name = await _named(request, "experiment")
        found = await self.hub.in_thread(self._folder.find)
        if name not in found.experiments:
            raise StoreError(f"there is no experiment {name} below {self._folder.path}")
        runs = await self.hub.in_thread(lambda: self._folder.new_runs)
        await self._launcher.start(name, "train", str(found.experiments[name]), "--runs", str(runs))
        return JSONResponse({})

    async def _resume(self, request: Request) -> Response:
        name = await _named(request, "run")
        path = await self._path(name)
        if holder(path) is not None:
            raise StoreError(f"{name} goes on already")
        command = await self.hub.in_thread(lambda: _command_of(path))
        await self._launcher.start(name, command, "--resume", str(path))
        return JSONResponse({})

    async def _stop(self, request: Request) -> Response:
        name = await _named(request, "run")
        if stop_holder(await self._path(name)) is None:
            raise StoreError(f"no process of yours works on {name}")
        return JSONResponse({})

    async def _path(self, name: str) -> Path:
        path = await self.hub.in_thread(lambda: self._folder.run(name))
        if path is None:
            raise StoreError(f"there is no run {name} below {self._folder.path}")
        return path


def _command_of(path: Path) -> str:
    with RunReader(path) as run:
        return "simulate" if run.meta.get("mode") == "simulated" else "train"


async def _named(request: Request, key: str) -> str:
    """Return what a request's JSON names."""
    body = b""
    with contextlib.suppress(ClientDisconnect):
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BODY_BYTES:
                break
    try:
        value = json.loads(body[:_MOST_BODY_BYTES])[key]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"the request names no {key}") from None
    return str(value)


async def _told(request: Request, error: Exception) -> Response:
    return _error(" ".join(str(error).split()), HTTPStatus.CONFLICT)


def _error(text: str, status: HTTPStatus) -> Response:
    return JSONResponse({"error": text}, status_code=status)
