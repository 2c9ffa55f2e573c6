"""Tasks and replies as trees of objects (``docs/protocol.md`` says what is in them)."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, Optional, Union

import numpy as np
from google.protobuf.message import DecodeError

from edge_client.errors import MessageError
from edge_client.records import (
    ARRAYS,
    CONFIG,
    DEVICE,
    INFO,
    METRICS,
    QUERY,
    Arrays,
    Reply,
    Scalar,
    Task,
    decode_arrays,
    encode_arrays,
)
from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.arrays import CHUNK_BYTES, ArrayAssembler, encode_array
from edge_client.transport.objects import ObjectHead, StoredObject, is_object_id, read_object
from edge_client.transport.parallel import MAX_AT_ONCE, at_once
from model_export.errors import TensorFileError

__all__ = ["Fetch", "decode_task", "encode_error", "encode_reply"]

Fetch = Callable[[Sequence[str], int], Iterator[bytes]]
"""Gets objects' bytes by id, in the order asked for, with up to so many fetched ahead of what is taken."""

_RAISED = 2
"""Flower's number for "the client's code raised an exception"."""
_MAX_REASON = 2000
_log = logging.getLogger(__name__)


def decode_task(metadata: pb.Metadata, fetch: Fetch, *, max_bytes: int) -> tuple[Task, bool]:
    """Fetch a message's objects and read the task in it.

    Parameters
    ----------
    metadata
        What came with the message; its id names the root of the tree.
    fetch
        Gets objects.
    max_bytes
        Most bytes of arrays that are acceptable in one message.

    Returns
    -------
    The task, and whether its arrays were packed.

    Raises
    ------
    edge_client.errors.MessageError
        The objects do not make sense; nothing of them was used.
    """
    root = metadata.message_id
    if not is_object_id(root):
        raise MessageError("the message's id is not that of an object")
    head, _ = read_object(root, _one(fetch, root), kinds=("Message",))
    if len(head.children) != 1:
        raise MessageError(f"message {root[:12]}: {len(head.children)} contents instead of one")
    content_id = head.children[0]
    head, body = read_object(content_id, _one(fetch, content_id), kinds=("RecordDict",))
    records = _references(head, body)
    arrays: Arrays = {}
    config: Mapping[str, Scalar] = {}
    packed = False
    for object_id, content in zip(head.children, fetch(head.children, MAX_AT_ONCE)):
        record, body = read_object(object_id, content, kinds=("ArrayRecord", "ConfigRecord", "MetricRecord"))
        if record.kind == "ArrayRecord" and records.get(ARRAYS) == object_id:
            try:
                arrays, packed = decode_arrays(_read_arrays(record, body, fetch, max_bytes))
            except TensorFileError as error:
                raise MessageError(f"message {root[:12]}: its packed arrays are damaged: {error}") from error
        elif record.kind == "ConfigRecord" and records.get(CONFIG) == object_id:
            config = _read_config(body)
    return Task(metadata.message_type.partition(".")[0], arrays, config), packed


def encode_reply(metadata: pb.Metadata, reply: Reply, *, packed: bool, created_at: float) -> StoredObject:
    """Turn the reply to a message into a tree of objects.

    Parameters
    ----------
    metadata
        Of the message that is answered.
    reply
        The answer.
    packed
        Whether its arrays travel as one.
    created_at
        The server's time.
    """
    records: dict[str, StoredObject] = {}
    if reply.arrays is not None:
        arrays = encode_arrays(reply.arrays, packed=packed)
        records[ARRAYS] = _by_name("ArrayRecord", {name: encode_array(array) for name, array in arrays.items()})
    records[METRICS] = StoredObject("MetricRecord", (), (_metrics(reply.metrics).SerializeToString(),))
    if reply.info:
        name = DEVICE if metadata.message_type.partition(".")[0] == QUERY else INFO
        records[name] = StoredObject("ConfigRecord", (), (_config(reply.info).SerializeToString(),))
    return _message(_answer_to(metadata, created_at), _by_name("RecordDict", records), None)


def encode_error(metadata: pb.Metadata, reason: str, *, created_at: float) -> StoredObject:
    """Turn the news that a message could not be answered into an object, so that the server need not wait."""
    return _message(_answer_to(metadata, created_at), None, pb.Error(code=_RAISED, reason=reason[:_MAX_REASON]))


def _message(metadata: pb.Metadata, content: Optional[StoredObject], error: Optional[pb.Error]) -> StoredObject:
    body = pb.Message(metadata=metadata, error=error).SerializeToString(deterministic=True)
    return StoredObject("Message", [content] if content else [], (body,))


def _answer_to(metadata: pb.Metadata, created_at: float) -> pb.Metadata:
    answer = pb.Metadata(
        run_id=metadata.run_id,
        src_node_id=metadata.dst_node_id,
        dst_node_id=metadata.src_node_id,
        reply_to_message_id=metadata.message_id,
        group_id=metadata.group_id,
        ttl=metadata.created_at + metadata.ttl - created_at,
        message_type=metadata.message_type,
        created_at=created_at,
    )
    if metadata.HasField("dst_task_id"):
        answer.src_task_id = metadata.dst_task_id
    if metadata.HasField("src_task_id"):
        answer.dst_task_id = metadata.src_task_id
    return answer


def _by_name(kind: str, named: Mapping[str, StoredObject]) -> StoredObject:
    ids = {name: item.object_id for name, item in named.items()}
    return StoredObject(kind, list(named.values()), (json.dumps(ids).encode(),))


def _metrics(values: Mapping[str, Union[int, float]]) -> pb.MetricRecord:
    record = pb.MetricRecord()
    for key, value in values.items():
        if isinstance(value, (int, np.integer)):
            record.items.add(key=key, value=pb.MetricRecordValue(sint64=int(value)))
        else:
            record.items.add(key=key, value=pb.MetricRecordValue(double=float(value)))
    return record


def _config(values: Mapping[str, Scalar]) -> pb.ConfigRecord:
    record = pb.ConfigRecord()
    for key, value in values.items():
        item = record.items.add(key=key)
        if isinstance(value, bool):
            item.value.bool = value
        elif isinstance(value, int):
            item.value.sint64 = value
        elif isinstance(value, float):
            item.value.double = value
        elif isinstance(value, str):
            item.value.string = value
        else:
            item.value.bytes = value
    return record


def _read_config(body: memoryview) -> dict[str, Scalar]:
    try:
        record = pb.ConfigRecord.FromString(bytes(body))
    except DecodeError as error:
        raise MessageError("the message's config is not a ConfigRecord") from error
    config: dict[str, Scalar] = {}
    for item in record.items:
        field = item.value.WhichOneof("value")
        if field is None or field.endswith("_list"):
            _log.warning("event=config-key-ignored key=%.64r reason=only-single-values", item.key)
        else:
            config[item.key] = getattr(item.value, field)
    return config


def _read_arrays(record: ObjectHead, body: memoryview, fetch: Fetch, max_bytes: int) -> Arrays:
    """Read all arrays of a record, chunk by chunk in one go."""
    names = _references(record, body)
    first_name = {object_id: name for name, object_id in reversed(list(names.items()))}
    assemblers: dict[str, ArrayAssembler] = {}
    room = max_bytes
    for object_id, content in zip(record.children, fetch(record.children, MAX_AT_ONCE)):
        head, description = read_object(object_id, content, kinds=("Array",))
        assemblers[object_id] = ArrayAssembler(first_name[object_id], head, description, max_bytes=room)
        room -= assemblers[object_id].nbytes
    uses = Counter(chunk for assembler in assemblers.values() for chunk in assembler.chunk_ids)
    largest = min(max((assembler.nbytes for assembler in assemblers.values()), default=0), CHUNK_BYTES)
    coming = fetch(list(uses), at_once(largest))
    waiting: dict[str, memoryview] = {}
    found: Arrays = {}
    for object_id, assembler in assemblers.items():
        for chunk_id in assembler.chunk_ids:
            if chunk_id not in waiting:
                head, waiting[chunk_id] = read_object(chunk_id, next(coming), kinds=("ArrayChunk",))
                if head.children:
                    raise MessageError(f"object {chunk_id[:12]}: a chunk of an array has no children")
            assembler.feed(waiting[chunk_id])
            uses[chunk_id] -= 1
            if not uses[chunk_id]:
                del waiting[chunk_id]
        found[object_id] = assembler.finish()
    taken: set[str] = set()
    arrays: Arrays = {}
    for name, object_id in names.items():
        # Two equal arrays are one object, but must not become one array that two layers train.
        arrays[name] = found[object_id].copy() if object_id in taken else found[object_id]
        taken.add(object_id)
    return arrays


def _references(head: ObjectHead, body: memoryview) -> dict[str, str]:
    """Read the names that a record gives its children."""
    try:
        pairs = json.loads(bytes(body), object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"{head.kind}: its names are not JSON") from error
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) and isinstance(pair[1], str) for pair in pairs):
        raise MessageError(f"{head.kind}: its names are not a JSON object of ids")
    names = dict(pairs)
    if len(names) != len(pairs):
        raise MessageError(f"{head.kind}: a name comes twice")
    if set(names.values()) != set(head.children):
        raise MessageError(f"{head.kind}: its names are not those of its children")
    return names


def _one(fetch: Fetch, object_id: str) -> bytes:
    return next(fetch([object_id], 1))
