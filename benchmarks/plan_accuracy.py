"""A plan beside what came: local processes under quotas of processor time, planned from their own calibration.

Four devices on this machine, each a client process in a control group with a share of one core. Everything goes the way
of real devices: ``fleet push``, ``fleet calibrate`` (all at once), ``plan``, ``train --inventory`` with the
clients that ``fleet start`` has started. The images are noise: times do not depend on them. The plan is made before the
run, from the calibration alone, and the run's own measurements are compared with it.

Control groups need a root that may make them (version 1 or 2). The groups, and that of the server, go before all
other work of the machine, so that a device gets its share at any time.

    .venv/bin/python benchmarks/plan_accuracy.py --core 1
    .venv/bin/python benchmarks/plan_accuracy.py --core 1 --rounds 20 --write docs/planning.md
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.papers.cases import ROOT, write_section
from python_server.run_reader import RunReader
from python_server.run_rows import PREDICTED

QUOTAS = {"a": 0.16, "b": 0.12, "c": 0.08, "d": 0.06}
"""Shares of one core; together less than half of it, so that no device waits for another."""
SAMPLES = {"a": 320, "b": 320, "c": 160, "d": 160}
PERIOD_US = 20_000
CGROUP_V1, CGROUP_V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")

EXPERIMENT = """\
name = "plan-accuracy"
rounds = {rounds}
seed = 1
model = {{ bundle = "cnn.bundle" }}
train = {{ epochs = {epochs}, learning_rate = 0.01 }}
[server]
port = {port}
identity = "identity"
start_clients = {count}
min_clients = {count}
"""


def main(words: Sequence[str] | None = None) -> int:
    """Do it all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10, help="local epochs E")
    parser.add_argument("--seconds", type=float, default=20.0, help="of calibration, for each figure")
    parser.add_argument("--core", type=int, help="keep everything on this core")
    parser.add_argument("--work", type=Path, help="folder for data and runs; kept")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the table into this page")
    options = parser.parse_args(words)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        server = control_group("server")
        groups = {name: control_group(name, share) for name, share in QUOTAS.items()}
        try:
            (server / "cgroup.procs").write_text(str(os.getpid()))
            rows, summary = compared(work, groups, options)
        finally:
            (server.parent / "cgroup.procs").write_text(str(os.getpid()))
            for group in (server, *groups.values()):
                group.rmdir()
    for row in rows:
        print("  ".join(f"{key}: {value}" for key, value in row.items()))
    print(summary)
    if options.write is not None:
        write_section(options.write, "plan-accuracy", rows)
    return 0


def compared(work: Path, groups: dict[str, Path], options: argparse.Namespace) -> tuple[list[dict[str, str]], str]:
    """Calibrate, plan and train; return the table, and what it comes to."""
    prepare(work, groups, options)
    pocketfleet(work, "fleet", "push")
    pocketfleet(work, "fleet", "calibrate", "cnn.bundle", "--seconds", str(options.seconds))
    plan = json.loads(pocketfleet(work, "plan", "e.toml", "--inventory", "fleet.toml", "--json"))
    pocketfleet(work, "fleet", "enrol", "--experiment", "e.toml")
    pocketfleet(work, "fleet", "start")
    try:
        pocketfleet(work, "train", "e.toml", "--inventory", "fleet.toml")
    finally:
        pocketfleet(work, "fleet", "stop")
    return table(plan, next((work / "runs").iterdir()), calibrated_ms(work))


def table(plan: dict[str, Any], run: Path, calibrated: dict[str, float]) -> tuple[list[dict[str, str]], str]:
    """Return predicted and observed times of devices and rounds.

    ``calibrated`` is the processor time of a step by device, in milliseconds: it tells how much of what a plan is off
    by is that the machine itself was slower in the run than when it was calibrated.
    """
    with RunReader(run) as reader:
        rounds = [row.wall_s for row in reader.rounds() if row.round]
        device_rounds = reader.device_rounds()
        kept = [row for row in reader.measurements() if row.method == PREDICTED]
    assert any(row.quantity == "round time" and not row.device for row in kept), "the run has kept no plan"
    rows, slowest_s = [], 0.0
    for each in plan["devices"]:
        name, own = each["name"], [row for row in device_rounds if row.name == each["name"]]
        step_ms = statistics.median(1000 * (row.cpu_s or 0.0) / (row.steps or 1) for row in own)
        seconds = [row.train_s or 0.0 for row in own]
        row = line(f"{name} ({QUOTAS[name]:.0%}): training", each["train_s"], statistics.median(seconds), seconds)
        slowest_s = max(slowest_s, each["train_s"] * step_ms / calibrated[name])
        rows.append({**row, "processor ms a step: calibrated, in the run": f"{calibrated[name]:.2f}, {step_ms:.2f}"})
    observed = statistics.median(rounds)
    rows.append({**line("a round of the fleet", plan["round_s"], observed, rounds), list(rows[0])[-1]: ""})
    beside_s = plan["round_s"] - max(each["train_s"] for each in plan["devices"])
    off, without = plan["round_s"] / observed - 1, (slowest_s + beside_s) / observed - 1
    return rows, (
        f"the plan's round is {off:+.1%} off the median of {len(rounds)} rounds ({sum(rounds):.0f} s in all); with the "
        f"processor time that steps took in the run it would be {without:+.1%} off"
    )


def calibrated_ms(work: Path) -> dict[str, float]:
    """Return the processor time of a step as calibrated, by device."""
    found = {}
    for entry in json.loads((work / "fleet.calibration.json").read_text())["calibrations"]:
        measured = entry["measured"]
        busy = next(each for each in measured["power"] if each["threads"])
        found[entry["device"]] = measured["steps"][""]["ms"] * busy["cpu_s"] / busy["wall_s"]
    return found


def line(what: str, predicted: float, observed: float, each: Sequence[float]) -> dict[str, str]:
    """Return a row of the table."""
    return {
        "what": what,
        "predicted s": f"{predicted:.2f}",
        "observed s, median (range)": f"{observed:.2f} ({min(each):.2f} to {max(each):.2f})",
        "predicted ÷ observed": f"{predicted / observed:.3f}",
    }


def prepare(work: Path, groups: dict[str, Path], options: argparse.Namespace) -> None:
    """Write bundle, data, interpreters that join their control group, inventory and experiment."""
    from python_server.identity import Identity, host_names

    if not (work / "cnn.bundle").exists():
        import keras

        from model_export import build, export

        keras.utils.set_random_seed(0)
        model = build("small_cnn", (32, 32, 3), 10, filters=(8, 16, 32))
        export(model, work / "cnn.bundle", batch_size=16, input_scale=1 / 255)
    Identity(work / "identity").certificates(host_names())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (work / "e.toml").write_text(
        EXPERIMENT.format(rounds=options.rounds, epochs=options.epochs, port=port, count=len(groups))
    )
    text = f'[server]\naddress = "https://127.0.0.1:{port}"\nca = "identity/ca.pem"\nbundle = "cnn.bundle"\n'
    random = np.random.default_rng(0)
    for name, group in groups.items():
        shape = (SAMPLES[name], 32, 32, 3)
        x, y = random.integers(256, size=shape, dtype=np.uint8), random.integers(10, size=SAMPLES[name])
        np.savez(work / f"{name}.npz", x=x, y=y)
        python = work / f"python-{name}"
        python.write_text(f'#!/bin/sh\necho $$ > "{group}/cgroup.procs"\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        text += (
            f'[[devices]]\nname = "{name}"\nconnect = "local"\ndata = "{name}.npz"\ndirectory = "{work}/on-{name}"\n'
            f'python = "{python}"\ninstall = "none"\nthreads = 1\n'
        )
    (work / "fleet.toml").write_text(text)
    shutil.rmtree(work / "runs", ignore_errors=True)
    (work / "fleet.calibration.json").unlink(missing_ok=True)


def pocketfleet(work: Path, *words: str) -> str:
    """Run a command of ours in the folder; return what it printed."""
    print("+ pocketfleet", *words, file=sys.stderr, flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "python_server.cli", *words]
    return subprocess.run(command, cwd=work, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def control_group(name: str, share: float = 0.0) -> Path:
    """Make a control group that goes before other work, with a share of one core; 0: with all that it wants."""
    old = CGROUP_V1.is_dir()
    group = (CGROUP_V1 if old else CGROUP_V2) / f"pocketfleet-{name}-{os.getpid()}"
    quota_us = int(share * PERIOD_US)
    settings = {"cpu.shares": "65536"} if old else {"cpu.weight": "10000"}
    if share and old:
        settings |= {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
    elif share:
        settings |= {"cpu.max": f"{quota_us} {PERIOD_US}"}
    try:
        group.mkdir()
        for file, value in settings.items():
            (group / file).write_text(value)
    except OSError as error:
        raise SystemExit(f"{group}: {error.strerror}; this needs the right to make control groups") from None
    return group


if __name__ == "__main__":
    raise SystemExit(main())
