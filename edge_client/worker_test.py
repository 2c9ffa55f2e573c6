from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_client.errors import DivergedError, WeightsError
from edge_client.records import EVALUATE, QUERY, TRAIN, Scalar, Task
from edge_client.worker import TaskError, Worker

if TYPE_CHECKING:
    from conftest import Digits


@pytest.fixture
def worker(digits_bundle: Path, digits: Digits, tmp_path: Path) -> Worker:
    return Worker(
        digits_bundle,
        digits.save(tmp_path / "train.npz", slice(0, 100)),
        test_data=digits.save_test(tmp_path / "test.npz"),
        name="pi",
        processor="cpu",
        num_threads=1,
    )


def test_query_tells_what_the_device_is(worker: Worker) -> None:
    reply = worker.handle(Task(QUERY))
    assert reply.metrics == {"num-examples": 100}
    assert reply.info["name"] == "pi"
    assert reply.info["bundle"] == worker.trainer.bundle.sha256
    assert reply.arrays is None


def test_train_returns_what_it_trained_and_measured(worker: Worker) -> None:
    start = worker.trainer.bundle.initial()
    plan = {"epochs": 2, "learning-rate": 0.05, "server-round": 3, "seed": 1}
    reply = worker.handle(Task(TRAIN, start, plan))
    metrics = reply.metrics
    assert reply.arrays is not None
    assert set(reply.arrays) == set(worker.trainer.trained())
    assert (metrics["num-examples"], metrics["examples-processed"]) == (100, 200)
    assert metrics["steps"] == metrics["planned-steps"] == 14
    assert 0 < metrics["train-loss"] < 3
    assert metrics["train-s"] > 0
    assert metrics["energy-j"] > 0
    assert metrics["peak-memory-bytes"] > 10_000_000
    assert reply.info["energy-method"] in ("measured", "modelled")
    assert reply.info["energy-source"]
    again = worker.handle(Task(TRAIN, start, plan))
    assert again.arrays is not None
    assert all(again.arrays[name].tobytes() == value.tobytes() for name, value in reply.arrays.items())
    other = worker.handle(Task(TRAIN, start, {**plan, "server-round": 4}))
    assert other.arrays is not None
    assert any(other.arrays[name].tobytes() != value.tobytes() for name, value in reply.arrays.items())


def test_weights_that_are_no_numbers_are_not_sent(worker: Worker) -> None:
    """One step from a finite loss to weights beyond float32."""
    plan = {"epochs": 1, "learning-rate": 1e38}
    with pytest.raises(DivergedError):
        worker.handle(Task(TRAIN, worker.trainer.bundle.initial(), plan))
    broken = worker.trainer.bundle.initial()
    path = next(iter(broken))
    broken[path] = np.full_like(broken[path], np.inf)
    with pytest.raises(DivergedError, match=f"{path} holds values that are no numbers"):
        worker.handle(Task(TRAIN, broken, {"epochs": 0, "reply-arrays": "all"}))


def test_a_cut_is_trained_and_sent_alone(worker: Worker) -> None:
    start = worker.trainer.bundle.initial()
    reply = worker.handle(Task(TRAIN, start, {"cut": "conv3"}))
    assert set(reply.arrays or {}) == set(worker.trainer.trained("conv3"))
    everything = worker.handle(Task(TRAIN, start, {"cut": "conv3", "reply-arrays": "all"}))
    assert set(everything.arrays or {}) == set(start)


def test_evaluate_uses_the_test_data(worker: Worker) -> None:
    reply = worker.handle(Task(EVALUATE, worker.trainer.bundle.initial()))
    assert reply.metrics["num-examples"] == 360
    assert 0 <= reply.metrics["eval-accuracy"] <= 1
    assert reply.arrays is None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"learning-rate": "fast"}, "learning-rate is 'fast'"),
        ({"learning-rate": float("nan")}, "learning-rate is nan"),
        ({"cutoff-s": True}, "cutoff-s is True"),
        ({"cut": 3}, "cut is 3"),
        ({"reply-arrays": "some"}, "reply-arrays is 'some'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(worker: Worker, plan: dict[str, Scalar], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        worker.handle(Task(TRAIN, worker.trainer.bundle.initial(), plan))


def test_unknown_task_and_wrong_weights(worker: Worker) -> None:
    with pytest.raises(TaskError, match="'dance'"):
        worker.handle(Task("dance"))
    with pytest.raises(WeightsError, match="missing weight"):
        worker.handle(Task(TRAIN, {}))
    with pytest.raises(WeightsError, match="unknown weight"):
        worker.handle(Task(EVALUATE, {"x": np.zeros(1)}))
