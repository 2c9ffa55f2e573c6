"""What travels, with real clients in both languages: FedLAMA's schedule and the codecs, in bytes that were counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export import codecs
from model_export.tensors import pack
from python_server.experiment import load_experiment
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.strategies.fedlama import layer_of
from python_server.train import train
from tests.java_client import java_command

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

NAMES = ("ada", "ben", "cleo")
IN_JAVA = ("ben",)
ROUNDS, PHI = 5, 2
EXPERIMENT = """
name = "{name}"
seed = 3
rounds = {rounds}
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[server]
port = 0
round_deadline_s = 120
[train]
steps = 20
learning_rate = 0.05
"""
SMALL_PRINT = 9000
"""Room for a message's objects, signatures, plan and figures, in bytes; none of them depends on the model's size."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("wire")
    for number, name in enumerate(NAMES):
        digits.save(path / f"{name}.npz", slice(300 * number, 300 * (number + 1)))
    digits.save_test(path / "test.npz")
    return path


def run(folder: Path, bundle: Path, name: str, more: str, *, rounds: int = ROUNDS) -> RunReader:
    text = EXPERIMENT.format(name=name, rounds=rounds, bundle=bundle) + more
    for client in NAMES:
        text += f'[[clients]]\nname = "{client}"\ndata = "{client}.npz"\n'
        if client in IN_JAVA:
            text += f"command = {json.dumps(java_command())}\n"
    file = folder / f"{name}.toml"
    file.write_text(text)
    return RunReader(train(load_experiment(file), runs=folder / "runs", progress=Progress()).run)


def packed(weights: dict[str, np.ndarray], names: set[str]) -> int:
    """Bytes of some variables on the wire, headers included."""
    return len(pack({name: value for name, value in weights.items() if name in names}))


def test_fedlama_s_schedule_is_what_the_transport_counts(folder: Path, digits_bundle: Path) -> None:
    reader = run(folder, digits_bundle, "fedlama", f'[strategy]\nname = "fedlama"\nphi = {PHI}\n')
    rounds = {row.round: row for row in reader.rounds()}
    weights = reader.weights(0)
    intervals = [rounds[number].strategy_state["intervals"] for number in range(ROUNDS + 1)]
    assert set(intervals[1].values()) == {1}
    assert set(intervals[2].values()) == {1, PHI}
    every = set(weights)
    often = [{name for name in every if intervals[n][layer_of(name)] == 1} for n in range(ROUNDS + 1)]
    # Everything comes at the start of two rounds; the second brings what the first aggregated, and sends everything.
    expected = {1: (every, every), 2: (every, every), 3: (every, often[2]), 4: (often[2], every), 5: (every, often[4])}
    rows = reader.device_rounds()
    assert [(row.round, row.name, row.outcome) for row in rows] == [
        (number, name, "ok") for number in range(1, ROUNDS + 1) for name in NAMES
    ]
    for row in rows:
        down, up = (packed(weights, names) for names in expected[row.round])
        assert row.download_bytes is not None
        assert row.upload_bytes is not None
        assert down <= row.download_bytes <= down + SMALL_PRINT, (row.round, row.name)
        assert up <= row.upload_bytes <= up + SMALL_PRINT, (row.round, row.name)
    for number, before, names in ((3, 2, every - often[2]), (5, 4, every - often[4])):
        for name in every:
            same = np.array_equal(reader.weights(number)[name], reader.weights(before)[name])
            assert same == (name in names), name
    last = reader.last_round()
    assert last is not None
    assert last.accuracy is not None
    assert last.accuracy > 0.85


def test_a_codec_s_bytes_are_what_the_transport_counts(folder: Path, digits_bundle: Path) -> None:
    reader = run(folder, digits_bundle, "coded", 'codec = { down = "float16", up = "int8" }\n', rounds=2)
    weights = reader.weights(0)
    plain = packed(weights, set(weights))
    down, up = (len(pack(codecs.encode(weights, codec))) for codec in ("float16", "int8"))
    assert up < down < plain
    for row in reader.device_rounds():
        assert row.outcome == "ok"
        assert (row.plan["download_codec"], row.plan["upload_codec"]) == ("float16", "int8")
        assert row.download_bytes is not None
        assert row.upload_bytes is not None
        assert down <= row.download_bytes <= down + SMALL_PRINT
        assert up <= row.upload_bytes <= up + SMALL_PRINT
    losses = [row.loss for row in reader.rounds() if row.loss is not None]
    assert losses[-1] < 0.8 * losses[0]
