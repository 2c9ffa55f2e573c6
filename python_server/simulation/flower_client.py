"""One virtual client of the ``flower`` engine, in a Ray worker: the same trainer and steps as a real client's.

A worker keeps models and samples; what makes it one client or another comes with each message.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge_client.data import Dataset
from edge_client.records import ARRAYS, CONFIG, INFO, METRICS, decode_arrays, encode_arrays
from edge_client.trainer import Trainer
from python_server.simulation.engine import TrainTask
from python_server.simulation.lite_clients import train_client

__all__ = ["app"]

app = ClientApp()

_MODELS = 4
"""Bundles that a worker keeps ready; a ResNet-20 takes about 200 MB."""


@app.train()  # type: ignore[untyped-decorator]  # flwr is not checked
def train(message: Message, context: Context) -> Message:
    """Train one client as the task says, and return what changed."""
    content, config = message.content, message.content[CONFIG]
    weights, _ = decode_arrays({name: array.numpy() for name, array in content[ARRAYS].items()})
    task = TrainTask(
        rows=content["rows"]["rows"].numpy(),
        weights=weights,
        epochs=int(config["epochs"]),
        steps=int(config["steps"]),
        learning_rate=float(config["learning-rate"]),
        cut=str(config["cut"]),
        mu=float(config["proximal-mu"]),
        seed=int(config["seed"]),
    )
    result = train_client(_trainer(str(config["bundle"])), _samples(str(config["samples"])), task)
    update = encode_arrays(result.weights, packed=True)
    answer = {
        METRICS: MetricRecord({"loss": result.loss, "processed": result.examples_processed}),
        INFO: ConfigRecord({"problem": result.problem}),
        ARRAYS: ArrayRecord({name: Array(value) for name, value in update.items()}),
    }
    return Message(RecordDict(answer), reply_to=message)


@lru_cache(maxsize=_MODELS)
def _trainer(bundle: str) -> Trainer:
    return Trainer(bundle, num_threads=1)


@lru_cache(maxsize=1)
def _samples(folder: str) -> Dataset:
    x, y = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("x", "y"))
    return Dataset(x, y, folder)
