"""The dashboard in a real browser: eight real clients, followed live from the start button to the stop button."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from python_server.run_reader import RunReader
from tests.browser import CHROMIUM, Browser, Page, running_browser
from tests.dashboard_test import dashboard
from tests.server_train_test import alive, descendants

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install it to look at the page")

CLIENTS = 8
ROUNDS = 4000
"""More than there is time for: the run is stopped."""
EXPERIMENT = """
name = "eight"
seed = 3
rounds = {rounds}
keep_weights = "last"
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[train]
epochs = 2
learning_rate = 0.05
[server]
port = 0
round_deadline_s = 60
start_deadline_s = 120
"""
SHOTS = os.environ.get("POCKETFLEET_SCREENSHOTS", "")
"""A folder that pictures are kept in, for people to look at."""


@pytest.fixture(scope="module", name="browser")
def make_browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path, digits: Any, digits_bundle: Path) -> Path:
    text = EXPERIMENT.format(rounds=ROUNDS, bundle=digits_bundle)
    for number in range(CLIENTS):
        digits.save(tmp_path / f"c{number}.npz", slice(number * 170, number * 170 + 170))
        text += (
            f'[[clients]]\nname = "device-{number}"\nprocessor = "cpu"\ndata = "c{number}.npz"\nprofile = "generic"\n'
        )
    digits.save_test(tmp_path / "test.npz")
    (tmp_path / "eight.toml").write_text(text)
    return tmp_path


def test_eight_clients_are_followed_from_start_to_stop(folder: Path, browser: Browser) -> None:
    with dashboard(str(folder)) as served:
        page = browser.page()
        page.look(width=1280, height=1000, dark=False)
        page.open(served.address)
        page.until("!document.getElementById('start-box').hidden")
        assert urlsplit(page.run("location.href")).query == "", "the token left the address"
        assert page.text("#nothing").startswith("Choose a run")

        # By keyboard alone: open the list of experiments, and start the only one.
        page.run("document.querySelector('#start-box summary').focus()")
        page.press("Enter", 13, "\r")
        page.run("document.querySelector('#experiments button').focus()")
        page.press("Enter", 13, "\r")

        page.until("document.getElementById('status').textContent === 'running'")
        page.until(
            "/^Round [0-9]+ of 4000: [0-8] of 8 devices answered/.test(document.getElementById('now').textContent)"
        )
        page.until("document.querySelectorAll('#devices tbody tr').length === 8")
        page.until("[...document.querySelectorAll('#devices td')].some(cell => /at work for/.test(cell.textContent))")
        # The page is never made anew: a mark on its rows outlives the rounds that follow.
        page.run("document.querySelectorAll('#devices tbody tr').forEach(row => row.dataset.mark = 'kept')")
        page.until("Number(document.getElementById('card-round').textContent) >= 3")
        assert page.run("document.querySelectorAll('#devices tr[data-mark=kept]').length") == CLIENTS
        page.until("/^Round [0-9]+ done, accuracy 0/.test(document.getElementById('said').textContent)")
        page.until("document.querySelectorAll('#chart-energy svg, #chart-accuracy svg').length === 2")
        assert "modelled" in page.text("#card-energy-of")
        _look_at(page)
        _read_aloud(page)
        page.run("document.getElementById('log-name').value = 'client-device-3'")
        page.run("document.getElementById('log-name').dispatchEvent(new Event('change'))")
        page.until("/device-3|round|server|127/.test(document.getElementById('log').textContent)")

        second = browser.page()
        second.open(served.address)
        second.until("Number(document.getElementById('card-round').textContent) >= 3")

        children = descendants(served.process.pid)
        assert len(children) == CLIENTS + 2, "train, its SuperLink and the clients"
        page.run("document.getElementById('stop').click()")
        page.run("document.getElementById('ask-yes').click()")
        page.until("document.getElementById('status').textContent === 'interrupted'")
        second.until("document.getElementById('status').textContent === 'interrupted'")
        page.until("/was interrupted at .*, after round/.test(document.getElementById('now').textContent)")
        assert not page.run("document.getElementById('resume').hidden")
        page.until("/ended with code 1/.test(document.getElementById('started').textContent)")
        assert not any(map(alive, children))
        assert page.complaints == second.complaints == []
        assert {urlsplit(address).netloc for address in page.requests if address.startswith("http")} == {served.host}
        (run,) = (folder / "runs").iterdir()
        with RunReader(run) as reader:
            rounds = reader.rounds()
            assert reader.status == "interrupted"
            assert all(row.used == CLIENTS for row in rounds[1:])
        assert page.text("#card-round") == str(rounds[-1].round)
        shutil.rmtree(run)
        for each in (page, second):
            each.until("/is gone/.test(document.getElementById('problem').textContent)")
            assert each.run("document.getElementById('run').hidden")


def _look_at(page: Page) -> None:
    for width, dark in ((1280, False), (1280, True), (420, False), (420, True)):
        name = f"dashboard-{'wide' if width > 600 else 'phone'}-{'dark' if dark else 'light'}.png"
        picture = page.look(width=width, height=1000, dark=dark, file=Path(SHOTS) / name if SHOTS else None, whole=True)
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
        background = pixels[pixels.shape[0] - 2, 2]
        assert bool(background.mean() < 60) is dark
        coloured = (pixels.max(2) - pixels.min(2) > 90).sum()
        assert coloured > 1500, "lines and bars are painted"
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), f"{name} sticks out to the side"
    page.look(width=1280, height=1000, dark=False)


def _read_aloud(page: Page) -> None:
    """What a screen reader finds."""
    roles = page.roles()
    names = {role: [name for each, name in roles if each == role] for role, _ in roles}
    assert {"banner", "navigation", "main", "progressbar", "status", "log"} <= names.keys()
    assert {"Devices", "Rounds", "Energy by device and phase"} <= set(names["heading"])
    pictures = [name for name in (*names.get("image", []), *names.get("img", [])) if name]
    assert any(name.startswith("Accuracy by round; the last: server's test data 0.") for name in pictures)
    assert any(name.startswith("Joules so far by device and phase, of 8 devices") for name in pictures)
    assert {"Device", "Now", "Battery", "Temperature"} <= set(names["columnheader"])
    assert {f"device-{number}" for number in range(CLIENTS)} <= set(names["rowheader"])
    assert all(names["button"]), "every button has a name"
    assert page.run(
        "[...document.querySelectorAll('input, select')].every(each => each.labels[0] && each.labels[0].textContent)"
    )
    # The focus can be seen wherever the tabulator takes it.
    page.run("document.activeElement.blur()")
    seen = set()
    for _ in range(6):
        page.press("Tab", 9)
        style = page.run("getComputedStyle(document.activeElement).outlineStyle")
        seen.add(page.run("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert style not in ("none", ""), page.run("document.activeElement.outerHTML")
    assert len(seen) == 6
