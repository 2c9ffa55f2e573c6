"""A simulated device answers as a real client does that is given the same tasks: the same arrays, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.local_weights import LocalWeights
from edge_client.records import BUNDLE, DOWNLOAD_BYTES, QUERY, TRAIN, Scalar, Task
from edge_client.worker import Worker
from model_export.bundle import Bundle
from model_export.tensors import pack
from python_server.simulation.clock import VirtualClock
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import TrainResult, TrainTask
from python_server.simulation.exchange import VirtualExchange
from python_server.simulation.lite_clients import LiteClients
from python_server.simulation.settings import ProfileSettings
from python_server.simulation.work import Workshop
from python_server.tasks import Answer, Assignment, Payload
from python_server.wire import Shipment

KEPT = ("conv2/kernel", "norm2/gamma", "norm2/moving_mean")


class LiteEngine:
    """Trains by the bundle's own model, as clients do."""

    def __init__(self, bundles: Mapping[str, Bundle], data: Dataset) -> None:
        self.clients = {name: LiteClients(bundle, data) for name, bundle in bundles.items()}

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        for task in tasks:
            yield from self.clients[task.bundle].train([task])

    def evaluate(self, weights: Any, data: Dataset, bundle: str = "") -> tuple[float, float]:
        return self.clients[bundle].evaluate(weights, data)


class Pair:
    """One device, simulated and real."""

    def __init__(self, bundle: Path, others: Mapping[str, Path], data: Path, folder: Path) -> None:
        self.worker = Worker(bundle, data, name="one", num_threads=1, local_weights=LocalWeights(folder / "real"))
        loaded = {each.sha256: each for each in map(Bundle.load, (bundle, *others.values()))}
        with np.load(data) as file:
            samples = Dataset(file["x"], file["y"], "samples")
        rows = np.arange(len(samples))
        self.device = SimulatedDevice(
            "one",
            rows,
            rows,
            ProfileSettings(name="a", download_mbps=8, upload_mbps=4),
            {sha256: {"": 0.1, "conv2": 0.1, "conv3": 0.1} for sha256 in loaded},
            self.worker.trainer.bundle.sha256,
        )
        self.clock = VirtualClock(0.0)
        self.exchange = VirtualExchange(
            [self.device], LiteEngine(loaded, samples), samples, Workshop(loaded, folder / "simulated"), self.clock
        )

    def train(self, config: dict[str, Scalar], payload: Payload) -> Answer:
        """Give both the same task; return the simulated answer, having held it against the real one."""
        config = {"run": "r", "seed": 3, "learning-rate": 0.05, "epochs": 1, **config}
        real = self.worker.handle(Task(TRAIN, dict(payload.arrays), config))
        (answer,) = self.exchange.run([Assignment(0, TRAIN, config, payload)], deadline_s=60, label="round")
        assert not answer.problem
        assert real.arrays is not None
        assert answer.arrays is not None
        assert list(answer.arrays) == list(real.arrays)
        for name, value in real.arrays.items():
            np.testing.assert_array_equal(answer.arrays[name], value, err_msg=name)
        assert answer.metrics["train-loss"] == pytest.approx(real.metrics["train-loss"])
        assert {key: answer.metrics[key] for key in ("steps", "planned-steps", "examples-processed")} == {
            key: real.metrics[key] for key in ("steps", "planned-steps", "examples-processed")
        }
        assert answer.bytes == len(pack(real.arrays))
        number, seconds, size = self.device.upload
        assert (number, size) == (config["server-round"], answer.bytes)
        assert seconds == pytest.approx(answer.bytes * 8 / 4e6, rel=0.01)
        return answer


@pytest.fixture(name="pair")
def make_pair(digits_bundle: Path, digits_half: Path, digits: Any, tmp_path: Path) -> Pair:
    return Pair(digits_bundle, {"half": digits_half}, digits.save(tmp_path / "data.npz", slice(0, 40)), tmp_path)


@pytest.mark.parametrize("codec", ["float32", "int8", "clusters16"])
def test_parts_of_the_model_travel_and_the_rest_is_kept(pair: Pair, codec: str) -> None:
    weights = pair.worker.trainer.bundle.initial()
    coded: dict[str, Scalar] = {"download-codec": codec, "upload-codec": codec}
    first = {"server-round": 1, "keep-weights": True, "reply-variables": "\n".join(KEPT), **coded}
    whole = Shipment(weights, None, codec)
    answer = pair.train(first, whole.payload)
    assert answer.metrics[DOWNLOAD_BYTES] == len(pack(whole.payload.arrays)) + len("\n".join(KEPT))
    changed = {**weights, **whole.update(answer.arrays or {}, codec)}
    part = Shipment(changed, frozenset(KEPT), codec)
    again = pair.train(
        {"server-round": 2, "start-round": 1, "keep-weights": True, "cut": "conv2", **coded}, part.payload
    )
    assert again.metrics[DOWNLOAD_BYTES] == len(pack(part.payload.arrays)) < answer.metrics[DOWNLOAD_BYTES] / 2
    task = Assignment(0, TRAIN, {"server-round": 9, "start-round": 8, "epochs": 1, **coded}, part.payload)
    (lost,) = pair.exchange.run([task], deadline_s=60, label="round")
    assert lost.problem == "it kept no weights of its own after round 8; send it all variables"


def test_a_device_changes_over_to_the_bundle_that_it_is_sent(
    pair: Pair, digits_bundle: Path, digits_half: Path, digits: Any, tmp_path: Path
) -> None:
    half = Bundle.load(digits_half)
    content = Payload({BUNDLE: np.frombuffer(half.zipped(), np.uint8)})
    question = Assignment(0, QUERY, {BUNDLE: half.sha256}, content)
    (late,) = pair.exchange.run([question], deadline_s=0.001, label="bundle")
    assert late.late
    (took,) = pair.exchange.run([question], deadline_s=60, label="bundle")
    assert took.info[BUNDLE] == half.sha256
    assert pair.clock.monotonic() == pytest.approx(0.001 + content.bytes * 8 / 8e6)
    wrong = Assignment(0, TRAIN, {"server-round": 1}, Payload(Bundle.load(digits_bundle).initial()))
    (unfit,) = pair.exchange.run([wrong], deadline_s=60, label="round")
    assert "its part of the model has no conv1/kernel of shape" in unfit.problem
    pair.worker = Worker(half.path, tmp_path / "data.npz", name="one", num_threads=1)
    pair.train({"server-round": 1}, Payload(half.initial()))
    pair.device.takes_bundles = False
    (refused,) = pair.exchange.run([question], deadline_s=60, label="bundle")
    assert refused.problem == "it takes no other bundle than its own"
