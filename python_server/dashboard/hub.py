"""One reader for all browsers: each run that somebody looks at is followed once, and every change is written once.

A browser that is slow, or asleep, costs no more than `_MOST_WAITING_BYTES`: what it has not taken by then is thrown
away, and it gets the whole state when it is ready again.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional, Protocol, TypeVar

from python_server.dashboard.folder import Found, RunsFolder
from python_server.dashboard.follow import RunFollower
from python_server.run_rows import Json

__all__ = ["Hub"]

_LIST_S = 1.0
_LIST_SHARE = 20
"""The list of runs is made no more often than takes this share (a twentieth) of the time."""
_BEAT_S = 15.0
_MOST_WAITING_BYTES = 2 * 2**20
_MOST_BROWSERS = 64

_T = TypeVar("_T")


class _Source(Protocol):
    """What is followed. All of it is called in the thread that reads."""

    def look(self) -> Json:
        """Return what changed."""

    def snapshot(self) -> Json:
        """Return all there is."""

    def close(self) -> None:
        """Let go of it."""

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""


class _Browser:
    """What waits to be sent to one browser; ``behind`` until it was sent the whole state."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.bytes = 0
        self.behind = True
        self.ready = asyncio.Event()

    def offer(self, version: int, message: bytes) -> None:
        self.waiting.append((version, message))
        self.bytes += len(message)
        if self.bytes > _MOST_WAITING_BYTES:
            self.forget()
        self.ready.set()

    def forget(self) -> None:
        self.waiting.clear()
        self.bytes = 0
        self.behind = True


class _Channel:
    """One source, and the browsers that look at it."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.version = 0
        self.browsers: set[_Browser] = set()
        self.task: Optional[asyncio.Task[None]] = None

    def look(self) -> tuple[int, bytes]:
        change = self.source.look()
        self.version += bool(change)
        return self.version, _message(change) if change else b""

    def whole(self) -> tuple[int, bytes]:
        return self.version, _message(self.source.snapshot())

    def wake(self) -> None:
        for browser in self.browsers:
            browser.ready.set()


class Hub:
    """Follows runs for browsers.

    Parameters
    ----------
    folder
        What may be followed.
    extra
        Returns what else the list of runs tells, such as what was started here.
    """

    def __init__(self, folder: RunsFolder, extra: Callable[[], Json] = dict) -> None:
        self.folder = folder
        self._extra = extra
        self._channels: dict[str, _Channel] = {}
        # All reading is done in one thread: SQLite's connections stay in theirs, and no browser waits for a disk.
        self._thread = ThreadPoolExecutor(1, "reading runs")
        self._over = False

    @property
    def full(self) -> bool:
        """Whether no further stream is served."""
        return sum(len(channel.browsers) for channel in self._channels.values()) >= _MOST_BROWSERS

    @property
    def followed(self) -> list[str]:
        """What is being followed: ids of runs, and the empty name for their list."""
        return list(self._channels)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Do something that reads files, in the thread for it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def stream(self, name: str, path: Optional[Path] = None) -> AsyncIterator[bytes]:
        """Yield server-sent events about the run at a path, or about the list of runs, until the dashboard ends.

        Parameters
        ----------
        name
            The run's id; empty for the list.
        path
            Of the run.
        """
        channel = self._channels.get(name)
        if channel is None:
            source = RunFollower(path) if path else _RunList(self.folder, self._extra)
            channel = self._channels[name] = _Channel(source)
            channel.task = asyncio.create_task(self._follow(channel))
        browser = _Browser()
        channel.browsers.add(browser)
        try:
            async for message in self._messages(channel, browser):
                yield message
        finally:
            channel.browsers.discard(browser)
            if not channel.browsers:
                await self._let_go(name, channel)

    def stop(self) -> None:
        """End all streams."""
        self._over = True
        for channel in self._channels.values():
            channel.wake()

    async def close(self) -> None:
        """Stop following."""
        self.stop()
        for name, channel in list(self._channels.items()):
            await self._let_go(name, channel)
        self._thread.shutdown()

    async def _messages(self, channel: _Channel, browser: _Browser) -> AsyncIterator[bytes]:
        seen = -1
        while not self._over:
            if browser.behind:
                browser.behind = False  # from here on changes queue up; those that the state has already are skipped
                seen, message = await self.in_thread(channel.whole)
                yield message
            elif browser.waiting:
                version, message = browser.waiting.popleft()
                browser.bytes -= len(message)
                if version > seen:
                    yield message
            elif channel.task is not None and channel.task.done():
                return
            else:
                browser.ready.clear()
                try:
                    await asyncio.wait_for(browser.ready.wait(), _BEAT_S)
                except asyncio.TimeoutError:
                    yield b": still here\n\n"
        yield b"event: end\ndata: {}\n\n"

    async def _follow(self, channel: _Channel) -> None:
        try:
            while True:
                version, message = await self.in_thread(channel.look)
                if message:
                    for browser in channel.browsers:
                        browser.offer(version, message)
                await asyncio.sleep(channel.source.pause_s)
        finally:
            channel.wake()

    async def _let_go(self, name: str, channel: _Channel) -> None:
        if self._channels.get(name) is channel:
            del self._channels[name]
            assert channel.task is not None
            channel.task.cancel()
            await asyncio.gather(channel.task, return_exceptions=True)
            await self.in_thread(channel.source.close)


class _RunList:
    """The list of runs and experiments, and what was started here."""

    def __init__(self, folder: RunsFolder, extra: Callable[[], Json]) -> None:
        self._folder = folder
        self._extra = extra
        self._state: Json = {}
        self.pause_s = _LIST_S

    def look(self) -> Json:
        start = time.monotonic()
        try:
            found = self._folder.find()
        except OSError:
            found = Found()
        state = {
            "runs": self._folder.list_runs(found),
            "experiments": sorted(found.experiments),
            "cut_short": found.cut_short,
            **self._extra(),
        }
        self.pause_s = max(_LIST_S, _LIST_SHARE * (time.monotonic() - start))
        changed = state != self._state
        self._state = state
        return state if changed else {}

    def snapshot(self) -> Json:
        if not self._state:
            self.look()
        return self._state

    def close(self) -> None:
        pass


def _message(values: Json) -> bytes:
    try:
        text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a loss that is infinite
        text = json.dumps(_finite(values), separators=(",", ":"), allow_nan=False)
    return b"data: " + text.encode() + b"\n\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
