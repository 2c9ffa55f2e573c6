"""The same work as a Flower ``ClientApp``, for those who run stock SuperNodes. The only file here that imports flwr.

An app names it in its ``pyproject.toml``::

    [tool.flwr.app.components]
    clientapp = "edge_client.client_app:app"

Each SuperNode says what it trains on, on its command line or in the environment::

    flower-supernode --superlink 192.168.1.10:8000 --root-certificates ca.pem \
        --node-config 'bundle="cifar.bundle" data="shard-3.npz" name="board-3"'

    POCKETFLEET_BUNDLE=cifar.bundle POCKETFLEET_DATA=shard-3.npz flower-supernode ...

Keys: ``bundle``, ``data``, and if wanted ``test-data``, ``name``, ``processor``, ``profile``, ``energy``, ``threads``,
``trust``. Idle power is not measured: a SuperNode starts a process for each task, which would wait each time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Optional, Union

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge_client.energy import AUTO, find_meter
from edge_client.errors import SettingsError
from edge_client.records import (
    ARRAYS,
    CONFIG,
    DEVICE,
    DOWNLOAD_BYTES,
    DOWNLOAD_S,
    INFO,
    METRICS,
    PREVIOUS_UPLOAD_BYTES,
    PREVIOUS_UPLOAD_ROUND,
    PREVIOUS_UPLOAD_S,
    QUERY,
    Task,
    decode_arrays,
    encode_arrays,
)
from edge_client.worker import Worker

__all__ = ["app"]

_KEYS = ("bundle", "data", "test-data", "name", "processor", "profile", "energy", "threads", "trust")
_NOT_MEASURED: dict[str, Union[int, float]] = {
    DOWNLOAD_S: -1.0,
    DOWNLOAD_BYTES: -1,
    PREVIOUS_UPLOAD_S: -1.0,
    PREVIOUS_UPLOAD_BYTES: -1,
    PREVIOUS_UPLOAD_ROUND: 0,
}
"""A SuperNode does the transfers and says nothing about them; stock strategies want the same keys from all clients."""

app = ClientApp()


@app.query()  # type: ignore[untyped-decorator]
def query(message: Message, context: Context) -> Message:
    """Tell what this device is."""
    return _handle(message, context)


@app.train()  # type: ignore[untyped-decorator]
def train(message: Message, context: Context) -> Message:
    """Train as the plan says."""
    return _handle(message, context)


@app.evaluate()  # type: ignore[untyped-decorator]
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global weights."""
    return _handle(message, context)


def _handle(message: Message, context: Context) -> Message:
    worker = _worker(tuple(sorted(_settings(context.node_config).items())))
    kind = message.metadata.message_type.partition(".")[0]
    content = message.content
    record = {name: array.numpy() for name, array in content[ARRAYS].items()} if ARRAYS in content else {}
    arrays, packed = decode_arrays(record)
    config = dict(content[CONFIG]) if CONFIG in content else {}
    reply = worker.handle(Task(kind, arrays, config))
    answer = RecordDict({METRICS: MetricRecord({**reply.metrics, **_NOT_MEASURED})})
    if reply.arrays is not None:
        encoded = encode_arrays(reply.arrays, packed=packed)
        answer[ARRAYS] = ArrayRecord({name: Array(array) for name, array in encoded.items()})
    if reply.info:
        answer[DEVICE if kind == QUERY else INFO] = ConfigRecord(dict(reply.info))
    return Message(answer, reply_to=message)


def _settings(node_config: Mapping[str, object]) -> dict[str, str]:
    found = {}
    for key in _KEYS:
        value = node_config.get(key, os.environ.get(f"POCKETFLEET_{key.upper().replace('-', '_')}"))
        if value not in (None, ""):
            found[key] = str(value)
    for key in ("bundle", "data"):
        if key not in found:
            raise SettingsError(
                f"this SuperNode does not say where its {key} is; start it with --node-config '{key}=\"PATH\"' "
                f"or set POCKETFLEET_{key.upper()}"
            )
    return found


@lru_cache(maxsize=1)
def _worker(settings: tuple[tuple[str, str], ...]) -> Worker:
    given = dict(settings)
    profile = given.get("profile", "generic")
    return Worker(
        given["bundle"],
        given["data"],
        test_data=given.get("test-data"),
        name=given.get("name", ""),
        processor=given.get("processor", "cpu"),
        profile=profile,
        meter=find_meter(profile, source=given.get("energy", AUTO)),
        num_threads=_whole(given.get("threads")),
        trusted_key=Path(given["trust"]).read_bytes() if "trust" in given else None,
    )


def _whole(text: Optional[str]) -> Optional[int]:
    if text is None:
        return None
    if not text.isdigit() or text == "0":
        raise SettingsError(f"threads is {text!r}; it has to be a positive whole number")
    return int(text)
