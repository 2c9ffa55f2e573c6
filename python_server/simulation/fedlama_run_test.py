"""A simulated run of FedLAMA, held against algorithm 1 of the paper in a loop of a few lines."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edge_client.data import load_dataset
from model_export.bundle import Bundle
from python_server.experiment import load_experiment
from python_server.partition import by_label
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.simulation.engine import Arrays, TrainTask
from python_server.simulation.local_engine import LocalEngine
from python_server.simulation.simulate import simulate

_PHI, _ROUNDS, _STEPS, _RATE = 3, 8, 2, 0.05
_EXPERIMENT = """\
name = "lama"
rounds = {rounds}
[model]
bundle = "{bundle}"
[strategy]
name = "fedlama"
phi = {phi}
fraction = 0.5
[train]
steps = {steps}
learning_rate = {rate}
[simulation]
backend = "tflite"
data = "train.npz"
devices = 6
partition = "dirichlet"
alpha = 0.3
[[simulation.profiles]]
name = "any"
step_ms = 1
"""


def test_a_run_is_algorithm_1(digits: Any, digits_bundle: Path, tmp_path: Path) -> None:
    digits.save(tmp_path / "train.npz", slice(300))
    file = tmp_path / "lama.toml"
    file.write_text(
        _EXPERIMENT.format(rounds=_ROUNDS, bundle=digits_bundle, phi=_PHI, steps=_STEPS, rate=_RATE), encoding="utf-8"
    )
    with RunReader(simulate(load_experiment(file), runs=tmp_path / "runs", progress=Progress()).run) as run:
        rounds, last = run.rounds(), run.weights(_ROUNDS)
        took_part = [(row.round, row.name) for row in run.device_rounds()]
    bundle = Bundle.load(digits_bundle)
    data = load_dataset(tmp_path / "train.npz", bundle.manifest.input, bundle.manifest.classes)
    engine = LocalEngine({"": bundle}, data, keras=False)
    rows = dict(zip((f"device-{k}" for k in range(6)), by_label(data.y, 6, alpha=0.3, seed=0)))

    weights: Arrays = bundle.initial()
    chosen = {number: sorted(name for other, name in took_part if other == number) for number in range(1, _ROUNDS + 1)}
    own: dict[str, Arrays] = {}
    rested = set()
    for number in range(1, _ROUNDS + 1):
        ends = number % _PHI == 0
        if number % _PHI == 1:  # a cycle begins: other clients, and all from the same weights
            own = dict.fromkeys(chosen[number], weights)
        assert chosen[number] == list(own)
        for name, held in own.items():
            seed = zlib.crc32(f"{rounds[number].seed}/{number}/{name}".encode())
            (result,) = engine.train([TrainTask(rows[name], held, _STEPS, _STEPS, _RATE, seed=seed)])
            own[name] = {**held, **result.weights}
        intervals = rounds[number - 1].strategy_state["intervals"]
        rested |= {layer for layer, interval in intervals.items() if interval > 1}
        examples = {name: len(rows[name]) for name in own}
        means: dict[str, np.ndarray] = {}
        for path in weights:
            if ends or intervals[path.partition("/")[0]] == 1:
                total = sum(examples[name] * own[name][path].astype(np.float64) for name in own)
                means[path] = np.asarray(total / sum(examples.values()), np.float32)
        weights = {**weights, **means}
        own = {name: {**held, **means} for name, held in own.items()}
    assert rested
    assert len(rested) < len(intervals)
    for path, value in weights.items():
        np.testing.assert_array_equal(last[path], value, err_msg=path)
