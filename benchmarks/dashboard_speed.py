"""How quick the dashboard is with a long run: 200 rounds of 100 devices, in a real Chromium.

The run is synthetic, written by the real run store; a dashboard serves it as ever. Measured are

* until the page can be used: from the start of the navigation until all devices stand in their table, the rounds in
  theirs, and the browser has painted them; and until the joules of all 100,000 device phases are added up. The
  dashboard has read nothing of the run before;
* from a commit to the screen: from the moment that `RunStore.commit` returns until the browser has painted the round;
* from a device's answer to the screen, between commits;
* what the run pays: time of the round loop for one answer (`python_server.live`), with and without a dashboard that
  looks on, beside the time of the commit itself.

Beside each time stands what it took of the processor: of the dashboard's process, and of the page's own thread. On a
machine that does nothing else, a time is about their sum, and for changes the wait until the dashboard looks again,
0.05 s in the mean; on a busy one it is longer.

Examples
--------
  .venv/bin/python benchmarks/dashboard_speed.py
  .venv/bin/python benchmarks/dashboard_speed.py --rounds 50 --devices 20 --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from python_server.live import LiveFile  # noqa: E402 (after the path to it)
from python_server.run_rows import (  # noqa: E402
    BATTERY,
    ENERGY,
    ENERGY_PHASES,
    TEMPERATURE,
    DeviceRoundRow,
    DeviceRow,
    MeasurementRow,
    RoundRow,
)
from python_server.store import RoundCommit, RunStore  # noqa: E402
from tests.browser import Page, running_browser  # noqa: E402

WATCH = """
window.seen = {};
const note = (key) => { if (!(key in seen)) { seen[key] = null;
  requestAnimationFrame(() => requestAnimationFrame(() => { seen[key] = [performance.now(), Date.now()]; })); } };
document.addEventListener("DOMContentLoaded", () => {
  const look = () => {
    const shown = document.querySelectorAll("#devices tbody tr").length;
    if (shown >= DEVICES && document.querySelector("#rounds tbody tr")) note("usable");
    const energy = document.getElementById("card-energy-of").textContent;
    if (document.getElementById("card-energy").textContent !== "–" && !energy.includes("added up")) note("joules");
    note("round " + document.getElementById("card-round").textContent);
    const now = document.getElementById("now").textContent.match(/: ([0-9]+) of/);
    if (now) note("answers " + now[1]);
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
});
"""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=200, help="of the run (default: 200)")
    parser.add_argument("--devices", type=int, default=100, help="of each round (default: 100)")
    parser.add_argument("--commits", type=int, default=20, help="further rounds to follow (default: 20)")
    parser.add_argument("--repeats", type=int, default=5, help="how often the page is opened (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dashboard_speed") as folder:
        store = RunStore.create(
            Path(folder) / "long",
            b'name = "long"\n',
            {"name": "long", "rounds": "1000", "strategy": "fedavg"},
            keep="last",
        )
        try:
            store.start()
            for number in range(arguments.rounds + 1):
                store.commit(a_round(number, arguments.devices if number else 0))
            told = measure(store, arguments.rounds, arguments.devices, arguments.commits, arguments.repeats)
        finally:
            store.close()
    if arguments.json:
        print(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


def measure(store: RunStore, rounds: int, devices: int, commits: int, repeats: int) -> dict[str, Any]:
    """Return all figures; times in seconds."""
    live = LiveFile(store.path)
    alone_s = answers(live, devices)
    usable, joules, server_s, page_s = [], [], [], []
    with dashboard(store.path.parent) as (address, pid), running_browser() as browser:
        for _ in range(repeats):
            page = browser.page()
            page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH.replace("DEVICES", str(devices)))
            page.call("Performance.enable", timeDomain="threadTicks")
            start_s = cpu_s(pid)
            page.open(address)
            page.until("window.seen && seen.usable")
            server_s.append(cpu_s(pid) - start_s)
            page_s.append(busy_s(page))
            page.until("seen.joules", 120)
            usable.append(page.run("seen.usable[0]") / 1000)
            joules.append(page.run("seen.joules[0]") / 1000)
            sent = page.run(
                "performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0)"
            )
            if len(usable) < repeats:  # the last one follows what comes
                page.open("about:blank")
                time.sleep(1.0)  # the dashboard lets go of the run
        commit_s, to_screen = [], []
        start_s, start_busy_s = cpu_s(pid), busy_s(page)
        for number in range(rounds + 1, rounds + 1 + commits):
            commit = a_round(number, devices)
            start = time.monotonic()
            store.commit(commit)
            commit_s.append(time.monotonic() - start)
            to_screen.append(seen(page, f"round {number}", time.time()))
        per_commit_s = (cpu_s(pid) - start_s) / commits
        page_per_commit_s = (busy_s(page) - start_busy_s) / commits
        live.round_started(rounds + commits + 1, 1000, {a_name(i): f"device {i}" for i in range(devices)})
        answer_to_screen = []
        for index in range(min(20, devices)):
            live.answered(an_answer(rounds + commits + 1, index))
            answer_to_screen.append(seen(page, f"answers {index + 1}", time.time()))
        watched_s = answers(live, devices)
        size = page.run("document.documentElement.outerHTML.length")
    return {
        "rounds": rounds,
        "devices": devices,
        "page usable (median)": statistics.median(usable),
        "page usable (worst)": max(usable),
        "page usable, dashboard's processor time": statistics.median(server_s),
        "page usable, page's processor time": statistics.median(page_s),
        "joules added up (median)": statistics.median(joules),
        "commit to screen (median)": statistics.median(to_screen),
        "commit to screen (worst)": max(to_screen),
        "commit to screen, dashboard's processor time": per_commit_s,
        "commit to screen, page's processor time": page_per_commit_s,
        "answer to screen (median)": statistics.median(answer_to_screen),
        "answer to screen (worst)": max(answer_to_screen),
        "commit of a round (median)": statistics.median(commit_s),
        "live file, per answer, alone (ms)": 1000 * alone_s,
        "live file, per answer, followed (ms)": 1000 * watched_s,
        "page (kB)": size / 1000,
        "files of the page (kB)": sent / 1000,
    }


def seen(page: Page, key: str, since: float) -> float:
    """Return how long after a moment the browser had painted something."""
    at = page.until(f"seen[{json.dumps(key)}] && seen[{json.dumps(key)}][1]")
    return float(at) / 1000 - since


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s(page: Page) -> float:
    """Return the processor time that a page's main thread has taken."""
    metrics = page.call("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")


def answers(live: LiveFile, devices: int) -> float:
    """Return the seconds that the round loop spends on one answer."""
    live.round_started(1, 1, {a_name(i): f"device {i}" for i in range(devices)})
    start = time.monotonic()
    for index in range(devices):
        live.answered(an_answer(1, index))
    return (time.monotonic() - start) / devices


def a_name(index: int) -> str:
    """Return a device's id."""
    return f"sha256:{index:016x}"


def an_answer(number: int, index: int) -> DeviceRoundRow:
    """Return a device's row, as full as a real one's."""
    late = (index + number) % 17 == 0
    return DeviceRoundRow(
        number, a_name(index), f"device {index}", "late" if late else "ok", "no answer within 60 s" if late else "",
        plan={"epochs": 1, "learning_rate": 0.05, "cutoff_s": 0.0, "submodel": ""}, weight=100, num_examples=100,
        examples_processed=100, steps=7, planned_steps=7, train_loss=2.0 / (number + 1), download_s=0.2, prepare_s=0.01,
        train_s=3 + index / 10, upload_s=0.3, sent_after_s=0.1, replied_after_s=4 + index / 10, read_after_s=4.1,
        download_bytes=10**6, upload_bytes=10**6, energy_j=12.0, energy_idle_j=3.0, energy_source="CPU time",
        energy_method="modelled",
    )  # fmt: skip


def a_round(number: int, devices: int) -> RoundCommit:
    """Return a round with every figure that a device may tell."""
    rows = [an_answer(number, index) for index in range(devices)]
    info = {"covers": "device", "rate_hz": 10.0, "coverage": 0.99, "uncertainty_j": 0.1, "flags": [], "idle_j": 1.0}
    figures = [
        MeasurementRow(number, row.device, quantity, value, unit, "synthetic", "modelled", told)
        for row in rows
        for quantity, value, unit, told in (
            *((ENERGY, 4.0, "J", {**info, "phase": phase}) for phase in ENERGY_PHASES),
            (TEMPERATURE, 40.0 + number % 20, "°C", {"at": "end"}),
            (BATTERY, 90.0 - number % 60, "%", {"at": "end"}),
        )
    ]
    used = sum(row.outcome == "ok" for row in rows)
    return RoundCommit(
        RoundRow(
            number, 1, time.time(), 10.0, 8.0, 0.5, 0.6, devices, used, 100 * used, "", "",
            loss=2.3 / (1 + number * 0.1), accuracy=1 - 0.9 / (1 + number * 0.1), examples=1000,
        ),
        {"w": np.zeros(1, np.float32)},
        devices=[
            DeviceRow(row.device, row.name, "cpu", True, 1.0, float(number), {"battery-percent": 90.0}) for row in rows
        ],
        device_rounds=rows,
        measurements=figures,
    )  # fmt: skip


@contextlib.contextmanager
def dashboard(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve a folder while in the block; yield the address, and the process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "python_server.cli", "dashboard", str(folder), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["dashboard"], process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    main()
