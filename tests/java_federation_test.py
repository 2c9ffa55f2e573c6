"""Java and Python clients in one federation: nobody can tell from the results which is which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_server.energy_figures import all_figures
from python_server.experiment import load_experiment
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.run_rows import ENERGY_PHASES, DeviceRoundRow
from python_server.train import train
from tests.java_client import java_command

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

ROUNDS = 5
NAMES = ("ada", "ben", "cleo", "dan")
IN_JAVA = ("ben", "dan")
EXPERIMENT = """
name = "{name}"
seed = 3
rounds = {rounds}
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[evaluate]
clients = true
every = {rounds}
[train]
epochs = 2
learning_rate = 0.05
[server]
port = 0
round_deadline_s = 120
"""


def run(folder: Path, bundle: Path, name: str, in_java: tuple[str, ...]) -> RunReader:
    """Train over TLS with enrolled clients, some of them in Java; the reader closes with the process."""
    text = EXPERIMENT.format(name=name, rounds=ROUNDS, bundle=bundle)
    for client in NAMES:
        text += f'[[clients]]\nname = "{client}"\ndata = "{client}.npz"\n'
        if client in in_java:
            text += f"command = {json.dumps(java_command())}\n"
            text += 'extra = ["--power-idle-w", "1.5", "--power-active-w", "2.5"]\n'
    file = folder / f"{name}.toml"
    file.write_text(text)
    return RunReader(train(load_experiment(file), runs=folder / "runs", progress=Progress()).run)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits: Any, digits_bundle: Path) -> tuple[RunReader, RunReader]:
    folder = tmp_path_factory.mktemp("federation")
    for number, name in enumerate(NAMES):
        digits.save(folder / f"{name}.npz", slice(300 * number, 300 * (number + 1) - 50 * number))
    digits.save_test(folder / "test.npz")
    return run(folder, digits_bundle, "python", ()), run(folder, digits_bundle, "mixed", IN_JAVA)


def work(reader: RunReader) -> dict[tuple[int, str], DeviceRoundRow]:
    names = {device.device: device.name for device in reader.devices()}
    return {(row.round, names[row.device]): row for row in reader.device_rounds()}


def test_every_client_takes_part_in_every_round_with_its_weight(runs: tuple[RunReader, RunReader]) -> None:
    for reader in runs:
        rounds = [row for row in reader.rounds() if row.round]
        assert [(row.asked, row.used, row.weight) for row in rounds] == [(4, 4, 900)] * ROUNDS


def test_the_same_work_is_done_and_reported_by_both(runs: tuple[RunReader, RunReader]) -> None:
    python, mixed = (work(reader) for reader in runs)
    assert python.keys() == mixed.keys()
    for key, expected in python.items():
        found = mixed[key]
        for column in ("outcome", "num_examples", "examples_processed", "steps", "planned_steps"):
            assert getattr(found, column) == getattr(expected, column), (key, column)
        assert found.train_s is not None
        assert found.download_bytes == pytest.approx(expected.download_bytes, rel=0.02)


def test_java_tells_its_joules_and_where_they_come_from(runs: tuple[RunReader, RunReader]) -> None:
    for (_, name), row in work(runs[1]).items():
        assert row.energy_j is not None
        assert row.energy_idle_j is not None
        if name in IN_JAVA:
            # A watt and a half for as long as the training, which lies within the phase, and no longer than the task.
            assert row.train_s is not None
            assert row.read_after_s is not None
            longest_s = row.read_after_s - (row.sent_after_s or 0.0)
            assert 1.5 * row.train_s * 0.999 <= row.energy_idle_j <= 1.5 * longest_s
            assert row.energy_j > row.energy_idle_j
            assert "CPU time × 2.5 W per core + 1.5 W idle (--power-idle-w" in row.energy_source
            assert (row.info["energy-covers"], row.info["energy-flags"]) == ("device", "")
            assert row.info["build"]
    figures = {(figure.device, figure.phase) for figure in all_figures(runs[1])}
    assert figures == {(device.device, phase) for device in runs[1].devices() for phase in ENERGY_PHASES}


def test_accuracy_is_that_of_python_clients_alone(runs: tuple[RunReader, RunReader]) -> None:
    """The same samples in the same order: what differs is how two builds of TensorFlow Lite round.

    After the first round that is a matter of the last digits. Training amplifies it, so at the end only the accuracy is
    compared: within one test image in a hundred, where chance alone (another seed) moves it by as much.
    """
    python, mixed = runs
    first, other = (reader.weights(1) for reader in runs)
    start = python.weights(0)
    for path, value in first.items():
        moved = np.linalg.norm(value - start[path])
        assert np.linalg.norm(value - other[path]) <= 1e-3 * moved + 1e-6, path
    last, other_last = python.last_round(), mixed.last_round()
    assert last is not None
    assert other_last is not None
    assert last.accuracy is not None
    assert last.accuracy > 0.9
    assert other_last.accuracy == pytest.approx(last.accuracy, abs=0.01)
    assert other_last.client_accuracy == pytest.approx(last.client_accuracy, abs=0.01)


def test_the_server_knows_who_runs_what(runs: tuple[RunReader, RunReader]) -> None:
    _, mixed = runs
    runtimes = {device.name: str(device.facts["runtime"]) for device in mixed.devices()}
    assert {name for name, runtime in runtimes.items() if "java" in runtime} == set(IN_JAVA)
