"""One virtual client of the ``flower`` engine, in a Ray worker: the same trainer and steps as a real client's.

A worker keeps the model and the samples; what makes it one client or another comes with each message.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge_client.data import Dataset
from edge_client.fit import batches
from edge_client.records import ARRAYS, CONFIG, METRICS, decode_arrays, encode_arrays
from edge_client.trainer import Trainer

__all__ = ["app"]

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]  # flwr is not checked
def train(message: Message, context: Context) -> Message:
    """Train one client as the task says, and return what changed."""
    content, config = message.content, message.content[CONFIG]
    weights, _ = decode_arrays({name: array.numpy() for name, array in content[ARRAYS].items()})
    rows = content["rows"]["rows"].numpy()
    trainer, data = _worker(str(config["bundle"]), str(config["samples"]))
    cut, seed, steps = str(config["cut"]), int(config["seed"]), int(config["steps"])
    trainer.set_weights(weights)
    total = processed = 0.0
    plan = itertools.islice(batches(len(rows), trainer.batch_size, int(config["epochs"]), seed), steps)
    for step, chosen in enumerate(plan):
        own = rows[chosen]
        loss = trainer.train_step(
            data.x[own],
            data.y[own],
            float(config["learning-rate"]),
            cut or None,
            mu=float(config["proximal-mu"]),
            seed=(seed * 1_000_003 + step) % 2**31,
        )
        total, processed = total + loss * len(own), processed + len(own)
    changed = trainer.weights()
    update = encode_arrays({path: changed[path] for path in trainer.trained(cut or None)}, packed=True)
    metrics = {"loss": total / processed if processed else 0.0, "processed": int(processed)}
    answer = {
        METRICS: MetricRecord(metrics),
        ARRAYS: ArrayRecord({name: Array(value) for name, value in update.items()}),
    }
    return Message(RecordDict(answer), reply_to=message)


@lru_cache(maxsize=1)
def _worker(bundle: str, samples: str) -> tuple[Trainer, Dataset]:
    x, y = (np.load(f"{samples}/{name}.npy", mmap_mode="r") for name in ("x", "y"))
    return Trainer(bundle, num_threads=1), Dataset(x, y, samples)
