"""A run's figures as scalars that TensorBoard shows: an event file, written by hand.

An event file is a list of records (the length as uint64, its checksum, the data, its checksum), each an ``Event`` in
protobuf. Only four fields are needed, so that neither TensorFlow nor TensorBoard has to be installed. Sources:
``tensorflow/core/lib/io/record_writer.h``, ``core/util/event.proto``, ``core/framework/summary.proto``; checksums are
CRC-32C (RFC 3720, appendix B.4), masked as in ``core/lib/hash/crc32c.h``. TensorBoard's own reader checks it in a test.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Optional

from model_export.files import write_atomically
from python_server.report.figures import RunFigures, gather
from python_server.run_reader import RunReader

__all__ = ["Scalar", "event_file", "scalars", "to_tensorboard"]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed


class Scalar(NamedTuple):
    """A value of ``tag`` at ``step``; ``at`` is Unix time."""

    tag: str
    step: int
    at: float
    value: float


def to_tensorboard(run: Path, folder: Path) -> Path:
    """Write a run's figures by round as TensorBoard reads them: one file, which a second export replaces.

    Parameters
    ----------
    run
        The run directory.
    folder
        The folder of this run below TensorBoard's ``--logdir``; it is made.

    Returns
    -------
    The event file.

    Raises
    ------
    python_server.errors.StoreError
        The run cannot be read.
    OSError
        The file could not be written.
    """
    with RunReader(run) as reader:
        figures = gather(reader)
    first = figures.rounds[0].started_at if figures.rounds else 0.0
    file = folder / f"events.out.tfevents.{int(first):010d}.pocketfleet"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, event_file(list(scalars(figures)), first))
    return file


def scalars(figures: RunFigures) -> Iterator[Scalar]:
    """Yield a run's figures by round: of the server, of each device, of each architecture. NaN stays out."""
    ends = {row.round: row.started_at + row.wall_s for row in figures.rounds}
    for tag, number, value in chain(_of_rounds(figures), _of_devices(figures)):
        if value is not None and math.isfinite(value):
            yield Scalar(tag, number, ends.get(number, 0.0), float(value))


def _of_rounds(figures: RunFigures) -> Iterator[tuple[str, int, Optional[float]]]:
    for row, spent in zip(figures.rounds, figures.spent):
        yield "server/accuracy", row.round, row.accuracy
        yield "server/loss", row.round, row.loss
        yield "clients/accuracy", row.round, row.client_accuracy
        yield "clients/loss", row.round, row.client_loss
        yield "round/wall_s", row.round, row.wall_s
        yield "round/answers_used", row.round, row.used
        yield "spent/time_s", row.round, spent.time_s
        yield "spent/energy_j", row.round, spent.energy_j
        yield "spent/bytes", row.round, spent.bytes_moved
    for name, shares in figures.architectures.items():
        for number, share in sorted(shares.items()):
            yield f"architectures/{name}/accuracy", number, share


def _of_devices(figures: RunFigures) -> Iterator[tuple[str, int, Optional[float]]]:
    for each in figures.device_rounds:
        name = figures.names.get(each.device, each.name)
        yield f"devices/{name}/train_s", each.round, each.train_s
        yield f"devices/{name}/train_loss", each.round, each.train_loss
    for name, joules in figures.energy_by_round.items():
        for number, value in sorted(joules.items()):
            yield f"devices/{name}/energy_j", number, value
    for pace in figures.paces:
        for number, celsius in sorted(pace.temperature_c.items()):
            yield f"devices/{pace.device}/temperature_c", number, celsius


def event_file(values: list[Scalar], at: float) -> bytes:
    """Return the bytes of an event file.

    Parameters
    ----------
    values
        What it holds.
    at
        Unix time of its first record, which only tells the version.
    """
    records = [_time(at) + _field(3, b"brain.Event:2")]
    for tag, step, when, value in values:
        simple = _varint(2 << 3 | 5) + struct.pack("<f", value)
        records.append(
            _time(when) + _varint(2 << 3) + _varint(step) + _field(5, _field(1, _field(1, tag.encode()) + simple))
        )
    return b"".join(_record(record) for record in records)


def _time(at: float) -> bytes:
    return _varint(1 << 3 | 1) + struct.pack("<d", at)


def _field(number: int, data: bytes) -> bytes:
    """Return a field of bytes, text or another message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
