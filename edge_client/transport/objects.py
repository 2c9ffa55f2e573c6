"""The pieces a message travels in, each named by the hash of its bytes.

An object is ``<type> <child id>,<child id>... <body length>``, a zero byte, and the body; its id is the SHA-256 of all
that in hexadecimal. A message is a tree of them, known by its root's id, so everything below is vouched for by that
one id. What the ids do not vouch for is that the tree makes sense, which is for the reader to check.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from edge_client.errors import MessageError

__all__ = ["MAX_CHILDREN", "Buffer", "ObjectHead", "StoredObject", "is_object_id", "read_object"]

Buffer = Union[bytes, memoryview]

MAX_CHILDREN = 16_384
_ID_LENGTH = 64
_MAX_HEAD = 64 + MAX_CHILDREN * (_ID_LENGTH + 1)
_TYPE = re.compile(r"[A-Za-z]{1,32}")
_ID = re.compile(r"[0-9a-f]{64}")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,17}")


def is_object_id(text: str) -> bool:
    """Whether a text has the form of an object's id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class ObjectHead:
    """What an object's first line says: its type and its children's ids, each once, in order."""

    kind: str
    children: tuple[str, ...]


class StoredObject:
    """An object to send: its id, and its bytes in parts that are not copied together.

    Parameters
    ----------
    kind
        Type name, such as ``ArrayChunk``.
    children
        Child objects in order; one that comes twice is listed once.
    body
        Parts of the body.
    """

    def __init__(self, kind: str, children: Sequence[StoredObject], body: Sequence[Buffer]) -> None:
        self.children = tuple({child.object_id: child for child in children}.values())
        ids = ",".join(child.object_id for child in self.children)
        length = sum(memoryview(part).nbytes for part in body)
        self.parts: tuple[Buffer, ...] = (f"{kind} {ids} {length}\0".encode("ascii"), *body)
        self.size = len(self.parts[0]) + length
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part)
        self.object_id: str = digest.hexdigest()

    def descendants_first(self) -> list[StoredObject]:
        """List the object and all below it once each, children before their parents."""
        found: dict[str, StoredObject] = {}
        _visit(self, found)
        return list(found.values())


def _visit(item: StoredObject, found: dict[str, StoredObject]) -> None:
    # Not a closure: one that calls itself is a reference cycle, and would keep the arrays until the next collection.
    if item.object_id not in found:
        for child in item.children:
            _visit(child, found)
        found[item.object_id] = item


def read_object(object_id: str, content: bytes, *, kinds: Sequence[str]) -> tuple[ObjectHead, memoryview]:
    """Take an object apart after checking that it is the one asked for.

    Parameters
    ----------
    object_id
        The id that it was asked for by.
    content
        The bytes that came.
    kinds
        The types that make sense at this place.

    Returns
    -------
    The head, and the body as a view of `content`.

    Raises
    ------
    edge_client.errors.MessageError
        Wrong hash, or not the form of an object.
    """
    if hashlib.sha256(content).hexdigest() != object_id:
        raise MessageError(f"object {object_id[:12]}: the bytes that came do not have this hash")
    end = content.find(b"\0", 0, _MAX_HEAD)
    if end < 0:
        raise MessageError(f"object {object_id[:12]}: no end of its head")
    try:
        fields = content[:end].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise MessageError(f"object {object_id[:12]}: its head is not ASCII") from error
    if len(fields) != 3 or not _TYPE.fullmatch(fields[0]) or not _LENGTH.fullmatch(fields[2]):
        raise MessageError(f"object {object_id[:12]}: its head does not have the form of one")
    kind, child_text, length = fields
    if kind not in kinds:
        raise MessageError(f"object {object_id[:12]}: {kind} where only {' or '.join(kinds)} can be")
    children = tuple(child_text.split(",")) if child_text else ()
    if len(children) > MAX_CHILDREN or not all(map(is_object_id, children)):
        raise MessageError(f"object {object_id[:12]}: its list of children is not one")
    if len(set(children)) != len(children):
        raise MessageError(f"object {object_id[:12]}: lists a child twice")
    body = memoryview(content)[end + 1 :]
    if int(length) != len(body):
        raise MessageError(f"object {object_id[:12]}: has {len(body)} bytes of body and claims {length}")
    return ObjectHead(kind, children), body
