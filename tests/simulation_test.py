"""The simulator predicts a real run: the same experiment file, by processes and by simulated devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_server.run_reader import RunReader

REPOSITORY = Path(__file__).resolve().parent.parent
EXPERIMENT = """
name = "both"
seed = 3
rounds = 4
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[train]
epochs = 2
learning_rate = 0.05
[server]
port = 0
round_deadline_s = 120
[[clients]]
name = "one"
data = "one.npz"
[[clients]]
name = "two"
data = "two.npz"
"""
PROFILES = """
[simulation]
overhead_s = {overhead_s}
[[simulation.profiles]]
name = "one"
step_ms = {one}
[[simulation.profiles]]
name = "two"
step_ms = {two}
"""


def _run(folder: Path, command: str) -> RunReader:
    words = [sys.executable, "-m", "python_server.cli", command, "both.toml", "--runs", command]
    environment = {"PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / command).iterdir()
    return RunReader(run)


def test_the_same_seeds_give_the_same_accuracy_and_the_round_time_is_foreseen(
    tmp_path: Path, digits: Any, digits_bundle: Path
) -> None:
    """It is told the steps' times and the server's share of a round, and has to put them together."""
    digits.save(tmp_path / "one.npz", slice(0, 900))
    digits.save(tmp_path / "two.npz", slice(900, 1400))
    digits.save_test(tmp_path / "test.npz")
    text = EXPERIMENT.format(bundle=digits_bundle)
    (tmp_path / "both.toml").write_text(text)
    with _run(tmp_path, "train") as real:
        rounds, rows = real.rounds(), real.device_rounds()
        accuracy, wall_s = rounds[-1].accuracy, [row.train_phase_s for row in rounds]
        step_ms = {
            name: np.median([1000 * row.train_s / row.steps for row in rows if row.name == name and row.train_s])
            for name in ("one", "two")
        }
    longest = [max(row.train_s or 0 for row in rows if row.round == number) for number in (1, 2, 3)]
    overhead_s = float(np.median(np.array(wall_s[1:4]) - longest))
    (tmp_path / "both.toml").write_text(text + PROFILES.format(overhead_s=max(0.0, overhead_s), **step_ms))
    with _run(tmp_path, "simulate") as simulated:
        last = simulated.rounds()[-1]
        assert last.accuracy == pytest.approx(accuracy, abs=0.02)
        assert accuracy is not None
        assert accuracy > 0.5
        # The same batches in the same order, by two programs: rounding parts them, a little more each round.
        assert simulated.rounds()[1].loss == pytest.approx(rounds[1].loss, rel=0.02)
        assert last.train_phase_s == pytest.approx(float(np.median(wall_s[1:])), rel=0.2)
