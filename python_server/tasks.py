"""What is asked of nodes and what comes back, however it travels: by a SuperLink, or within a simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional, Protocol

import numpy as np

from edge_client.records import Arrays, Scalar, encode_arrays

__all__ = ["Answer", "Assignment", "Clock", "LateAnswer", "Messenger", "Node", "Payload", "device_id"]


def device_id(public_key: bytes) -> str:
    """Return the short name of a public key that clients print too: ``sha256:`` and 16 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(public_key).hexdigest()[:16]}"


class Clock(Protocol):
    """What the server reads the time from: the module `time`, or a simulation's clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def time(self) -> float:
        """Return Unix time."""

    def sleep(self, seconds: float, /) -> None:
        """Let time pass."""


class Payload:
    """Arrays ready to send: encoded, cut into objects and hashed once, however many nodes get them.

    Parameters
    ----------
    arrays
        Weights by variable path.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays

    @cached_property
    def encoded(self) -> Arrays:
        """The arrays as they travel."""
        return encode_arrays(self.arrays, packed=True)

    @property
    def bytes(self) -> int:
        """Size of what travels."""
        return sum(array.nbytes for array in self.encoded.values())

    @cached_property
    def record(self) -> Any:
        """The arrays as Flower's record, whose objects are hashed once for all nodes."""
        from flwr.app import Array, ArrayRecord

        return ArrayRecord({name: Array(array) for name, array in self.encoded.items()})


@dataclass(frozen=True)
class Node:
    """A node that is online."""

    node_id: int
    public_key: bytes


@dataclass(frozen=True)
class Assignment:
    """What one node is asked."""

    node_id: int
    kind: str
    config: Mapping[str, Scalar] = field(default_factory=dict)
    payload: Optional[Payload] = None


@dataclass(frozen=True)
class LateAnswer:
    """An answer that came after its round's deadline and was dropped."""

    node_id: int
    label: str
    seconds_late: float


@dataclass(frozen=True)
class Answer:
    """What came of an assignment.

    Attributes
    ----------
    problem
        Empty for a reply; otherwise what went wrong, in words.
    late
        Whether the problem is that the deadline passed.
    metrics, info, arrays
        Of the reply; ``info`` holds the ``device`` record too.
    sent_after_s, replied_after_s, read_after_s
        When the task was ready to be picked up, the reply was announced, and all of it was here; from the start of the
        exchange.
    bytes
        Size of the reply's objects.
    """

    node_id: int
    problem: str = ""
    late: bool = False
    metrics: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Scalar] = field(default_factory=dict)
    arrays: Optional[Arrays] = None
    sent_after_s: float = 0.0
    replied_after_s: Optional[float] = None
    read_after_s: Optional[float] = None
    bytes: int = 0


class Messenger(Protocol):
    """What the round loop reaches nodes through: `python_server.exchange.Exchange`, or a simulation."""

    def nodes(self) -> list[Node]:
        """Return the nodes that are online now."""

    def run(
        self, assignments: Sequence[Assignment], *, deadline_s: float, label: str, max_arrays_bytes: int = 0
    ) -> Iterator[Answer]:
        """Yield one answer for each assignment; see `python_server.exchange.Exchange.run`."""
