"""Names of the records and keys that travel between server and clients (``docs/protocol.md``).

This is the only Python file that spells them. Nothing here depends on how the bytes travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Union

import numpy as np

from model_export.tensors import pack, unpack

__all__ = [
    "ACCEPTS_BUNDLE",
    "ARRAYS",
    "BATTERY_AT",
    "BATTERY_PERCENT",
    "BATTERY_WH",
    "BUILD",
    "BUNDLE",
    "CHARGING",
    "CODECS",
    "CONFIG",
    "DEVICE",
    "DOWNLOAD_BYTES",
    "DOWNLOAD_CODEC",
    "DOWNLOAD_ENERGY",
    "DOWNLOAD_S",
    "ENERGY",
    "ENERGY_COVERS",
    "ENERGY_FLAGS",
    "ENERGY_METHOD",
    "ENERGY_SOURCE",
    "EVALUATE",
    "GOVERNOR",
    "INFO",
    "KEEPS_WEIGHTS",
    "KEEP_WEIGHTS",
    "MEMORY_BYTES",
    "METRICS",
    "PACKED",
    "PREVIOUS_UPLOAD_BYTES",
    "PREVIOUS_UPLOAD_ENERGY",
    "PREVIOUS_UPLOAD_ROUND",
    "PREVIOUS_UPLOAD_S",
    "QUERY",
    "REPLY_VARIABLES",
    "SERVER_ROUND",
    "START_ROUND",
    "STEPS",
    "TEMPERATURE_AT",
    "TEMPERATURE_SOURCE",
    "TRAIN",
    "UPLOAD_CODEC",
    "WAIT_ENERGY",
    "Arrays",
    "Reply",
    "Scalar",
    "Task",
    "decode_arrays",
    "encode_arrays",
]

QUERY = "query"
TRAIN = "train"
EVALUATE = "evaluate"

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
DEVICE = "device"
INFO = "info"

PACKED = "safetensors"
"""Key of the one array of a packed record."""

BUNDLE = "bundle"
"""Among a client's facts: the hash of the bundle it holds, or empty. In a query: the zip of a bundle, and its hash."""
ACCEPTS_BUNDLE = "accepts-bundle"
"""Among a client's facts: whether it takes a bundle from the server."""

SERVER_ROUND = "server-round"
"""Key of the round's number in `CONFIG`."""

STEPS = "steps"
"""Key of a plan: local steps, however many epochs they are; 0: epochs decide."""
START_ROUND = "start-round"
"""Key of a plan: the client starts from its own weights as they were after that round, and what it is sent."""
KEEP_WEIGHTS = "keep-weights"
"""Key of a plan: the client keeps its weights after this round, for a later `START_ROUND`."""
REPLY_VARIABLES = "reply-variables"
"""Key of a plan: the variables to send back, a path a line; empty: as ``reply-arrays`` says."""
DOWNLOAD_CODEC = "download-codec"
UPLOAD_CODEC = "upload-codec"
"""Keys of a plan: how the arrays of the message, and of the reply, hold numbers (`model_export.codecs`)."""

KEEPS_WEIGHTS = "keeps-weights"
"""Among a client's facts: whether it can do what `KEEP_WEIGHTS` asks."""
CODECS = "codecs"
"""Among a client's facts: the families of codecs that it knows, separated by blanks."""
MEMORY_BYTES = "memory-bytes"
"""Among a client's facts: all memory of the device."""
BATTERY_PERCENT = "battery-percent"
CHARGING = "charging"
"""Among the facts of a client with a battery: its charge, and whether power comes from outside."""
BATTERY_WH = "battery-wh"
"""Among the facts of a simulated device: capacity of its battery. Of a real one the server looks at its profile."""

DOWNLOAD_S = "download-s"
DOWNLOAD_BYTES = "download-bytes"
PREVIOUS_UPLOAD_S = "previous-upload-s"
PREVIOUS_UPLOAD_BYTES = "previous-upload-bytes"
PREVIOUS_UPLOAD_ROUND = "previous-upload-round"


def _about(phase: str) -> tuple[str, str, str, str, str]:
    return f"{phase}-j", f"{phase}-idle-j", f"{phase}-rate-hz", f"{phase}-coverage", f"{phase}-uncertainty-j"


ENERGY = _about("energy")
DOWNLOAD_ENERGY = _about("energy-download")
WAIT_ENERGY = _about("energy-wait")
PREVIOUS_UPLOAD_ENERGY = _about("previous-upload-energy")
"""Metrics about a phase: joules, gross, and what the device would have used anyway; readings a second, the share of its
seconds that the joules stand for, one standard uncertainty. −1: not known."""
TEMPERATURE_AT = ("temperature-start-c", "temperature-end-c")
BATTERY_AT = ("battery-start-percent", "battery-end-percent")
"""Metrics: as the task's work began and ended. −1: not known."""
ENERGY_SOURCE = "energy-source"
ENERGY_METHOD = "energy-method"
ENERGY_COVERS = "energy-covers"
ENERGY_FLAGS = "energy-flags"
"""Words about the energies of a reply. Flags are a line each. ``download: ``, ``wait: `` or ``upload: `` before a flag
tells that it is about that phase, not about the task's own; see also `edge_client.energy.EXCLUDED`."""
TEMPERATURE_SOURCE = "temperature-source"
GOVERNOR = "governor"
BUILD = "build"
"""Words about the device: what its temperature is of, its processor's frequency governor, the version of its client."""

Scalar = Union[int, float, str, bool, bytes]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What the server asks of a client in one message."""

    kind: str
    arrays: Arrays = field(default_factory=dict)
    config: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a client answers: weights by variable path, numbers, and words about the numbers."""

    metrics: dict[str, Union[int, float]]
    arrays: Optional[Arrays] = None
    info: dict[str, Scalar] = field(default_factory=dict)


def encode_arrays(arrays: Mapping[str, np.ndarray], *, packed: bool) -> Arrays:
    """Turn weights by variable path into the arrays of an ``arrays`` record."""
    if not packed:
        return dict(arrays)
    return {PACKED: np.frombuffer(pack(arrays), dtype=np.uint8)}


def decode_arrays(record: Mapping[str, np.ndarray]) -> tuple[Arrays, bool]:
    """Invert `encode_arrays`; also tell whether the record was packed.

    Raises
    ------
    model_export.tensors.TensorFileError
        The packed bytes are not a safetensors file.
    """
    if set(record) == {PACKED} and record[PACKED].dtype == np.uint8 and record[PACKED].ndim == 1:
        return unpack(record[PACKED].data), True
    return dict(record), False
