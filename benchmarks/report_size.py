"""Time and size of a report, and what writing a round to the run store costs, on a synthetic run of many devices.

The run is made through the real `RunStore`: every device reports times, bytes, energy of five phases, temperature and
battery in every round; some are late, some cut off, some slow down as they warm up, some figures are excluded. All
numbers are drawn from a fixed seed and mean nothing; what is measured is the time and the size of the files.

The store's share is the mean time of ``RunStore.commit`` with the weights of ResNet-20 (1.1 MB) against the length of a
round that ``--round-s`` gives: by default 30 s, which is short for a federation of so many devices. On a busy machine
CPU times tell more than wall times.

Examples
--------
  .venv/bin/python benchmarks/report_size.py
  .venv/bin/python benchmarks/report_size.py --rounds 50 --devices 20 --keep /tmp/run
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Optional

import numpy as np

from python_server.report import write_report
from python_server.run_rows import (
    BATTERY,
    ENERGY,
    ENERGY_EXCLUDED,
    ENERGY_PHASES,
    PREDICTED,
    TEMPERATURE,
    DeviceRoundRow,
    DeviceRow,
    MeasurementRow,
    RoundRow,
)
from python_server.store import RoundCommit, RunStore

WEIGHTS = {"weights": np.zeros(272_474, np.float32)}  # the parameters of ResNet-20
KINDS = (("phone", "phone", 1.0), ("pi", "cpu", 2.2), ("jetson", "gpu", 0.6))
MEASURED_BY = {
    "phone": ("battery gauge, current × voltage", "battery", "device"),
    "pi": ("0.7 W idle, 3.1 W busy (profile raspberry_pi_5)", "modelled", "board"),
    "jetson": ("INA3221 VDD_IN", "measured", "board"),
}


def main() -> None:
    """Build the run, measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=200, help="rounds (default: 200)")
    parser.add_argument("--devices", type=int, default=100, help="devices (default: 100)")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many reports counts (default: 3)")
    parser.add_argument("--round-s", type=float, default=30.0, help="length of a round to compare with (default: 30)")
    parser.add_argument("--keep", type=Path, metavar="RUN", help="make the run there and leave it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.keep or Path(folder) / "synthetic"
        figures: dict[str, float] = {}
        if not run.exists():
            commit_s, commit_cpu_s = build(run, options.rounds, options.devices)
            figures["commit, mean (ms)"] = 1000 * commit_s
            figures["commit, mean CPU time (ms)"] = 1000 * commit_cpu_s
            figures["commit, share of a round (%)"] = 100 * commit_s / options.round_s
        output = Path(folder) / "report.html"
        timed = [_timed(run, output) for _ in range(options.repeats)]
        figures["report, all files (s)"] = min(wall for wall, _ in timed)
        figures["report, CPU time (s)"] = min(cpu for _, cpu in timed)
        for file in sorted(output.parent.glob("report*")):
            figures[f"{file.name} (MB)"] = file.stat().st_size / 1e6
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{options.rounds} rounds × {options.devices} devices")
        for name, value in figures.items():
            print(f"{name:36} {value:8.2f}")


def _timed(run: Path, output: Path) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    write_report(run, output)
    return time.perf_counter() - start, time.process_time() - cpu


def build(path: Path, rounds: int, devices: int) -> tuple[float, float]:
    """Make the run, and return the mean seconds of a commit and its mean CPU time."""
    random = np.random.default_rng(0)
    names = [f"{KINDS[i % len(KINDS)][0]}-{i:03d}" for i in range(devices)]
    ids = [f"sha256:{i:016x}" for i in range(devices)]
    now = 1_790_000_000.0
    store = RunStore.create(path, b'name = "synthetic"\nrounds = 200\n', {"name": "synthetic", "rounds": str(rounds)})
    known = [
        DeviceRow(ids[i], names[i], KINDS[i % len(KINDS)][1], True, now, now + 40 * rounds, {"memory-bytes": 4e9})
        for i in range(devices)
    ]
    spent = cpu = 0.0
    for number in range(rounds + 1):
        rows: list[DeviceRoundRow] = []
        measured: list[MeasurementRow] = []
        if number == 0:
            measured += _predictions(ids)
        else:
            for i in range(devices):
                rows.append(_device_round(number, rounds, ids[i], names[i], KINDS[i % len(KINDS)][2], random))
                measured += _measurements(rows[-1], names[i].split("-")[0], number / rounds, random)
        wall = max((row.read_after_s or 30.0 for row in rows), default=0.1) + 0.6
        accuracy = 0.9 * (1 - float(np.exp(-4 * number / rounds))) + 0.1 + 0.01 * float(random.standard_normal())
        row = RoundRow(
            number, 7, now, wall, wall - 0.6, 0.2, 0.4, len(rows), sum(r.outcome in ("ok", "partial") for r in rows),
            1000, "", "", loss=2.3 * (1 - accuracy), accuracy=min(accuracy, 1.0), examples=10_000,
        )  # fmt: skip
        start, used = time.perf_counter(), time.process_time()
        store.commit(RoundCommit(row, WEIGHTS, devices=known, device_rounds=rows, measurements=measured))
        spent += time.perf_counter() - start
        cpu += time.process_time() - used
        now += wall
        store.keep = "last"  # the size of the weights' folder is not what is looked at
    store.finish("finished", uploads=[])
    store.close()
    return spent / (rounds + 1), cpu / (rounds + 1)


def _device_round(
    number: int, rounds: int, device: str, name: str, slowness: float, random: np.random.Generator
) -> DeviceRoundRow:
    hot = 1 + 0.4 * number / rounds if name.endswith(("3", "7")) else 1.0
    download, prepare, upload = (float(x) for x in random.gamma(4, [0.2, 0.02, 0.3]))
    train = slowness * hot * float(random.normal(8, 0.5))
    sent = 0.1
    busy = download + prepare + train + upload
    read = sent + busy + float(random.exponential(1.0))
    chance = random.random()
    outcome = "late" if chance < 0.01 else "partial" if chance < 0.04 else "ok"
    late = outcome == "late"
    plan = {
        "cut": "", "cutoff_s": 0.0, "download_codec": "float32", "epochs": 2, "keep_weights": False,
        "learning_rate": 0.05, "proximal_mu": 0.0, "reason": "", "steps": 0, "submodel": "", "upload_codec": "float32",
    }  # fmt: skip
    return DeviceRoundRow(
        number, device, name, outcome, "no answer within 30 s" if late else "", plan, 500, 500, 1000,
        60 if outcome == "ok" else 40, 60, 2.0 / number, None if late else download, None if late else prepare,
        None if late else train, None if late else upload, sent, None if late else read - 0.1,
        None if late else read, None if late else 1_090_000, None if late else 1_090_000,
        info={"governor": "schedutil", "build": "0.1.0"},
    )  # fmt: skip


def _measurements(row: DeviceRoundRow, kind: str, progress: float, random: np.random.Generator) -> list[MeasurementRow]:
    if row.train_s is None:
        return []
    source, method, covers = MEASURED_BY[kind]
    seconds = {
        "download": row.download_s or 0.0, "train": row.train_s, "evaluate": 0.5, "upload": row.upload_s or 0.0,
        "wait": 2.0,
    }  # fmt: skip
    out = []
    for phase in ENERGY_PHASES:
        gross = seconds[phase] * (4.0 if phase in ("train", "evaluate") else 2.0)
        stuck = method == "battery" and phase == "train" and random.random() < 0.02
        info = {
            "phase": phase, "idle_j": round(0.7 * seconds[phase], 4), "covers": covers, "rate_hz": 10.0,
            "coverage": round(0.97 + 0.03 * random.random(), 4), "uncertainty_j": round(0.05 * gross, 4),
            "flags": ["the sensor was stuck for 4.1 s"] if stuck else [],
        }  # fmt: skip
        quantity = ENERGY_EXCLUDED if stuck else ENERGY
        out.append(MeasurementRow(row.round, row.device, quantity, gross, "J", source, method, info))
    hot = 30 * progress if row.name.endswith(("3", "7")) else 8 * progress
    for at, value in (("start", 35 + hot), ("end", 42 + hot)):
        value += float(random.normal(0, 0.5))
        out.append(_simple(row, TEMPERATURE, value, "°C", at))
        if kind == "phone":
            out.append(_simple(row, BATTERY, 95 - 60 * progress, "%", at))
    return out


def _simple(row: DeviceRoundRow, quantity: str, value: float, unit: str, at: Optional[str]) -> MeasurementRow:
    return MeasurementRow(row.round, row.device, quantity, value, unit, "the client", "measured", {"at": at})


def _predictions(ids: list[str]) -> list[MeasurementRow]:
    figures = [("round time", 11.0, "s", {}), (ENERGY, 40.0, "J", {"phase": "train"}), ("bytes", 2.18e6, "B", {})]
    return [
        MeasurementRow(0, device, quantity, value, unit, "planner", PREDICTED, dict(info))
        for device in ids
        for quantity, value, unit, info in figures
    ]


if __name__ == "__main__":
    main()
