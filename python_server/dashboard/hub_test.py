from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest

from python_server.dashboard import hub as hub_module
from python_server.dashboard.folder import RunsFolder
from python_server.dashboard.hub import Hub
from python_server.run_rows import EventRow, Json
from python_server.store import RunStore
from python_server.store_test import a_commit, create

WITHIN_S = 180.0


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> Any:
    store = create(tmp_path / "run")
    store.start()
    store.commit(a_commit(0))
    yield store
    store.close()


class Reader:
    """A browser."""

    def __init__(self, hub: Hub, store: RunStore) -> None:
        self.stream = cast("AsyncGenerator[bytes, None]", hub.stream("run", store.path))

    async def next(self) -> Json:
        message = await asyncio.wait_for(self.stream.__anext__(), WITHIN_S)
        assert message.startswith(b"data: ")
        assert message.endswith(b"\n\n")
        return dict(json.loads(message[6:]))

    async def until_round(self, number: int) -> list[Json]:
        told: list[Json] = []
        while not told or all(row["round"] != number for row in told[-1].get("rounds", [])):
            told.append(await self.next())
        return told


async def over(*readers: Reader) -> None:
    for reader in readers:
        with contextlib.suppress(StopAsyncIteration):
            await reader.stream.aclose()


def test_two_browsers_see_the_same_and_the_run_is_read_once(store: RunStore, tmp_path: Path) -> None:
    async def work() -> None:
        hub = Hub(RunsFolder(tmp_path))
        one = Reader(hub, store)
        assert (await one.next())["whole"]
        store.commit(a_commit(1))
        first = await one.until_round(1)
        two = Reader(hub, store)
        whole = await two.next()
        assert [row["round"] for row in whole["rounds"]] == [0, 1]
        assert hub.followed == ["run"]
        store.commit(a_commit(2))
        first += await one.until_round(2)
        second = await two.until_round(2)
        for told in (first[1:], second):
            numbers = [row["round"] for each in told if not each.get("whole") for row in each.get("rounds", [])]
            assert numbers[-1] == 2
            assert len(numbers) == len(set(numbers)), "nothing is told twice"
        await over(one)
        assert hub.followed == ["run"]
        await over(two)
        assert hub.followed == []
        await hub.close()

    asyncio.run(work())


def test_a_slow_browser_gets_the_whole_again_and_holds_nobody_up(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_MOST_WAITING_BYTES", 3000)

    async def work() -> None:
        hub = Hub(RunsFolder(tmp_path))
        slow, quick = Reader(hub, store), Reader(hub, store)
        assert (await slow.next())["whole"]
        assert (await quick.next())["whole"]
        for number in range(1, 5):
            store.commit(a_commit(number))
            store.add_event(EventRow(1.0, "late", "x" * 1000))
            await quick.until_round(number)
        (channel,) = hub._channels.values()
        assert sum(browser.bytes for browser in channel.browsers) <= 3000 * 2
        told = await slow.next()
        assert told["whole"]
        assert [row["round"] for row in told["rounds"]] == [0, 1, 2, 3, 4]
        await over(slow, quick)
        await hub.close()

    asyncio.run(work())


def test_streams_end_when_the_dashboard_does(store: RunStore, tmp_path: Path) -> None:
    async def work() -> None:
        hub = Hub(RunsFolder(tmp_path))
        reader = Reader(hub, store)
        await reader.next()
        waiting = asyncio.create_task(reader.stream.__anext__())
        await asyncio.sleep(0.3)
        hub.stop()
        last = await asyncio.wait_for(waiting, WITHIN_S)
        while not last.startswith(b"event: end"):
            last = await asyncio.wait_for(reader.stream.__anext__(), WITHIN_S)
        with pytest.raises(StopAsyncIteration):
            await reader.stream.__anext__()
        await hub.close()

    asyncio.run(work())


def test_the_list_follows_what_comes_and_goes(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_LIST_S", 0.05)

    async def work() -> None:
        hub = Hub(RunsFolder(tmp_path), lambda: {"started": []})
        stream = cast("AsyncGenerator[bytes, None]", hub.stream(""))

        async def names(wanted: set[str]) -> None:
            while True:
                message = await asyncio.wait_for(stream.__anext__(), WITHIN_S)
                if {run["run"] for run in json.loads(message[6:])["runs"]} == wanted:
                    return

        await names({"run"})
        create(tmp_path / "other").close()
        await names({"run", "other"})
        await stream.aclose()
        await hub.close()

    asyncio.run(work())


def test_infinite_losses_travel_as_nothing(store: RunStore) -> None:
    assert hub_module._message({"loss": float("inf"), "rows": [{"x": float("nan")}, 1]}) == (
        b'data: {"loss":null,"rows":[{"x":null},1]}\n\n'
    )
