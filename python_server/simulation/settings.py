"""``[simulation]`` of an experiment file: devices that ``pocketfleet simulate`` makes up (``docs/simulation.md``)."""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from python_server.errors import ExperimentError
from python_server.toml_tables import setting

__all__ = ["ENGINES", "PARTITIONS", "ProfileSettings", "SimulationSettings"]

ENGINES = ("local", "flower")
PARTITIONS = ("iid", "dirichlet", "shards", "domain", "user")


def _step_ms(raw: object, key: str) -> dict[str, float]:
    """Read a number, or a table from cut to number; the cut "" is all that the bundle trains."""
    table: Mapping[str, object] = raw if isinstance(raw, Mapping) else {"": raw}
    read: dict[str, float] = {}
    for cut, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            where = f"{key}.{cut}" if cut else key
            raise ExperimentError(f"{where} is {value!r}; it has to be a number greater than 0")
        read[str(cut)] = float(value)
    return read


@dataclass(frozen=True)
class ProfileSettings:
    """``[[simulation.profiles]]``: a kind of device.

    Attributes
    ----------
    name
        Of the kind. ``[[clients]]`` are of the kind that has their name, else their processor's, else their profile's.
    share
        How many of the simulated devices are of this kind, in relation to the others.
    processor
        As devices tell it, for processor-specific cutoffs; the kind's name by default.
    step_ms
        Time of one training step with the bundle's batch size: a number for all that the bundle trains, or a table from
        cut to number. What is not given follows from what is, by measured costs or by multiply-accumulates.
    times_slower
        Instead of ``step_ms``: how many times slower than the machine that measured the bundle's costs.
    download_mbps, upload_mbps
        Bandwidths in 10⁶ bits per second; 0: transfers take no time.
    latency_s
        Of each transfer, beside its bytes.
    idle_w, power_w
        Power of the device when idle, and while it trains.
    """

    name: str = setting()
    share: float = setting(1.0, least=0)
    processor: str = setting("")
    step_ms: Optional[dict[str, float]] = setting(None, read=_step_ms)
    times_slower: float = setting(1.0, above=0)
    download_mbps: float = setting(0.0, least=0)
    upload_mbps: float = setting(0.0, least=0)
    latency_s: float = setting(0.0, least=0)
    idle_w: float = setting(0.0, least=0)
    power_w: float = setting(0.0, least=0)


@dataclass(frozen=True)
class SimulationSettings:
    """``[simulation]``.

    Attributes
    ----------
    engine
        ``local``: in one process, on Keras. ``flower``: the clients' own code on Ray, by Flower's simulation.
    backend
        Of Keras, for the local engine: ``tensorflow``, ``jax``, or ``auto``. ``tflite``: no Keras, but the bundles' own
        models, as on devices.
    side_by_side
        Clients that the local engine trains at once, on JAX; 0: as many as suit the machine.
    devices
        How many devices are made up, beside the ``[[clients]]``.
    data
        What they share: a ``.npz`` with ``x`` and ``y``, or a folder of images, as for clients.
    partition
        How they share it: ``iid``; ``dirichlet``, by label, with ``alpha``; ``shards``, each device ``classes`` classes
        (about); ``domain`` and ``user``, by the array ``column`` of the file.
    alpha
        Concentration of ``dirichlet``.
    classes
        Shards for each device of ``shards``.
    column
        Array of the ``.npz`` for ``domain`` and ``user``; their own names by default.
    dropout
        Probability that a device that is asked to train never answers.
    overhead_s
        What a round takes beside the devices: server, messages.
    seed
        Of the partition, the kinds of device and dropouts; the experiment's by default (−1).
    profiles
        Kinds of device; without any, all are as fast as the machine that measured the bundle's costs.
    """

    engine: str = setting("local", among=ENGINES)
    backend: str = setting("auto", among=("auto", "tensorflow", "jax", "tflite"))
    side_by_side: int = setting(0, least=0, most=1024)
    devices: int = setting(0, least=0, most=1_000_000)
    data: Optional[Path] = setting(None)
    partition: str = setting("iid", among=PARTITIONS)
    alpha: float = setting(0.5, above=0)
    classes: int = setting(2, least=1)
    column: str = setting("")
    dropout: float = setting(0.0, least=0, most=1)
    overhead_s: float = setting(0.0, least=0)
    seed: int = setting(-1, least=-1, most=2**31 - 1)
    profiles: tuple[ProfileSettings, ...] = setting(())
