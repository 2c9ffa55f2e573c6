"""What a device measured of itself with a bundle (`edge_client.calibrate`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

__all__ = ["Calibration", "PowerSample", "Timing"]


@dataclass(frozen=True)
class Timing:
    """Time of something that was repeated.

    Attributes
    ----------
    ms
        Median of the blocks' means, in milliseconds.
    low_ms, high_ms
        Fastest and slowest block.
    count
        Repetitions in all, after one that warms up.
    """

    ms: float
    low_ms: float
    high_ms: float
    count: int


@dataclass(frozen=True)
class PowerSample:
    """Energy of an interval in which nothing else was asked of the device.

    Attributes
    ----------
    threads
        Of the runtime while it trained; 0: idle.
    wall_s, cpu_s
        Length, and processor time of this process in it.
    energy_j, idle_j
        Gross, and the idle share where the source knows it.
    method, source, covers
        Where the figure comes from, and what it is of.
    excluded
        Why it must not be counted, in words; empty: it may.
    """

    threads: int
    wall_s: float
    cpu_s: float
    energy_j: float
    idle_j: Optional[float]
    method: str
    source: str
    covers: str
    excluded: str = ""


@dataclass(frozen=True)
class Calibration:
    """What a device measured of itself with one bundle.

    Attributes
    ----------
    bundle, model
        Hash and name of the bundle.
    batch_size
        Samples of a step.
    runtime, machine, cores, python, governor, build
        What it ran on: also the processor's frequency governor, and the version of the client.
    threads
        Threads that times are for.
    at
        Unix time.
    steps
        Of each training signature, by cut; the empty one is all that the bundle trains. From kept features where the
        bundle has a frozen base.
    evaluate
        Of one batch.
    features
        Of one batch through the frozen base; None: there is none.
    set_weights, get_weights
        All of them, once.
    power
        Samples; empty where the device has nothing to tell.
    temperature_start_c, temperature_end_c
        Of the hottest zone; None: it has none.
    """

    bundle: str
    model: str
    batch_size: int
    runtime: str
    machine: str
    cores: int
    python: str
    governor: str
    build: str
    threads: int
    at: float
    steps: Mapping[str, Timing]
    evaluate: Timing
    features: Optional[Timing]
    set_weights: Timing
    get_weights: Timing
    power: Sequence[PowerSample] = field(default_factory=tuple)
    temperature_start_c: Optional[float] = None
    temperature_end_c: Optional[float] = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it for people."""

        def line(what: str, timing: Timing) -> str:
            spread = f"{timing.low_ms:.3g} to {timing.high_ms:.3g}"
            return f"{what}: {timing.ms:.4g} ms (blocks: {spread}; {timing.count} times)"

        told = [f"{self.model}, {self.runtime}, {self.threads or 'usual'} threads, batches of {self.batch_size}"]
        told += [line(f"step from {cut!r} on" if cut else "step", timing) for cut, timing in self.steps.items()]
        told.append(line("evaluation of a batch", self.evaluate))
        if self.features is not None:
            told.append(line("features of a batch", self.features))
        told += [line("setting weights", self.set_weights), line("getting weights", self.get_weights)]
        for sample in self.power:
            what = f"training on {sample.threads} threads" if sample.threads else "idle"
            watts = sample.energy_j / sample.wall_s
            told.append(f"power, {what}: {watts:.3g} W ({sample.method}: {sample.source})")
        if self.temperature_end_c is not None and self.temperature_start_c is not None:
            told.append(f"hottest zone: {self.temperature_start_c:g} °C before, {self.temperature_end_c:g} °C after")
        return told
