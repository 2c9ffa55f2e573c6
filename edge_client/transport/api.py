"""What the client's loop asks of a transport, whatever protocol is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol, Union

from edge_client.records import SERVER_ROUND, Reply, Task

__all__ = ["Envelope", "LeavingError", "OnPhase", "Transport", "no_phases"]

OnPhase = Callable[[str], None]
"""Is told what the transport does from now on: ``download``, ``upload`` or ``wait``."""


def no_phases(phase: str) -> None:
    """Tell nobody."""


class LeavingError(Exception):
    """A call was cut short because the client was asked to leave."""


@dataclass(frozen=True)
class Envelope:
    """A task and what is needed to answer it.

    Attributes
    ----------
    task
        What is asked.
    message
        The message it came in, for the transport's eyes.
    packed
        Whether its arrays came as one, and so must those of the reply.
    download_s, download_bytes
        Fetching and decoding it.
    resumed
        It was taken up by an earlier process, which did not finish it.
    """

    task: Task
    message: object
    packed: bool
    download_s: float
    download_bytes: int
    resumed: bool = False

    @property
    def round_number(self) -> int:
        """The round that the task says it belongs to; 0 where it does not say."""
        value = self.task.config.get(SERVER_ROUND, 0)
        return value if isinstance(value, int) else 0


class Transport(Protocol):
    """A client's end of the line.

    Waiting is cut short by `LeavingError` when the client has been asked to leave. Every method may raise
    `edge_client.errors.ServerError` when the server cannot be reached for too long or says no.
    """

    def connect(self) -> None:
        """Make the server expect this client."""

    def pull(self) -> Optional[Envelope]:
        """Return the next task, or None if there is none now; first the one that an earlier process left."""

    def save(self, envelope: Envelope, answer: Union[Reply, str]) -> None:
        """Make the reply to a task safe, or in words why there is none. Nothing of it needs to be kept after that."""

    def send(self) -> None:
        """Send the reply that is safe, if there is one."""

    def close(self) -> None:
        """Leave without losing a reply that the server has yet to look at."""
