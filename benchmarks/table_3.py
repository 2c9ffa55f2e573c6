"""Table 3 of the on-device paper: a slow processor, and the cutoff τ that keeps it from holding up the others.

Mathur et al. 2021, section 5 and Table 3: training on a CPU takes 1.27 times as long as on the GPU; with a
processor-specific cutoff the rounds end with the GPU's at 3 points less accuracy. Here four client processes train the
head of MobileNetV2 on Office-31, computing the frozen base anew in each step, so that training dominates a round. All
hold the same number of images; a share of each client's images is of classes of its own, so that each has something
that the others lack. In the first run all are equal; in the others one of them, of class "slow", gets a quota of CPU
time by a control group, where this program may make one, and otherwise the lowest priority.

    .venv/bin/python benchmarks/table_3.py
    .venv/bin/python benchmarks/table_3.py --rounds 3 --quota 0.2 --work /tmp/table_3
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from office31 import SHARES, experiment, export_bundle, load_domain, prepare_clients, run_experiment

from python_server.report import RunFigures, table_3

CLIENTS = 4
PERIOD_US = 20_000
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
CGROUP_V2 = Path("/sys/fs/cgroup")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the four experiments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5, help="local epochs E")
    parser.add_argument("--size", type=int, default=96, help="pixels of an image's side")
    parser.add_argument("--quota", type=float, default=0.1, help="share of one core that the slow client gets")
    parser.add_argument("--skew", type=float, default=0.5, help="share of a client's images that is of its own classes")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for data and runs; kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, slow_group(options.quota) as group:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        prepare(work, options)
        print(f"slow client: {group or 'lowest priority (no control group can be made here)'}")

        def run(name: str, *, slow: bool, cutoff_s: float) -> RunFigures:
            file = work / f"{name}.toml"
            strategy = f'name = "processor_cutoff"\ncutoff_s = {{ slow = {cutoff_s}, fast = 0 }}\n'
            file.write_text(experiment(name, options, client_lines(slow, group), strategy=strategy))
            return run_experiment(file, work / "runs")

        fast = run("fast", slow=False, cutoff_s=0.0)
        slow = run("slow", slow=True, cutoff_s=0.0)
        # The paper's two values: the time that the fast processor needs, and one between that and the slow one's.
        equal_s = round(slowest_training_s(fast), 2)
        between_s = round((equal_s + slowest_training_s(slow)) / 2, 2)
        named = {"Fast (τ = 0)": fast.summary, "One slow (τ = 0)": slow.summary}
        for cutoff_s in (between_s, equal_s):
            cut = run(f"slow-{cutoff_s:g}", slow=True, cutoff_s=cutoff_s)
            named[f"One slow (τ = {cutoff_s:g} s)"] = cut.summary
            print(f"τ = {cutoff_s:g} s: the slow client did {work_done(cut):.0%} of its planned steps")
    print(table_3(named))
    print("\nPaper: GPU (τ = 0) 0.67, 1.0x; CPU (τ = 0) 0.67, 1.27x; CPU (τ = 2.23) 0.66, 1.11x; (τ = 1.99) 0.63, 1.0x")
    return 0


def prepare(work: Path, options: argparse.Namespace) -> None:
    """Write data and bundle."""
    _, y, names = load_domain("amazon", options.size)
    order = np.random.default_rng(options.seed).permutation(len(y))
    labels = y[order[: int(0.8 * len(y))]]
    held = len(labels) * CLIENTS // SHARES
    shared = int((1 - options.skew) * held)
    own = shared + np.argsort(labels[shared:held], kind="stable")
    dealt = zip(np.array_split(np.arange(shared), CLIENTS), np.array_split(own, CLIENTS))
    prepare_clients(work, "amazon", options.size, options.seed, [np.concatenate(parts) for parts in dealt])
    if not (work / "bundle").exists():
        export_bundle(work / "bundle", names, options.size, options.seed)


def slowest_training_s(run: RunFigures) -> float:
    """Return the seconds that the slowest client trains in a round, as the mean over rounds."""
    rounds: dict[int, float] = {}
    for row in run.device_rounds:
        rounds[row.round] = max(rounds.get(row.round, 0.0), row.train_s or 0.0)
    return sum(rounds.values()) / len(rounds)


def work_done(run: RunFigures) -> float:
    """Return the share of its planned steps that the slow client did."""
    (slow,) = (device for device in run.devices if device.processor == "slow")
    return slow.steps / slow.planned_steps


def client_lines(slow: bool, group: Path | None) -> list[str]:
    """Return what is particular to each client; the first is the slow one."""
    lines = ['extra = ["--no-feature-cache"]\nprocessor = "fast"\n'] * CLIENTS
    if slow:
        how = "nice = 19" if group is None else f'cgroup = "{group}"'
        lines[0] = f'extra = ["--no-feature-cache"]\nprocessor = "slow"\n{how}\n'
    return lines


@contextlib.contextmanager
def slow_group(quota: float) -> Iterator[Path | None]:
    """Make a control group with a quota of CPU time; None where that is not allowed."""
    name = f"pocketfleet-slow-{os.getpid()}"
    group = (CGROUP_V1 if CGROUP_V1.is_dir() else CGROUP_V2) / name
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        if CGROUP_V1.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(int(quota * PERIOD_US)))
        else:
            (group / "cpu.max").write_text(f"{int(quota * PERIOD_US)} {PERIOD_US}")
        yield group
    finally:
        group.rmdir()


if __name__ == "__main__":
    raise SystemExit(main())
