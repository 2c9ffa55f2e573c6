"""Check how well recorded power is placed in time, with processor time in the place of power.

A client's processor seconds are read from outside (``/proc/PID/task/*/schedstat``) while it takes part in a run, and
written down like an instrument's power: 2 W, and 4 W for a busy core, on a clock of its own. The recording is then
aligned and cut into phases as any other, and what it says of each round's training is compared with the processor
seconds that the client told itself, and the offset found with the real one::

    pocketfleet demo -o demo
    python -m benchmarks.energy_traces demo/experiment.toml --client board
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from python_server.run_reader import RunReader
from python_server.store import DATABASE
from python_server.traces import align, device_phases, read_trace

IDLE_W, BUSY_W = 2.0, 4.0
_PERIOD_S = 0.05


def client_process(name: str) -> Optional[int]:
    """Return the id of a process that was started with ``--name NAME``."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--name" in words and words[words.index(b"--name") + 1] == name.encode():
            return int(file.parent.name)
    return None


def processor_seconds(pid: int) -> float:
    """Return what all threads of a process have computed; 0 when it is gone."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(file.read_text().split()[0])
        except (OSError, IndexError):
            continue
    return total / 1e9


def record(command: list[str], name: str, file: Path) -> float:
    """Run a command and write down a client's power meanwhile; return the Unix time of the recording's zero."""
    zero_at = time.time()
    pid, last = None, (time.time(), 0.0)
    with file.open("w") as out, subprocess.Popen(command, stdout=sys.stderr) as run:
        out.write("time,power\n")
        while run.poll() is None:
            time.sleep(_PERIOD_S)
            pid = pid or client_process(name)
            now = (time.time(), processor_seconds(pid) if pid else 0.0)
            share = max(0.0, now[1] - last[1]) / (now[0] - last[0])
            out.write(f"{(now[0] + last[0]) / 2 - zero_at:.4f},{IDLE_W + BUSY_W * share + 1e-6 * (now[0] % 1):.6f}\n")
            last = now
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}")
    return zero_at


def main() -> None:
    """Record, align, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--client", required=True, metavar="NAME", help="whose processor time to watch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, file = Path(folder) / "runs", Path(folder) / "trace.csv"
        command = [sys.executable, "-m", "python_server.cli", "train", str(options.experiment), "--runs", str(runs)]
        zero_at = record(command, options.client, file)
        trace = read_trace(file)
        (database,) = runs.glob(f"*/{DATABASE}")
        with RunReader(database.parent) as run:
            (device,) = [each.device for each in run.devices() if each.name == options.client]
            rows = {row.round: row for row in run.device_rounds() if row.device == device}
            phases = device_phases(device, run.rounds(), run.device_rounds(), run.measurements())
    trains = [phase for phase in phases if phase.phase == "train"]
    found = align(trace, [(phase.start_at, phase.end_at) for phase in trains])
    off = f"{found.offset_s - zero_at:+.3f} s, told to be within {found.slack_s:.2f} s"
    print(f"offset: off by {off}; correlation {found.correlation:.2f}, {trace.rate_hz:.1f} Hz")
    placed = trace.shifted(found.offset_s)
    print("round  training s  processor s by the recording  by the client (with preparing)")
    for phase in trains:
        span = placed.over(phase.start_at, phase.end_at)
        seen_s = (span.joules - IDLE_W * span.covered_s) / BUSY_W
        print(f"{phase.round:5d}  {phase.seconds:10.2f}  {seen_s:28.2f}  {rows[phase.round].cpu_s or 0.0:30.2f}")


if __name__ == "__main__":
    main()
