"""The order of a step's ops: valid, the same results, less memory."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

from model_export.conversion import convert_in_any_order
from model_export.network import read_network
from model_export.options import Sgd
from model_export.runner import SignatureRunner
from model_export.schedule import in_short_lived_order
from model_export.signatures import TrainableModel
from model_export.tflite_file import op_names, read_model
from model_export.zoo import build


@pytest.fixture(scope="module")
def converted() -> bytes:
    """A ResNet-20 of a quarter of the width as the converter leaves it."""
    keras.utils.set_random_seed(3)
    model = build("resnet20", (16, 16, 3), 4, width=0.25)
    return convert_in_any_order(TrainableModel(read_network(model), 16, start=0, cuts={}, optimizer=Sgd()))


def test_results_are_the_same_bit_for_bit(converted: bytes) -> None:
    random = np.random.default_rng(0)
    fed = {
        "x": random.random((16, 16, 16, 3), dtype=np.float32),
        "y": np.arange(16, dtype=np.int32) % 4,
        "w": np.ones(16, np.float32),
        "learning_rate": np.float32(0.1),
    }
    results = []
    for content in (converted, in_short_lived_order(converted)):
        run = SignatureRunner(content)
        losses = [run("train", **fed)["loss"] for _ in range(3)]
        results.append((losses, run("get")))
    assert results[0][0] == results[1][0]
    assert all((results[0][1][key] == value).all() for key, value in results[1][1].items())


def test_order_is_valid_and_keeps_less_alive(converted: bytes) -> None:
    before, after = (_train_ops(content) for content in (converted, in_short_lived_order(converted)))
    assert sorted(name for name, _, _ in before) == sorted(name for name, _, _ in after)
    made: set[int] = set()
    outputs = {tensor for _, _, written in after for tensor in written}
    for name, read, written in after:
        assert all(tensor in made for tensor in read if tensor in outputs), name
        made.update(written)
    names = [name for name, _, _ in after]
    assert max(i for i, name in enumerate(names) if name == "READ_VARIABLE") < names.index("ASSIGN_VARIABLE")
    most = [_most_alive(ops, converted) for ops in (before, after)]
    assert most[1] < 0.7 * most[0]


def _train_ops(content: bytes) -> list[tuple[str, list[int], list[int]]]:
    model = read_model(content)
    names = op_names(model)
    graph = _train_graph(model)
    ops = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    return [
        (
            names[op.OpcodeIndex()],
            op.InputsAsNumpy().tolist() if op.InputsLength() else [],
            op.OutputsAsNumpy().tolist() if op.OutputsLength() else [],
        )
        for op in ops
    ]


def _train_graph(model: Any) -> Any:
    for i in range(model.SignatureDefsLength()):
        if model.SignatureDefs(i).SignatureKey() == b"train":
            return model.Subgraphs(model.SignatureDefs(i).SubgraphIndex())
    raise AssertionError("no signature train")


def _most_alive(ops: list[tuple[str, list[int], list[int]]], content: bytes) -> int:
    """Most elements that are needed at the same time."""
    graph = _train_graph(read_model(content))
    last = {tensor: place for place, (_, read, _) in enumerate(ops) for tensor in read}
    alive = most = 0
    for place, (_, read, written) in enumerate(ops):
        alive += sum(_elements(graph, tensor) for tensor in written)
        most = max(most, alive)
        dead = {tensor for tensor in (*read, *written) if last.get(tensor, place) == place}
        made = {tensor for _, _, outputs in ops[: place + 1] for tensor in outputs}
        alive -= sum(_elements(graph, tensor) for tensor in dead & made)
    return most


def _elements(graph: Any, tensor: int) -> int:
    found = graph.Tensors(tensor)
    return math.prod(found.ShapeAsNumpy().tolist()) if found.ShapeLength() else 1
