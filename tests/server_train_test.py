"""``pocketfleet train`` as a user has it: its own processes, killed, resumed, starved, and misused."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from edge_client.energy import METHODS
from python_server.run_reader import RunReader
from python_server.run_rows import ENERGY, ENERGY_PHASES

REPOSITORY = Path(__file__).resolve().parent.parent
ROUNDS = 4
EXPERIMENT = """
name = "digits"
seed = 3
rounds = {rounds}
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[train]
epochs = 2
learning_rate = 0.05
{more}
[server]
port = {port}
identity = "{identity}"
round_deadline_s = 60
start_deadline_s = {start}
[[clients]]
name = "one"
data = "one.npz"
[[clients]]
name = "two"
data = "two.npz"
nice = 5
"""


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path, digits: Any, digits_bundle: Path) -> Path:
    digits.save(tmp_path / "one.npz", slice(0, 300))
    digits.save(tmp_path / "two.npz", slice(300, 500))
    digits.save_test(tmp_path / "test.npz")
    write_experiment(tmp_path, digits_bundle)
    return tmp_path


def write_experiment(folder: Path, bundle: Path, **changes: Any) -> None:
    values = {"rounds": ROUNDS, "bundle": bundle, "port": 0, "start": 60, "identity": "identity", "more": "", **changes}
    (folder / "e.toml").write_text(EXPERIMENT.format(**values))


@contextmanager
def started(
    folder: Path, *arguments: str, before: Optional[Callable[[], None]] = None
) -> Iterator[subprocess.Popen[str]]:
    """Start ``pocketfleet`` in a folder; whatever happens, it and all of its children are gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "python_server.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    children: set[int] = set()
    try:
        yield process
    finally:
        children = descendants(process.pid)
        process.kill()
        process.communicate()
        end = time.monotonic() + 60
        while time.monotonic() < end and any(map(alive, children)):
            time.sleep(0.02)
        assert not any(map(alive, children)), "a child outlived its parent"


def pocketfleet(folder: Path, *arguments: str, before: Optional[Callable[[], None]] = None) -> tuple[int, str, str]:
    with started(folder, *arguments, before=before) as process:
        out, err = process.communicate(timeout=180)
        return process.returncode, out, err


def descendants(pid: int) -> set[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        direct = {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except FileNotFoundError:
        return set()
    return direct.union(*map(descendants, direct)) if direct else direct


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def the_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def weights(run: Path) -> dict[str, bytes]:
    with RunReader(run) as reader:
        assert [row.round for row in reader.rounds()] == list(range(ROUNDS + 1))
        assert all(row.used == 2 for row in reader.rounds()[1:])
        return {name: array.tobytes() for name, array in reader.weights(ROUNDS).items()}


def one_line(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("pocketfleet: ")]
    assert "Traceback" not in err
    return line


def test_killed_anywhere_and_resumed_it_ends_with_the_same_weights(folder: Path) -> None:
    code, out, err = pocketfleet(folder, "train", "e.toml")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[-2].startswith("accuracy: 0.")
    assert float(lines[-2].removeprefix("accuracy: ")) > 0.6
    assert lines[-1].startswith("report: ")
    assert (folder / lines[-1].removeprefix("report: ")).is_file()
    undisturbed = weights(the_run(folder))

    # Points to kill at: a line of output, and how long after it.
    for point, (line, delay_s) in enumerate([("run: ", 0.0), ("round 0", 0.6), ("round 1", 0.0), ("round 2", 0.25)]):
        runs = folder / f"runs{point}"
        with started(folder, "train", "e.toml", "--runs", runs.name) as process:
            assert process.stdout is not None
            for text in process.stdout:
                if text.startswith(line):
                    break
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            process.wait()
        (run,) = runs.iterdir()
        code, out, err = pocketfleet(folder, "train", "--resume", str(run))
        assert code == 0, f"killed {delay_s} s after {line!r}: {err}"
        assert weights(run) == undisturbed, f"killed {delay_s} s after {line!r}"


def test_killed_between_two_full_aggregations_fedlama_goes_on_with_the_clients_own_weights(
    folder: Path, digits_bundle: Path
) -> None:
    write_experiment(folder, digits_bundle, more='steps = 6\n[strategy]\nname = "fedlama"\nphi = 2')
    code, _, err = pocketfleet(folder, "train", "e.toml")
    assert code == 0, err
    undisturbed = weights(the_run(folder))
    with started(folder, "train", "e.toml", "--runs", "killed") as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("round 3"):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    (run,) = (folder / "killed").iterdir()
    code, _, err = pocketfleet(folder, "train", "--resume", str(run))
    assert code == 0, err
    assert weights(run) == undisturbed
    with RunReader(run) as reader:
        plans = {row.round: row.plan for row in reader.device_rounds()}
        assert 2 in reader.strategy_state(3)[0]["intervals"].values(), "some layers are rare, or this shows nothing"
    assert plans[4]["start_round"] == 3, "the round that was done again starts from the devices' own weights"
    assert 0 < plans[4]["send"] < plans[3].get("send", len(undisturbed))


def test_interrupted_it_stops_cleanly_and_can_be_resumed(folder: Path) -> None:
    with started(folder, "train", "e.toml") as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("round 1"):
                break
        children = descendants(process.pid)
        assert len(children) == 3
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert not any(map(alive, children))
    assert one_line(err) == "pocketfleet: interrupted"
    run = the_run(folder)
    with RunReader(run) as reader:
        assert reader.status == "interrupted"
    code, _, err = pocketfleet(folder, "train", "--resume", str(run))
    assert code == 0, err
    with RunReader(run) as reader:
        assert reader.status == "finished"
        assert any(event.kind == "resumed" for event in reader.events())
    # There is nothing left to do; asking again does no harm.
    code, out, _ = pocketfleet(folder, "train", "--resume", str(run))
    assert code == 0
    assert "report: " in out


def test_json(folder: Path, digits_bundle: Path) -> None:
    write_experiment(folder, digits_bundle, rounds=1, more="[evaluate]\nclients = true")
    code, out, err = pocketfleet(folder, "train", "e.toml", "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["started", "round", "device", "device", "round", "finished"]
    assert events[-1]["accuracy"] == events[-2]["accuracy"]
    code, out, _ = pocketfleet(folder, "runs", "--json")
    assert [run["status"] for run in json.loads(out)] == ["finished"]
    with RunReader(the_run(folder)) as reader:
        measurements, devices = reader.measurements(), {row.device for row in reader.device_rounds()}
    energies = [row for row in measurements if row.quantity == ENERGY]
    told = sorted((row.device, row.info["phase"]) for row in energies)
    assert told == sorted((device, phase) for device in devices for phase in ENERGY_PHASES), "each phase once"
    assert all(row.round == 1 and row.value > 0 and row.unit == "J" for row in energies)
    assert all(row.method in METHODS and row.source and row.info["covers"] for row in energies)


def test_a_client_that_cannot_start_is_named(folder: Path, digits_bundle: Path) -> None:
    np.savez(folder / "two.npz", x=np.zeros((4, 9, 9, 1), np.uint8), y=np.zeros(4, int))
    write_experiment(folder, digits_bundle, start=12)
    code, out, err = pocketfleet(folder, "train", "e.toml")
    assert code == 1
    # The other one may need longer than that on a busy machine.
    assert re.search("[01] of 2 devices came within 12 s", one_line(err))
    assert "client two ended with code 1" in out


def test_port_in_use(folder: Path, digits_bundle: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        write_experiment(folder, digits_bundle, port=other.getsockname()[1])
        code, _, err = pocketfleet(folder, "train", "e.toml")
    assert code == 1
    assert "is in use by another program" in one_line(err)
    assert list((folder / "runs").iterdir()) == []


@pytest.mark.parametrize(("limit", "begins"), [(30_000, False), (130_000, True)])
def test_no_space_in_the_run_directory(folder: Path, limit: int, begins: bool) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    code, _, err = pocketfleet(folder, "train", "e.toml", before=small_files)
    assert code == 1
    assert "no space left for" in one_line(err)
    if not begins:
        assert list((folder / "runs").iterdir()) == []
        return
    run = the_run(folder)
    assert list((run / "weights").glob(".*")) == []
    with RunReader(run) as reader:
        assert 0 < len(reader.rounds()) <= ROUNDS
    code, _, err = pocketfleet(folder, "train", "--resume", str(run))
    assert code == 0, err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rounds = 4", "round = 4"), "unknown key 'round' in the experiment; did you mean 'rounds'?"),
        (("test.npz", "tset.npz"), "data.test: there is no"),
        (("seed = 3", "seed = 'three'"), "seed has to be a whole number"),
        (("epochs = 2", "epochs = 2\ncut = 'nowhere'"), "has no cut 'nowhere'"),
    ],
)
def test_wrong_experiments(folder: Path, change: tuple[str, str], message: str) -> None:
    file = folder / "e.toml"
    file.write_text(file.read_text().replace(*change))
    code, _, err = pocketfleet(folder, "train", "e.toml")
    assert code == 1
    assert message in one_line(err)
    assert not (folder / "runs").exists()


def test_altered_bundle_and_missing_run(folder: Path, digits_bundle: Path) -> None:
    shutil.copytree(digits_bundle, folder / "altered")
    model = folder / "altered" / "model.tflite"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    write_experiment(folder, folder / "altered")
    code, _, err = pocketfleet(folder, "train", "e.toml")
    assert code == 1
    assert "was altered" in one_line(err)
    code, _, err = pocketfleet(folder, "train", "--resume", "nowhere")
    assert code == 1
    assert "not a run directory" in one_line(err)
