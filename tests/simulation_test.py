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
learning_rate = 0.01
codec = {{ down = "float16", up = "int8" }}
[strategy]
name = "heterofl"
[[variants]]
name = "half"
bundle = "{half}"
[[groups]]
name = "weak"
devices = ["two"]
variant = "half"
[server]
port = 0
round_deadline_s = 120
[[clients]]
name = "one"
data = "one.npz"
[[clients]]
name = "two"
data = "two.npz"
variant = "half"
"""
PROFILES = """
[simulation]
backend = "{backend}"
overhead_s = {overhead_s}
[[simulation.profiles]]
name = "one"
step_ms = {one}
[[simulation.profiles]]
name = "two"
step_ms = {two}
"""
_SMALL_PRINT_BYTES = 5120
"""Metrics, names and hashes of a message, which a simulation does not count."""


def _run(folder: Path, command: str, runs: str) -> RunReader:
    words = [sys.executable, "-m", "python_server.cli", command, "both.toml", "--runs", runs]
    environment = {"PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / runs).iterdir()
    return RunReader(run)


def test_the_same_seeds_give_the_same_accuracy_and_the_parts_of_a_round_its_time(
    tmp_path: Path, digits: Any, digits_bundle: Path, digits_half: Path
) -> None:
    """It is told the steps' times and the server's share of a real round, and has to put them together to that round.

    They are all of one round, as on a busy machine no round is as long as another; how well rounds foretell others is
    measured by `benchmarks.papers.engines`. The clients hold different parts of the model, and numbers travel in fewer
    bits. By the bundles' own models the simulation comes to the same weights, bit for bit.
    """
    digits.save(tmp_path / "one.npz", slice(0, 900))
    digits.save(tmp_path / "two.npz", slice(900, 1400))
    digits.save_test(tmp_path / "test.npz")
    text = EXPERIMENT.format(bundle=digits_bundle, half=digits_half)
    (tmp_path / "both.toml").write_text(text)
    with _run(tmp_path, "train", "real") as real:
        rounds, rows = real.rounds(), real.device_rounds()
        weights, last_rows = real.weights(4), [row for row in rows if row.round == 4]
        step_ms = {row.name: 1000 * (row.train_s or 0) / (row.steps or 1) for row in last_rows}
        traffic = {row.name: (row.download_bytes, row.upload_bytes) for row in last_rows}
    assert (rounds[-1].accuracy or 0) > 0.5
    overhead_s = rounds[-1].train_phase_s - max(row.train_s or 0 for row in last_rows)
    assert overhead_s > 0
    for backend in ("tflite", "tensorflow"):
        settings = PROFILES.format(backend=backend, overhead_s=overhead_s, **step_ms)
        (tmp_path / "both.toml").write_text(text + settings)
        with _run(tmp_path, "simulate", backend) as simulated:
            last = simulated.rounds()[-1]
            assert last.train_phase_s == pytest.approx(rounds[-1].train_phase_s, rel=1e-6)
            found = {row.name: row for row in simulated.device_rounds() if row.round == 4}
            assert {name: row.plan["submodel"] for name, row in found.items()} == {"one": "", "two": "half"}
            for name, real_bytes in traffic.items():
                for real_size, size in zip(real_bytes, (found[name].download_bytes, found[name].upload_bytes)):
                    assert 0 < (real_size or 0) - (size or 0) < _SMALL_PRINT_BYTES
            if backend == "tflite":
                assert [row.accuracy for row in simulated.rounds()] == [row.accuracy for row in rounds]
                for path, value in simulated.weights(4).items():
                    np.testing.assert_array_equal(value, weights[path], err_msg=path)
            else:
                # The same batches in the same order, by two programs: rounding parts them, a little more each round.
                assert simulated.rounds()[1].loss == pytest.approx(rounds[1].loss, rel=0.02)
                assert last.accuracy == pytest.approx(rounds[-1].accuracy, abs=0.02)
