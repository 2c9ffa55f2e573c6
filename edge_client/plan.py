"""What a task's config asks for, checked; what is missing has its default (``docs/protocol.md``)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from edge_client.errors import TaskError
from edge_client.records import (
    DOWNLOAD_CODEC,
    KEEP_WEIGHTS,
    REPLY_VARIABLES,
    SERVER_ROUND,
    START_ROUND,
    STEPS,
    UPLOAD_CODEC,
    Scalar,
)
from model_export import codecs

__all__ = ["Plan", "text"]

_DEFAULT_LEARNING_RATE = 0.01


@dataclass(frozen=True)
class Plan:
    """How to train, and what to send back.

    Attributes
    ----------
    run, number
        The server's run id, and the round.
    seed
        Of the round; the same round of the same run is the same work, whichever process does it.
    reply_all, reply_variables
        Whether all variables are to come back and not only the trained ones; or which, by path, if there are any.
    start_round
        Start from the client's own weights after that round; None: all weights come with the task.
    keep_weights
        Whether to keep the weights for a later ``start_round``.
    download_codec, upload_codec
        How the task's arrays, and the reply's, hold numbers.
    """

    run: str
    number: int
    seed: int
    epochs: int
    steps: int
    learning_rate: float
    mu: float
    cutoff_s: float
    cut: str
    reply_all: bool
    reply_variables: tuple[str, ...]
    start_round: Optional[int]
    keep_weights: bool
    download_codec: str
    upload_codec: str

    @classmethod
    def of(cls, config: Mapping[str, Scalar]) -> Plan:
        """Read a config.

        Raises
        ------
        TaskError
            A value makes no sense; the message names the key.
        """
        which = text(config, "reply-arrays", "trained")
        if which not in ("trained", "all"):
            raise TaskError(f"reply-arrays is {which!r}; it may be 'trained' or 'all'")
        return cls(
            run=text(config, "run", ""),
            number=_whole(config, SERVER_ROUND, 0),
            seed=_whole(config, "seed", 0),
            epochs=_whole(config, "epochs", 1),
            steps=_whole(config, STEPS, 0),
            learning_rate=_number(config, "learning-rate", _DEFAULT_LEARNING_RATE),
            mu=_number(config, "proximal-mu", 0.0),
            cutoff_s=_number(config, "cutoff-s", 0.0),
            cut=text(config, "cut", ""),
            reply_all=which == "all",
            reply_variables=tuple(text(config, REPLY_VARIABLES, "").splitlines()),
            start_round=_whole(config, START_ROUND, 0) if START_ROUND in config else None,
            keep_weights=_flag(config, KEEP_WEIGHTS),
            download_codec=_codec(config, DOWNLOAD_CODEC),
            upload_codec=_codec(config, UPLOAD_CODEC),
        )

    def seed_for(self, name: str) -> int:
        """Return the seed of the round on the device of this name."""
        return zlib.crc32(f"{self.seed}/{self.number}/{name}".encode())


def text(config: Mapping[str, Scalar], key: str, default: str) -> str:
    """Return a text.

    Raises
    ------
    TaskError
        It is something else.
    """
    value = config.get(key, default)
    if not isinstance(value, str):
        raise TaskError(f"{key} is {value!r}; it has to be text")
    return value


def _codec(config: Mapping[str, Scalar], key: str) -> str:
    try:
        return codecs.check(text(config, key, "float32"))
    except ValueError as error:
        raise TaskError(f"{key}: {error}") from None


def _flag(config: Mapping[str, Scalar], key: str) -> bool:
    value = config.get(key, False)
    if not isinstance(value, bool):
        raise TaskError(f"{key} is {value!r}; it has to be true or false")
    return value


def _number(config: Mapping[str, Scalar], key: str, default: float) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise TaskError(f"{key} is {value!r}; it has to be a number, not negative")
    return float(value)


def _whole(config: Mapping[str, Scalar], key: str, default: int) -> int:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TaskError(f"{key} is {value!r}; it has to be a whole number, not negative")
    return value
