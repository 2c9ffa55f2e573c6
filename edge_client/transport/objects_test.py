from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_client.errors import MessageError
from edge_client.transport.objects import StoredObject, read_object


def content(item: StoredObject) -> bytes:
    return b"".join(bytes(part) for part in item.parts)


def test_head_body_and_id() -> None:
    child = StoredObject("ArrayChunk", (), (b"abc", memoryview(b"def")))
    parent = StoredObject("Array", [child, child], (b"{}",))
    assert content(child) == b"ArrayChunk  6\0abcdef"
    assert content(parent) == f"Array {child.object_id} 2\0{{}}".encode()
    assert parent.object_id == hashlib.sha256(content(parent)).hexdigest()
    assert parent.size == len(content(parent))
    head, body = read_object(parent.object_id, content(parent), kinds=("Array",))
    assert (head.kind, head.children, bytes(body)) == ("Array", (child.object_id,), b"{}")


def test_children_come_before_their_parents_and_once() -> None:
    leaf = StoredObject("ArrayChunk", (), (b"x",))
    left, right = (StoredObject("Array", [leaf], (name,)) for name in (b"l", b"r"))
    root = StoredObject("ArrayRecord", [left, right], (b"",))
    assert root.descendants_first() == [leaf, left, right, root]


ID = "a" * 64


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "no end of its head"),
        (b"Array  0", "no end of its head"),
        (b"Array 0\0", "form of one"),
        (b"Array  x\0", "form of one"),
        (b"Array  -1\0", "form of one"),
        (b"Array  00\0", "form of one"),
        (b"Array  1\0", "claims 1"),
        (b"Array  0\0x", "has 1 bytes"),
        (b"Arr\xffay  0\0", "not ASCII"),
        (b"Os.System  0\0", "form of one"),
        (b"Context  0\0", "where only Array can be"),
        (f"Array {ID[1:]} 0\0".encode(), "list of children"),
        (f"Array {ID.upper()} 0\0".encode(), "list of children"),
        (f"Array {ID},{ID} 0\0".encode(), "twice"),
        (f"Array {ID}, 0\0".encode(), "list of children"),
        (f"Array {','.join(f'{n:064x}' for n in range(20_000))} 0\0".encode(), "no end|list of children"),
    ],
)
def test_nonsense_is_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        read_object(hashlib.sha256(raw).hexdigest(), raw, kinds=("Array",))


def test_wrong_hash_is_refused() -> None:
    item = StoredObject("Array", (), (b"x",))
    with pytest.raises(MessageError, match="hash"):
        read_object(item.object_id, content(item) + b" ", kinds=("Array",))


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: b"Array  3\0" + tail))
@example(b"Array  3\0abc")
def test_random_bytes_raise_nothing_else(raw: bytes) -> None:
    try:
        _, body = read_object(hashlib.sha256(raw).hexdigest(), raw, kinds=("Array",))
    except MessageError:
        return
    assert raw.endswith(bytes(body))
