from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Optional, Union

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.errors import MessageError
from edge_client.records import PACKED, Reply, Scalar, Task
from edge_client.transport import fleet_pb2 as pb
from edge_client.transport.arrays import encode_array
from edge_client.transport.messages import decode_task, encode_error, encode_reply
from edge_client.transport.objects import StoredObject
from model_export.tensors import pack

WEIGHTS = {
    "conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv/bias": np.zeros(4, np.float32),
    "dense/bias": np.zeros(4, np.float32),
}


def content(item: StoredObject) -> bytes:
    return b"".join(bytes(part) for part in item.parts)


def named(kind: str, items: dict[str, StoredObject], body: Optional[object] = None) -> StoredObject:
    names = {name: item.object_id for name, item in items.items()} if body is None else body
    return StoredObject(kind, list(items.values()), (json.dumps(names).encode(),))


def message(*contents: StoredObject) -> StoredObject:
    return StoredObject("Message", contents, (b"",))


def config(**values: object) -> StoredObject:
    record = pb.ConfigRecord()
    for key, value in values.items():
        field = {bool: "bool", int: "sint64", float: "double", str: "string", bytes: "bytes"}[type(value)]
        record.items.add(key=key.replace("_", "-"), value=pb.ConfigRecordValue(**{field: value}))  # type: ignore[arg-type]
    return StoredObject("ConfigRecord", (), (record.SerializeToString(),))


def instruction(root: StoredObject) -> pb.Metadata:
    return pb.Metadata(
        run_id=2**63 + 1,
        message_id=root.object_id,
        src_node_id=1,
        dst_node_id=2**64 - 2,
        group_id="3",
        ttl=100.0,
        created_at=1_800_000_000.0,
        message_type="train.custom",
        src_task_id=7,
    )


class Store:
    """Objects by id; counts what was asked for."""

    def __init__(self, root: StoredObject) -> None:
        self.objects = {item.object_id: content(item) for item in root.descendants_first()}
        self.asked: list[str] = []

    def __call__(self, object_ids: Sequence[str], at_once: int) -> Iterator[bytes]:
        for object_id in object_ids:
            self.asked.append(object_id)
            if object_id not in self.objects:
                raise MessageError("not there")
            yield self.objects[object_id]


def decode(root: StoredObject, *, max_bytes: int = 1 << 20) -> tuple[Task, bool]:
    return decode_task(instruction(root), Store(root), max_bytes=max_bytes)


def test_named_arrays_and_config() -> None:
    arrays = named("ArrayRecord", {name: encode_array(array) for name, array in WEIGHTS.items()})
    plan = config(server_round=4, learning_rate=0.5, cut="head", final=True, blob=b"\0")
    task, packed = decode(message(named("RecordDict", {"arrays": arrays, "config": plan})))
    assert task.kind == "train"
    assert not packed
    assert task.config == {"server-round": 4, "learning-rate": 0.5, "cut": "head", "final": True, "blob": b"\0"}
    assert set(task.arrays) == set(WEIGHTS)
    assert all(np.array_equal(task.arrays[name], array) for name, array in WEIGHTS.items())


def test_equal_arrays_do_not_become_one() -> None:
    arrays = named("ArrayRecord", {name: encode_array(array) for name, array in WEIGHTS.items()})
    task, _ = decode(message(named("RecordDict", {"arrays": arrays})))
    task.arrays["conv/bias"] += 1
    assert not task.arrays["dense/bias"].any()


def test_packed_arrays() -> None:
    one = encode_array(np.frombuffer(pack(WEIGHTS), np.uint8))
    task, packed = decode(message(named("RecordDict", {"arrays": named("ArrayRecord", {PACKED: one})})))
    assert packed
    assert all(np.array_equal(task.arrays[name], array) for name, array in WEIGHTS.items())


def test_no_object_is_fetched_twice() -> None:
    arrays = named("ArrayRecord", {name: encode_array(array) for name, array in WEIGHTS.items()})
    root = message(named("RecordDict", {"arrays": arrays, "more": arrays}))
    store = Store(root)
    decode_task(instruction(root), store, max_bytes=1 << 20)
    assert sorted(store.asked) == sorted(store.objects)


def test_lists_in_the_config_are_left_out_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    record = pb.ConfigRecord()
    record.items.add(key="list", value=pb.ConfigRecordValue(sint_list=pb.SintList(vals=[1])))
    record.items.add(key="empty", value=pb.ConfigRecordValue())
    record.items.add(key="big", value=pb.ConfigRecordValue(uint64=2**64 - 1))
    plan = StoredObject("ConfigRecord", (), (record.SerializeToString(),))
    task, _ = decode(message(named("RecordDict", {"config": plan})))
    assert task.config == {"big": 2**64 - 1}
    assert "list" in caplog.text


CHUNK = StoredObject("ArrayChunk", (), (b"x",))
ARRAY = encode_array(WEIGHTS["conv/bias"])
RECORD = named("ArrayRecord", {"w": ARRAY})


@pytest.mark.parametrize(
    ("root", "complaint"),
    [
        (message(), "0 contents"),
        (message(named("RecordDict", {}), RECORD), "2 contents"),
        (message(CHUNK), "where only RecordDict"),
        (named("RecordDict", {}), "where only Message"),
        (message(named("RecordDict", {"arrays": CHUNK})), "where only ArrayRecord"),
        (message(named("RecordDict", {"arrays": named("RecordDict", {})})), "where only ArrayRecord"),
        (message(named("RecordDict", {"arrays": RECORD}, ["arrays"])), "not a JSON object of ids"),
        (message(named("RecordDict", {"arrays": RECORD}, {"arrays": 3})), "not a JSON object of ids"),
        (message(named("RecordDict", {"arrays": RECORD}, {"arrays": "f" * 64})), "not those of its children"),
        (message(named("RecordDict", {"arrays": RECORD}, 5)), "not a JSON object of ids"),
        (
            message(
                StoredObject(
                    "RecordDict", [RECORD], (f'{{"a":"{RECORD.object_id}","a":"{RECORD.object_id}"}}'.encode(),)
                )
            ),
            "a name comes twice",
        ),
        (message(StoredObject("RecordDict", (), (b"[" * 100_000,))), "not JSON"),
        (message(StoredObject("RecordDict", (), (b"\xff",))), "not JSON"),
        (message(named("RecordDict", {"arrays": named("ArrayRecord", {"w": CHUNK})})), "where only Array can"),
        (
            message(named("RecordDict", {"config": StoredObject("ConfigRecord", (), (b"\xff\xff",))})),
            "not a ConfigRecord",
        ),
        (
            message(
                named("RecordDict", {"arrays": named("ArrayRecord", {PACKED: encode_array(np.zeros(9, np.uint8))})})
            ),
            "packed arrays are damaged",
        ),
    ],
)
def test_nonsense_is_refused(root: StoredObject, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        decode(root)


def test_too_much_is_refused_before_it_is_fetched() -> None:
    arrays = named("ArrayRecord", {str(n): encode_array(np.full(1000, n, np.float32)) for n in range(3)})
    root = message(named("RecordDict", {"arrays": arrays}))
    store = Store(root)
    with pytest.raises(MessageError, match="still acceptable"):
        decode_task(instruction(root), store, max_bytes=10_000)
    chunks = {chunk.object_id for array in arrays.children for chunk in array.children}
    assert not chunks & set(store.asked)


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(MessageError, match="not that of an object"):
        decode_task(pb.Metadata(message_id="../../etc/passwd"), Store(CHUNK), max_bytes=1)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(body: bytes) -> None:
    for kind in ("RecordDict", "ArrayRecord", "ConfigRecord"):
        record = StoredObject(kind, (), (body,))
        root = message(record if kind == "RecordDict" else named("RecordDict", {"arrays": record, "config": record}))
        try:
            decode(root)
        except MessageError:
            continue


REPLY = Reply(
    metrics={"num-examples": 30, "train-loss": 0.25, "big": -(2**40)},
    arrays=WEIGHTS,
    info={"name": "π", "n": 3, "ok": True},
)


@pytest.mark.parametrize("packed", [False, True])
def test_flower_reads_our_reply(packed: bool) -> None:
    inflatable = pytest.importorskip("flwr.supercore.inflatable.inflatable_utils")
    metadata = instruction(message())
    root = encode_reply(metadata, REPLY, packed=packed, created_at=1_800_000_010.0)
    objects = {item.object_id: content(item) for item in root.descendants_first()}
    for raw in objects.values():
        inflatable.validate_object_content(raw)
    theirs = inflatable.inflate_object_from_contents(root.object_id, objects)
    assert theirs.object_id == root.object_id
    assert theirs.metadata.run_id == 2**63 + 1
    assert theirs.metadata.src_node_id == 2**64 - 2
    assert theirs.metadata.reply_to_message_id == metadata.message_id
    assert theirs.metadata.dst_task_id == 7
    assert theirs.metadata.ttl == 90.0
    assert dict(theirs.content["metrics"]) == REPLY.metrics
    assert dict(theirs.content["info"]) == REPLY.info
    arrays = theirs.content["arrays"]
    if packed:
        assert arrays[PACKED].numpy().tobytes() == bytes(pack(WEIGHTS))
    else:
        assert all(np.array_equal(arrays[name].numpy(), array) for name, array in WEIGHTS.items())


def test_flower_reads_our_error() -> None:
    inflatable = pytest.importorskip("flwr.supercore.inflatable.inflatable_utils")
    root = encode_error(instruction(message()), "ValueError: no" + "o" * 5000, created_at=1_800_000_010.0)
    theirs = inflatable.inflate_object_from_contents(root.object_id, {root.object_id: content(root)})
    assert theirs.has_error()
    assert theirs.error.code == 2
    assert theirs.error.reason.startswith("ValueError: no")
    assert len(theirs.error.reason) == 2000


def test_facts_about_the_device_answer_a_query() -> None:
    metadata = instruction(message())
    metadata.message_type = "query"
    root = encode_reply(metadata, Reply(metrics={}, info={"name": "x"}), packed=False, created_at=1.8e9)
    names = json.loads(bytes(root.children[0].parts[1]))
    assert set(names) == {"metrics", "device"}


@given(
    st.dictionaries(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False), max_size=5),
    st.dictionaries(
        st.text(max_size=8),
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
        max_size=5,
    ),
)
@settings(max_examples=50)
def test_same_record_ids_as_flower(metrics: dict[str, Union[int, float]], info: dict[str, Scalar]) -> None:
    theirs = pytest.importorskip("flwr.app")
    root = encode_reply(instruction(message()), Reply(metrics=metrics, info=info), packed=False, created_at=1.8e9)
    ours = {item.parts[0][:12]: item.object_id for item in root.descendants_first()}
    assert ours[b"MetricRecord"] == theirs.MetricRecord(dict(metrics)).object_id
    if info:
        assert ours[b"ConfigRecord"] == theirs.ConfigRecord(dict(info)).object_id
