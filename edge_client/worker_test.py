from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from device_profiles import PowerModel
from edge_client.energy import COVERS, METHODS, SampledMeter, find_meter
from edge_client.energy.model import ModelSource
from edge_client.energy.rig_test import Clock
from edge_client.errors import DivergedError, NoLocalWeightsError, TaskError, WeightsError
from edge_client.local_weights import LocalWeights
from edge_client.records import EVALUATE, QUERY, TRAIN, Scalar, Task
from edge_client.worker import Worker
from model_export import codecs

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
        meter=find_meter(source="model"),
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
    assert reply.info["energy-method"] in METHODS
    assert reply.info["energy-covers"] in COVERS
    assert reply.info["energy-source"]
    assert {"energy-flags", "governor", "build"} <= set(reply.info)
    again = worker.handle(Task(TRAIN, start, plan))
    assert again.arrays is not None
    assert all(again.arrays[name].tobytes() == value.tobytes() for name, value in reply.arrays.items())
    other = worker.handle(Task(TRAIN, start, {**plan, "server-round": 4}))
    assert other.arrays is not None
    assert any(other.arrays[name].tobytes() != value.tobytes() for name, value in reply.arrays.items())


def test_joules_of_the_phases_around_a_task(worker: Worker) -> None:
    """As the transport tells of them; a stock SuperNode tells of none."""
    start = worker.trainer.bundle.initial()
    phases = ("energy-download", "energy-wait", "previous-upload-energy")
    keys = [f"{phase}{end}" for phase in phases for end in ("-j", "-idle-j")]
    alone = worker.handle(Task(TRAIN, start)).metrics
    assert [alone[key] for key in keys] == [-1.0] * 6
    for phase in ("wait", "download"):
        worker.phases.enter(phase)
    first = worker.handle(Task(TRAIN, start)).metrics
    assert [first[key] > 0 for key in keys] == [True] * 4 + [False] * 2
    for phase in ("upload", "wait", "download"):
        worker.phases.enter(phase)
    second = worker.handle(Task(EVALUATE, start)).metrics
    assert [second[key] > 0 for key in keys] == [True] * 6
    assert second["energy-j"] >= second["energy-idle-j"] > 0
    assert [second[f"{phase}-coverage"] for phase in (*phases, "energy")] == [1.0] * 4
    assert [second[f"{phase}-uncertainty-j"] for phase in (*phases, "energy")] == [-1.0] * 4, "of a model"
    worker.phases.enter("upload")
    asked = worker.handle(Task(QUERY))
    assert asked.metrics["previous-upload-energy-j"] > 0
    assert asked.info["energy-method"] == "modelled"
    third = worker.handle(Task(TRAIN, start)).metrics
    assert [third[key] for key in keys] == [-1.0] * 6


def test_a_task_that_failed_leaves_no_joules_to_the_next(
    digits_bundle: Path, digits: Digits, tmp_path: Path, clock: Clock
) -> None:
    """A watt by a clock that goes ten seconds a step."""
    steps = []

    def step(done: int, planned: int) -> None:
        clock.now += 10.0
        steps.append(done)

    model = ModelSource(PowerModel(1.0, 0.0, "a test"), wall=clock, cpu=lambda: 0.0)
    worker = Worker(
        digits_bundle,
        digits.save(tmp_path / "train.npz", slice(0, 100)),
        meter=SampledMeter(model, clock=clock),
        num_threads=1,
        on_step=step,
    )
    start = worker.trainer.bundle.initial()
    with pytest.raises(DivergedError):
        worker.handle(Task(TRAIN, start, {"epochs": 20, "learning-rate": 1e38}))
    assert steps
    steps.clear()
    metrics = worker.handle(Task(TRAIN, start, {"steps": 1})).metrics
    assert metrics["energy-j"] == pytest.approx(10.0 * len(steps), rel=1e-3)
    assert steps


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
        ({"steps": -1}, "steps is -1"),
        ({"keep-weights": 1}, "keep-weights is 1"),
        ({"start-round": "2"}, "start-round is '2'"),
        ({"reply-variables": "conv1/kernel\nconv9/kernel"}, "no variable 'conv9/kernel'"),
        ({"download-codec": "int4"}, "download-codec: there is no codec 'int4'"),
        ({"upload-codec": "clusters1"}, "upload-codec: codec 'clusters1'"),
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


def test_steps_count_instead_of_epochs(worker: Worker) -> None:
    start = worker.trainer.bundle.initial()
    for steps in (3, 9):  # an epoch is 7
        metrics = worker.handle(Task(TRAIN, start, {"epochs": 50, "steps": steps})).metrics
        assert metrics["steps"] == metrics["planned-steps"] == steps
    assert metrics["examples-processed"] == 100 + 2 * 16


def test_the_variables_asked_for_come_back(worker: Worker) -> None:
    paths = ["conv2/kernel", "norm1/gamma"]
    reply = worker.handle(Task(TRAIN, worker.trainer.bundle.initial(), {"reply-variables": "\n".join(paths)}))
    assert list(reply.arrays or {}) == paths


@pytest.fixture
def keeper(digits_bundle: Path, digits: Digits, tmp_path: Path) -> Worker:
    return _keeper(digits_bundle, digits, tmp_path)


def _keeper(digits_bundle: Path, digits: Digits, tmp_path: Path) -> Worker:
    data = digits.save(tmp_path / "train.npz", slice(0, 100))
    kept = LocalWeights(tmp_path / "state" / "weights")
    return Worker(digits_bundle, data, name="pi", num_threads=1, local_weights=kept)


def test_local_weights_and_what_is_sent_make_the_start(
    keeper: Worker, digits_bundle: Path, digits: Digits, tmp_path: Path
) -> None:
    """Kept over a restart, and for a second try at the same round."""
    start = keeper.trainer.bundle.initial()
    plan: dict[str, Scalar] = {"run": "r", "server-round": 1, "keep-weights": True, "reply-arrays": "all"}
    after = keeper.handle(Task(TRAIN, start, plan)).arrays
    assert after is not None
    sent = {"conv1/kernel": start["conv1/kernel"]}
    second = {**plan, "server-round": 2, "start-round": 1}
    expected = keeper.handle(Task(TRAIN, {**after, **sent}, {**second, "keep-weights": False})).arrays
    assert expected is not None
    for again in (keeper, _keeper(digits_bundle, digits, tmp_path), keeper):
        found = again.handle(Task(TRAIN, sent, second)).arrays
        assert found is not None
        assert all(found[path].tobytes() == value.tobytes() for path, value in expected.items())
    assert len(list((tmp_path / "state" / "weights").iterdir())) == 2


@pytest.mark.parametrize("change", [{"start-round": 2}, {"run": "other"}])
def test_weights_that_are_not_there_are_told(keeper: Worker, change: dict[str, Scalar]) -> None:
    plan: dict[str, Scalar] = {"run": "r", "server-round": 1, "keep-weights": True}
    keeper.handle(Task(TRAIN, keeper.trainer.bundle.initial(), plan))
    with pytest.raises(NoLocalWeightsError, match="no weights of its own after round"):
        keeper.handle(Task(TRAIN, {}, {**plan, "server-round": 3, "start-round": 1, **change}))


def test_damaged_weights_are_no_weights(keeper: Worker, tmp_path: Path) -> None:
    plan: dict[str, Scalar] = {"run": "r", "server-round": 1, "keep-weights": True}
    keeper.handle(Task(TRAIN, keeper.trainer.bundle.initial(), plan))
    (file,) = (tmp_path / "state" / "weights").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(NoLocalWeightsError):
        keeper.handle(Task(TRAIN, {}, {**plan, "server-round": 2, "start-round": 1}))


def test_a_client_without_room_for_weights_says_so(worker: Worker) -> None:
    assert worker.facts()["keeps-weights"] is False
    with pytest.raises(NoLocalWeightsError, match="keeps no weights"):
        worker.handle(Task(TRAIN, {}, {"start-round": 1}))
    with pytest.raises(NoLocalWeightsError, match="keeps no weights"):
        worker.handle(Task(TRAIN, worker.trainer.bundle.initial(), {"keep-weights": True}))


@pytest.mark.parametrize("codec", ["float16", "bfloat16", "int8", "clusters16"])
def test_coded_weights_come_and_go(worker: Worker, codec: str) -> None:
    start = worker.trainer.bundle.initial()
    specs = {path: (value.shape, value.dtype.name) for path, value in start.items()}
    sent = codecs.encode(start, codec)
    held = codecs.decode(sent, specs)
    plain = worker.handle(Task(TRAIN, held, {"learning-rate": 0.05})).arrays
    coded = worker.handle(
        Task(TRAIN, sent, {"learning-rate": 0.05, "download-codec": codec, "upload-codec": codec})
    ).arrays
    assert plain is not None
    assert coded is not None
    back = codecs.decode(coded, specs, held)
    for path, value in plain.items():
        if value.ndim < 2:
            assert back[path].tobytes() == value.tobytes()
        else:  # of the difference, not of the weights
            assert np.abs(back[path] - value).max() < 0.2 * np.abs(value - held[path]).max()
    # The server evaluates nothing on clients but what they train with.
    losses = [
        worker.handle(Task(EVALUATE, arrays, config)).metrics["eval-loss"]
        for arrays, config in ((held, {}), (sent, {"download-codec": codec}))
    ]
    assert losses[0] == losses[1]
