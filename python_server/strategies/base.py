"""What a strategy is: a start state, and pure functions over it. The state can be saved, so any strategy resumes."""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol, Union

import numpy as np

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
from python_server.codec_choice import Codecs, read_codecs
from python_server.errors import ExperimentError
from python_server.groups import GroupSettings
from python_server.run_rows import DeviceRoundRow
from python_server.submodels import WHOLE, Submodel
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["Arrays", "Codecs", "Contribution", "Device", "Plan", "Strategy", "StrategyState", "TrainSettings"]

Arrays = Mapping[str, np.ndarray]


def _learning_rate(raw: object, key: str) -> dict[int, float]:
    """Read a number, or a table from round to number."""
    table = raw if isinstance(raw, Mapping) else {"1": raw}
    rates: dict[int, float] = {}
    for start, rate in table.items():
        if not str(start).isdecimal() or int(start) < 1:
            raise ExperimentError(
                f"{key}: {start!r} is no round; give the first round of each rate, as in {{ 1 = 0.1 }}"
            )
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < float("inf"):
            raise ExperimentError(f"{key} is {rate!r}; it has to be a number greater than 0")
        rates[int(start)] = float(rate)
    if 1 not in rates:
        raise ExperimentError(f"{key} has no rate for round 1")
    return rates


@dataclass(frozen=True)
class TrainSettings:
    """``[train]``: the local training that every device is asked for, unless its strategy says otherwise.

    Attributes
    ----------
    epochs
        Local epochs E.
    learning_rate
        A number, or a table from the first round of each rate to the rate.
    cut
        Train from this layer on, a cut of the bundle; empty: all that the bundle trains.
    steps
        Local steps, however many epochs they are; 0: ``epochs`` decides.
    codec
        How numbers travel, such as ``"float16"`` or ``{ down = "float16", up = "int8" }``.
    """

    epochs: int = setting(1, least=1, most=10_000)
    learning_rate: Union[dict[int, float], float] = setting(0.01, read=_learning_rate)
    cut: str = setting("")
    steps: int = setting(0, least=0, most=1_000_000)
    codec: Codecs = setting(Codecs(), read=read_codecs)

    def learning_rate_at(self, number: int) -> float:
        """Return the learning rate of round ``number``."""
        if isinstance(self.learning_rate, float):
            return self.learning_rate
        return self.learning_rate[max(start for start in self.learning_rate if start <= number)]


@dataclass(frozen=True)
class Device:
    """What the server knows of a device when it plans a round.

    Attributes
    ----------
    device
        Its id: the short name of its public key.
    name, processor
        As it calls itself, or as it was enrolled.
    examples
        Training examples that it holds.
    facts
        All that it told.
    times_slower
        How many times longer its steps took in earlier rounds than on the machine that exported the bundle; None: not
        known.
    upload_mbps
        Pace of its uploads in earlier rounds, in 10⁶ bits a second; None: not known.
    """

    device: str
    name: str
    processor: str
    examples: int
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    times_slower: Optional[float] = None
    upload_mbps: Optional[float] = None


@dataclass(frozen=True)
class Plan:
    """What one device is asked to do in one round; see ``docs/protocol.md``.

    Attributes
    ----------
    epochs, learning_rate, cutoff_s, cut, proximal_mu
        Travel to the device under these names.
    submodel
        The part of the global model that it holds: what it is sent, and where its update belongs.
    reason
        Why it is asked for this, in words; for the run store.
    steps
        Local steps; 0: ``epochs`` decides.
    start_round
        The device starts from its own weights after that round, and what it is sent; None: it is sent all it needs.
    keep_weights
        Whether it keeps its weights for a later ``start_round``.
    send
        The variables that it is sent; None: all that it holds.
    reply
        The variables that it sends back, as far as it trains them; None: all that it trains.
    download_codec, upload_codec
        How numbers travel; None: as the experiment says.
    """

    epochs: int
    learning_rate: float
    cutoff_s: float = 0.0
    cut: str = ""
    proximal_mu: float = 0.0
    submodel: Submodel = WHOLE
    reason: str = ""
    steps: int = 0
    start_round: Optional[int] = None
    keep_weights: bool = False
    send: Optional[frozenset[str]] = None
    reply: Optional[frozenset[str]] = None
    download_codec: Optional[str] = None
    upload_codec: Optional[str] = None

    def to_config(self, *, number: int, run: str, seed: int) -> dict[str, Scalar]:
        """Return the plan as it travels; keys that newer clients know are left out where they change nothing."""
        config: dict[str, Scalar] = {key.replace("_", "-"): getattr(self, key) for key in _ALWAYS}
        config.update({SERVER_ROUND: number, "run": run, "seed": seed, "reply-arrays": "trained"})
        optional: dict[str, Optional[Scalar]] = {
            STEPS: self.steps or None,
            START_ROUND: self.start_round,
            KEEP_WEIGHTS: self.keep_weights or None,
            REPLY_VARIABLES: None if self.reply is None else "\n".join(sorted(self.reply)),
            DOWNLOAD_CODEC: _unless_plain(self.download_codec),
            UPLOAD_CODEC: _unless_plain(self.upload_codec),
        }
        config.update({key: value for key, value in optional.items() if value is not None})
        return config

    def to_row(self) -> dict[str, Scalar]:
        """Return the plan as the run store keeps it: the submodel by its name, variables by their number."""
        row = {key: value for key, value in vars(self).items() if value is not None}
        row.update({key: len(row[key]) for key in ("send", "reply") if key in row})
        return {**row, "submodel": self.submodel.name}


_ALWAYS = ("epochs", "learning_rate", "cutoff_s", "cut", "proximal_mu")


def _unless_plain(codec: Optional[str]) -> Optional[str]:
    return None if codec == "float32" else codec


@dataclass(frozen=True)
class Contribution:
    """An accepted answer, as far as its weight depends on it.

    Attributes
    ----------
    submodel
        Its plan's.
    variables
        What the update holds, by the device's own paths.
    distances
        Squared distance of each variable of the update to its global value before the round, by path; for strategies
        that ask for it (`Strategy.needs_distances`).
    """

    device: Device
    num_examples: int
    examples_processed: int
    steps: int
    planned_steps: int
    submodel: Submodel = WHOLE
    variables: Collection[str] = ()
    distances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StrategyState:
    """What a strategy remembers between rounds: values that JSON can hold, and arrays by name."""

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Strategy(Protocol):
    """A federated algorithm; all of its functions are pure."""

    needs_distances: bool
    """Whether contributions are to hold `Contribution.distances`."""

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> Strategy:
        """Return the strategy as it is for a run, having checked that the run can do it.

        Parameters
        ----------
        variants
            What devices can be given, by name; the experiment's own bundle under the empty name. Empty: nothing is
            known of bundles.
        groups
            The experiment's ``[[groups]]``.

        Raises
        ------
        ExperimentError
            An option or a group asks for what the bundles do not have.
        """

    @property
    def follows_conditions(self) -> bool:
        """Whether devices are to be asked before every round for what changes, such as the charge of their battery."""

    def unable(self, devices: Sequence[Device]) -> dict[str, str]:
        """Return why devices cannot take part as they are now, by device id; `select` is not offered these."""

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return what is worth telling about these devices, such as that a group has none."""

    def start(self, weights: Arrays) -> StrategyState:
        """Return the state before the first round."""

    def models(self, state: StrategyState, weights: Arrays) -> Arrays:
        """Return all that devices are sent parts of: the global weights, and those that the state holds beside them."""

    def architectures(self, state: StrategyState) -> Sequence[Submodel]:
        """Return the parts of `models` that are evaluated, the run's own accuracy first."""

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose who takes part in round ``number``, and plan for each; by device id.

        ``devices`` come sorted by name, and ``random`` depends on seed and round alone, so that a repeated round makes
        the same choice among the same devices.
        """

    def passed_over(
        self, state: StrategyState, number: int, devices: Sequence[Device], plans: Mapping[str, Plan]
    ) -> dict[str, str]:
        """Return why devices that could take part have none of `select`'s plans, by device id, where it is worth it."""

    def weigh(self, contribution: Contribution) -> int:
        """Return the weight of an update, a whole number; 0 leaves it out."""

    def observe(self, state: StrategyState, number: int, rows: Sequence[DeviceRoundRow]) -> StrategyState:
        """Return the state, having seen how round ``number`` went on each device that was asked."""

    def finish(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution]
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Turn the weighted mean into the new state and the new global weights.

        ``before`` and ``mean`` are of all that `models` returned.
        """
